"""Import path of kafka-python: `assignors`."""
