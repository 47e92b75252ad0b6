"""Which channels of a Keras model hang together, which of them matter, and a smaller model without the rest."""
