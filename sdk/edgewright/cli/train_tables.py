"""The figures of a training as tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

_ROWS = {"accuracy": ("accuracy",), "F1 macro": ("f1", "macro"), "F1 weighted": ("f1", "weighted")}
_ROWS |= {"calibration error": ("calibration_error",), "perplexity": ("perplexity",)}
_ROWS |= {"bits per byte": ("bits_per_byte",), "BLEU": ("bleu",), "chrF": ("chrf",)}


def figures(metrics: Mapping[str, Any]) -> Iterator[Table]:
    """metrics: part → head → figures, or part → figures; each with its interval of 95 %."""
    table = Table("part", "figure", "value", "95 % interval", box=None, pad_edge=False)
    for part, heads in metrics.items():
        flat = any(path[0] in heads for path in _ROWS.values())
        for head, own in ({"": heads} if flat else heads).items():
            several = not flat and len(heads) > 1
            for name, path in _ROWS.items():
                found: Any = own
                for key in path:
                    found = (found or {}).get(key)
                if found is not None:
                    interval = f"{found['low']:.4f} to {found['high']:.4f}"
                    table.add_row(f"{part} {head}" if several else part, name, f"{found['value']:.4f}", interval)
    if table.row_count:
        yield table
