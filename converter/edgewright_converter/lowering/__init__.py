"""The bytes that leave the converter decide the speed: float graph → rewritten → in integers → a small file.

graph       a TFLite model as objects that can be changed     fileformat  between them and the file's bytes
rewrite     the same maths in fewer and faster operators      markers     ranges that a training has settled
slices      several of them as one SPLIT                      masks       of an attention, as one sum
recurrent   an LSTM as one operator                           dense       products and biases in int8 for each engine
layers      which layer made an operator, and its own choice  ranges      ranges that are measured on samples
weights     constants in 8 or 4 bits                          kernels     what the int8 kernels ask of their scales
dynamic     integer weights beside float activations          integers    every chosen operator on int8
versions    the lowest version of each operator               layouts     which of these a mode uses, and where
report      the table of layers: how far from float, why      channels    of convolutions, made equally large
"""
