"""Configuration as text: properties files as Java's tools read them, environment variables, NAME=VALUE arguments."""

from kafka.properties.loading import load_config

__all__ = ["load_config"]
