"""`python -m kafka` is `kafka-turbo`."""

from kafka.cli import command

if __name__ == "__main__":
    command()
