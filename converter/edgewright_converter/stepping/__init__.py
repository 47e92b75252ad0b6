"""From a model that reads a whole text to one that takes a token and a state: a token costs the same wherever it is.

    rules.py     how each kind of layer does one step: attention with a cache of keys and values, cells with their
                 state, causal convolutions with the inputs they need; all else works on each token by itself
    step.py      the walk along a model's graph by those rules; a second input (a translation's source) is read apart
    prepare.py   samples of states for the quantizer and the check that steps answer as the whole model does

A graph of one step has the inputs ``token`` (1, 1) and ``position`` (1, 1) int32, the state by name, and for a
translation ``memory_*``, which the other graph gives. It answers ``logits`` or ``probabilities`` and the state by the
same names: ``state_*`` whole, to be given back in the next step; ``key_*`` and ``value_*`` only the row of this token,
which the runtime writes into the cache at its position, so that no graph copies a cache.
"""
