"""The passes, by the name that a recipe uses for them: one technique per file, one explicit table.

A pass is a frozen dataclass of its options, each a plain bool, int, float, string or list of strings that TOML can
hold, and it checks them itself: `__post_init__` raises ValueError with a sentence. `before` says which passes may
follow. All but `quantize` change the Keras model; base.py says how.
"""

from .cluster import Cluster
from .distill import Distill
from .factorize import Factorize
from .finetune import Finetune
from .lora import Lora
from .prune import Prune
from .prune_structured import PruneStructured
from .qat import Qat
from .quantize import Quantize

# The union of all passes.
Pass = Cluster | Distill | Factorize | Finetune | Lora | Prune | PruneStructured | Qat | Quantize

PASSES: dict[str, type[Pass]] = {
    pass_.use: pass_
    for pass_ in (Cluster, Distill, Factorize, Finetune, Lora, Prune, PruneStructured, Qat, Quantize)
}
