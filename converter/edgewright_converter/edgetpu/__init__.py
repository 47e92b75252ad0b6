"""What an Edge TPU can take of a model: told from the documentation before compiling, and by the compiler where it is."""
