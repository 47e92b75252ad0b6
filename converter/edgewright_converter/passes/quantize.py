"""Numbers with fewer bits, chosen after training.

mode           weights   activations   needs data
float32        float32   float32       no
float16        float16   float32       no
dynamic-int8   int8      float32       no      activations are quantized on the fly, inside each operator
int8-fast      int8      mixed         better  the quickest mix for a CPU: convolutions in int8, floats between dense
layers int4           int4      mixed         better  as int8-fast
int8           int8      int8          yes     every operator; scales come from running the data through the model
int16x8        int8      int16         yes
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ..errors import ConversionError
from ..flatbuffer import Flatbuffer
from ..outcome import Skipped

MODES = ("float32", "float16", "dynamic-int8", "int8-fast", "int8", "int16x8", "int4")
CHOICES = ("float32", "int8", "int4")
BORDERS = ("float", "int8")
_HOPELESS = 1e6  # one step of such a scale is more than any sensible activation


@dataclass(frozen=True)
class Quantize:
    """mode: see above. border: the dtype of the model's float inputs and outputs; token ids stay int32 either way.

    layers: the weights' kind of single layers, {"attention_*": "float32"}: a layer's name, its path ("block/dense"),
    or a pattern of either; the first that fits counts. float32 leaves the layer's activations float, too.
    """

    use: ClassVar[str] = "quantize"
    before: ClassVar[tuple[str, ...]] = ()

    mode: str
    border: str = "float"
    layers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, not {self.mode!r}")
        if self.border not in BORDERS:
            raise ValueError(f"border must be one of {', '.join(BORDERS)}, not {self.border!r}")
        if self.border == "int8" and self.mode != "int8":
            raise ValueError(f'border = "int8" goes with mode = "int8", not with {self.mode!r}')

        for pattern, kind in self.layers.items():
            if kind not in CHOICES:
                raise ValueError(f"layers: {pattern!r} must be one of {', '.join(CHOICES)}, not {kind!r}")
        if self.layers and self.mode in ("float32", "float16", "int16x8"):
            raise ValueError(f"layers goes with an int8 or int4 mode, not with {self.mode!r}")

    @property
    def needs_data(self) -> bool:
        """Whether scales have to be calibrated on samples; int8-fast and int4 use some where there are."""
        return self.mode in ("int8", "int16x8")


def left_float(flatbuffer: Flatbuffer, mode: str) -> tuple[Skipped, ...]:
    """Which operators still compute in float32 after an integer mode, by layer."""
    if mode not in ("int8", "int16x8"):
        return ()
    found: dict[str, int] = {}
    for graph in flatbuffer.subgraphs:
        for node in graph.nodes:
            outputs = [graph.tensors[index] for index in node.outputs if index >= 0]
            if node.operator not in ("DEQUANTIZE", "QUANTIZE") and any(t.dtype == "float32" for t in outputs):
                # A tensor's name is the path of the layers that made it; fused ones are joined by semicolons.
                layer = "/".join(outputs[0].name.split(";")[0].split("/")[1:-1])
                what = f"{node.operator} in {layer}" if layer else node.operator
                found[what] = found.get(what, 0) + 1
    return tuple(
        Skipped(what if count == 1 else f"{what} ({count} times)", f"the converter has no {mode} form of it here")
        for what, count in found.items()
    )


def refuse_broken_scales(flatbuffer: Flatbuffer) -> None:
    """Find the two ways in which the quantizer loses a model without a word. Raises ConversionError."""
    for graph in flatbuffer.subgraphs:
        for node in graph.nodes:
            ends = [graph.tensors[i] for i in (node.inputs[:1] + node.outputs[:1]) if i >= 0]
            scales = [tensor.scales[0] for tensor in ends if tensor.quantized and tensor.dtype in ("int8", "int16")]
            where = f"{node.operator} at {ends[-1].name.split(';')[0]}" if ends else node.operator
            if any(scale > _HOPELESS for scale in scales):
                raise ConversionError(
                    f"{where} has a scale of {max(scales):.2g}, in which the other numbers vanish: it comes of a large "
                    "constant like -1e9 in a mask, so write about -30 there, use Keras' own attention, or dynamic-int8."
                )
            if node.operator == "SUM" and ends[-1].dtype == "int16" and len(set(scales)) == 1:
                raise ConversionError(
                    f"{where} overflows in int16, because the quantizer gives a sum the scale of its parts: "
                    "write it with keras.ops.sum, as a mean times the count, or use the recipe int8."
                )
