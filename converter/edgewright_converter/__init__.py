"""Keras → flatbuffer → bundle. TensorFlow is imported by the child process that converts, or for a live model.

    from edgewright_converter.pipeline import convert
    from edgewright_converter.recipe import Recipe

This file imports neither: the command line reads recipes and flatbuffers without the rest.
"""
