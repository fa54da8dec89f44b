"""Brokers, the connections to them, and how they are doing."""
