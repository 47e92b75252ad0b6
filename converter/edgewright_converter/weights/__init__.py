"""What is done to single weights: which become zero, which share a value, and how both survive more training."""
