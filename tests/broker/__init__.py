"""The real Apache Kafka as a test fixture: start with `KafkaCluster` in cluster.py."""
