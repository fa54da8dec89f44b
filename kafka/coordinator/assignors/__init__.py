"""Who of a group reads which partitions, as kafka-python has it: classes for `partition_assignment_strategy`."""
