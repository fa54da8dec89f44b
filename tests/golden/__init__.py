"""Messages as Kafka's own classes write them: the corpus that the codec is held against and attacked with."""
