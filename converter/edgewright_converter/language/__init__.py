"""Language tasks: data that does not leak from training into test, and the models that learn it."""
