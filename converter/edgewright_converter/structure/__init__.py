"""The structure of a Keras model: which channels hang together, which of them matter, and a smaller model without them."""
