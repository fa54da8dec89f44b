"""Reading: which partitions are read, from which offset, and what a Fetch asks which broker for."""
