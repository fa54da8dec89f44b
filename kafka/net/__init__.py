"""Import paths of kafka-python 3 that users' code names."""
