"""Import path of kafka-python."""
