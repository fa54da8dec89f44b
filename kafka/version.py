"""The version, also as `kafka.__version__`."""

__version__ = "0.1.0"
