"""The produce path: batches on their way to brokers, and what becomes of them."""
