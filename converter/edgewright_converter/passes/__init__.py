"""The passes, by the name that a recipe uses for them: one technique per file, one explicit table.

A pass is a frozen dataclass of its options, each a plain bool, int, float or string that TOML can hold, and it checks
them itself: `__post_init__` raises ValueError with a sentence. `last` says that no other pass may follow it.
"""

from .distill import Distill
from .finetune import Finetune
from .quantize import Quantize

Pass = Distill | Finetune | Quantize  # the union of all passes

PASSES: dict[str, type[Pass]] = {pass_.use: pass_ for pass_ in (Distill, Finetune, Quantize)}
