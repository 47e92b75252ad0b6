"""The passes, by the name that a recipe uses for them: one technique per file, one explicit table.

A pass is a frozen dataclass of its options, each a plain bool, int, float, string or list of strings that TOML can
hold, and it checks them itself: `__post_init__` raises ValueError with a sentence. `before` says which passes may
follow. All but `quantize` change the Keras model; base.py says how.
"""

from .cluster import Cluster
from .factorize import Factorize
from .lora import Lora
from .prune import Prune
from .prune_structured import PruneStructured
from .qat import Qat
from .quantize import Quantize

Pass = Cluster | Factorize | Lora | Prune | PruneStructured | Qat | Quantize  # the union of all passes

PASSES: dict[str, type[Pass]] = {
    "cluster": Cluster,
    "factorize": Factorize,
    "lora": Lora,
    "prune": Prune,
    "prune-structured": PruneStructured,
    "qat": Qat,
    "quantize": Quantize,
}
