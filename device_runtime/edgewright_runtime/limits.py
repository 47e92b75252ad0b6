"""Limits of a bench, in a file of their own: the process that is measured must not import more than it needs."""

INPUTS = ("golden", "random", "data")
MAX_RUNS = 20_000  # of one model; enough for any percentile, and more would fill the memory that is being measured
