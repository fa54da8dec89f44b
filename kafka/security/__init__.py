"""How connections are secured: what of the configuration keys becomes an SSL context, or a SASL mechanism."""
