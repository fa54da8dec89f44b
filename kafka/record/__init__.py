"""Import paths of kafka-python that instrumentation names; record batches themselves are in `kafka.records`."""
