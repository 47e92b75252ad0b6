"""The peer of runtime_overhead.py: what one writes without edgewright. MODEL.tflite INPUTS.npz NAME_OF_INPUT ..."""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
with np.load(sys.argv[2]) as arrays:
    for tensor, name in zip(interpreter.get_input_details(), sys.argv[3:], strict=True):
        interpreter.set_tensor(tensor["index"], arrays[name])
interpreter.invoke()
for tensor in interpreter.get_output_details():
    print(tensor["name"], interpreter.get_tensor(tensor["index"]).tolist())
