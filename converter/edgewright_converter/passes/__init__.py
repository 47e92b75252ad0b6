"""The passes, by the name that a recipe uses for them: one technique per file, one explicit table.

A pass is a frozen dataclass of its options, each a plain bool, int, float, string or list of strings that TOML can
hold, and it checks them itself: `__post_init__` raises ValueError with a sentence. `before` says which passes may
follow. All but `quantize` change the Keras model; base.py says how.
"""

from .prune_structured import PruneStructured
from .qat import Qat
from .quantize import Quantize

Pass = PruneStructured | Qat | Quantize  # the union of all passes

PASSES: dict[str, type[Pass]] = {"prune-structured": PruneStructured, "qat": Qat, "quantize": Quantize}
