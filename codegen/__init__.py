"""From Kafka's message schemas to `kafka/protocol`. Never imported by `kafka`."""
