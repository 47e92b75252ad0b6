"""What an Edge TPU can take of a model: by its documentation before it is compiled, and by the compiler."""
