"""What lands on the device: verify a bundle, run it, measure it. Python >= 3.9, numpy and one engine."""

__version__ = "0.1.0"
