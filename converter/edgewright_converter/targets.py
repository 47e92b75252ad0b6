"""What each board and its runtime can do: boards and systems in explicit tables, a target for each pair that exists.

A runtime is named by the TensorFlow release whose operators it has: tflite-runtime ends at 2.14, ai-edge-litert 2.3.0
has those of 2.23 (engine_versions.csv, which benchmarks/kernels.py measures, against op_versions.csv). A target says
where each of its facts comes from; `profile.py` reads and writes one as a file.
"""

import difflib
from dataclasses import dataclass, field, fields, replace

from .errors import RecipeError

LITERT = "2.23.0"
TFLITE = "2.14.0"
RUNTIMES = {"litert": LITERT, "tflite": TFLITE}


@dataclass(frozen=True)
class Target:
    """One board with one system and one engine; None and () are unknown, or differ from one such board to the next.

    runtime: the newest operators it has; machine: what its programs are made for; memory_mb: RAM of the smallest model
    sold; python, glibc: "3.11", "2.36"; model: how the board's own name begins; cpu_features: as the kernel names them.
    storage_mb: free where edgewright's folder is; sources: where each fact comes from.
    """

    name: str
    engine: str
    runtime: str
    machine: str
    memory_mb: int | None = None
    edgetpu: bool = False
    board: str | None = None
    model: str | None = None
    system: str | None = None
    python: str | None = None
    glibc: str | None = None
    cpu: str | None = None
    cpu_features: tuple[str, ...] = ()
    storage_mb: int | None = None
    sources: dict[str, str] = field(default_factory=dict)


FACTS = tuple(entry.name for entry in fields(Target) if entry.name not in ("name", "sources"))


@dataclass(frozen=True)
class _System:
    """bits: of its programs; python, glibc: as the release ships them."""

    title: str
    python: str
    glibc: str
    source: str


_V8 = ("asimd",)
_V8_2 = ("asimd", "asimddp", "asimdhp")
_PI_CPU = "https://www.raspberrypi.com/documentation/computers/processors.html"
_PI_RAM = "https://www.raspberrypi.com/documentation/computers/raspberry-pi.html"
_ARM = "Arm's technical reference manual of the core, register ID_AA64ISAR0_EL1"
_DEV_BOARD = "https://coral.ai/docs/dev-board/datasheet/"


def _pi(name: str, board: str, cpu: str, features: tuple[str, ...], memory_mb: int) -> Target:
    return Target(
        *(name, "litert", LITERT, "aarch64", memory_mb),
        board=board,
        model=board.partition(" with")[0],
        cpu=cpu,
        cpu_features=features,
        sources={"board": _PI_RAM, "model": _PI_RAM, "memory_mb": _PI_RAM, "cpu": _PI_CPU, "cpu_features": _ARM},
    )


_BOARDS = (
    _pi("rpi5", "Raspberry Pi 5", "Cortex-A76", _V8_2, 1024),
    _pi("rpi4", "Raspberry Pi 4", "Cortex-A72", _V8, 1024),
    _pi("rpi3", "Raspberry Pi 3", "Cortex-A53", _V8, 512),  # Model 3A+; a 3B has 1 GB
    _pi("rpi-zero2", "Raspberry Pi Zero 2 W", "Cortex-A53", _V8, 512),
)
_SYSTEMS = {
    "bullseye": _System("Debian 11 (Bullseye)", "3.9", "2.31", "https://www.debian.org/releases/bullseye/"),
    "bookworm": _System("Debian 12 (Bookworm)", "3.11", "2.36", "https://www.debian.org/releases/bookworm/"),
    "trixie": _System("Debian 13 (Trixie)", "3.13", "2.41", "https://www.debian.org/releases/trixie/"),
}
_WHEELS = "the engine's wheels (docs/devices.md)"
_NO_BULLSEYE = ("rpi5",)  # its processor came with Bookworm


def _installed(board: Target, name: str, release: str, engine: str, machine: str) -> Target:
    system = _SYSTEMS[release]
    features = board.cpu_features if machine == "aarch64" else ("neon", "vfpv4")
    facts = {"system": system.source, "python": system.source, "glibc": system.source, "engine": _WHEELS}
    return replace(
        board,
        name=name,
        engine=engine,
        runtime=RUNTIMES[engine],
        machine=machine,
        system=f"{system.title}, {'64' if machine == 'aarch64' else '32'} bits",
        python=system.python,
        glibc=system.glibc,
        cpu_features=features,
        sources={**board.sources, **facts, "runtime": "op_versions.csv", "machine": system.source},
    )


def _systems_of(board: Target) -> list[Target]:
    """Bookworm with 64 bits goes by the board's own name: it is what most of them run."""
    name = board.name
    found = [
        _installed(board, name, "bookworm", "litert", "aarch64"),
        _installed(board, f"{name}-tflite", "bookworm", "tflite", "aarch64"),
        _installed(board, f"{name}-bookworm-32", "bookworm", "tflite", "armv7l"),
        _installed(board, f"{name}-trixie", "trixie", "litert", "aarch64"),
        # No wheel fits its Python; the doctor says so, and which Python to install there.
        _installed(board, f"{name}-trixie-32", "trixie", "tflite", "armv7l"),
    ]
    if name not in _NO_BULLSEYE:
        found.append(_installed(board, f"{name}-bullseye", "bullseye", "tflite", "aarch64"))
        found.append(_installed(board, f"{name}-bullseye-32", "bullseye", "tflite", "armv7l"))
    return found


def _generic(name: str, engine: str, machine: str) -> Target:
    return Target(name, engine, RUNTIMES[engine], machine, sources={"engine": _WHEELS, "runtime": "op_versions.csv"})


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        _generic("local", "litert", "any"),
        _generic("local-tflite", "tflite", "any"),
        *(target for board in _BOARDS for target in _systems_of(board)),
        _generic("generic-x86-64", "litert", "x86_64"),
        _generic("generic-x86-64-tflite", "tflite", "x86_64"),
        _generic("generic-arm64", "litert", "aarch64"),
        _generic("generic-arm64-tflite", "tflite", "aarch64"),
        _generic("generic-armv7", "tflite", "armv7l"),  # ai-edge-litert has no wheel for 32-bit ARM
        # libedgetpu loads into tflite-runtime 2.14 only; its compiler asks for operators of that age too.
        replace(
            _generic("coral-usb", "tflite", "any"),
            edgetpu=True,
            board="Coral USB Accelerator, on any board or PC",
            sources={"edgetpu": "https://coral.ai/docs/accelerator/datasheet/", "engine": _WHEELS},
        ),
        Target(
            *("coral-devboard", "tflite", TFLITE, "aarch64", 1024),
            edgetpu=True,
            board="Coral Dev Board",
            model="Freescale i.MX8MQ Phanbell",
            system="Mendel Linux 5 (Debian 10)",
            python="3.7",
            glibc="2.28",
            cpu="Cortex-A53",
            cpu_features=_V8,
            sources={
                **dict.fromkeys(("board", "memory_mb", "edgetpu", "cpu", "machine"), _DEV_BOARD),
                **dict.fromkeys(("system", "python", "glibc"), "https://coral.ai/software/#mendel-linux"),
                "model": "the kernel's device tree, imx8mq-phanbell.dts",
                "cpu_features": _ARM,
                "engine": _WHEELS,
                "runtime": "op_versions.csv",
            },
        ),
    )
}


def get_target(name: str) -> Target:
    """The target of that name, or that a profile's file describes. Raises RecipeError, InputError."""
    if name in TARGETS:
        return TARGETS[name]
    if name.endswith(".toml"):
        from .profile import read_profile

        return read_profile(name)
    near = difflib.get_close_matches(name, TARGETS, n=1)
    hint = f"did you mean {near[0]!r}? Known: " if near else "known: "
    raise RecipeError(f"Unknown target {name!r}: {hint}{', '.join(TARGETS)}; or a profile's .toml file.")


HYBRID_IN_DELEGATE = (2, 17)  # from then on the delegate has kernels for float activations beside int8 weights
_X86_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni"}


def has_quick_integers(target: Target) -> bool:
    """Whether int8 matrices are quicker than float32 there. Not so with tflite-runtime 2.14, whose delegate takes none,
    nor on an x86-64 known to lack a dot product of int8 (benchmarks/lowering.py measures both)."""
    features = set(target.cpu_features)
    slow = "avx2" in features and features.isdisjoint(_X86_DOT_PRODUCTS)
    return version_key(target.runtime) >= HYBRID_IN_DELEGATE and not slow


def has_slow_products(target: Target) -> bool:
    """Whether a product of two int8 activations is quicker as dense layers than as BATCH_MATMUL: with ai-edge-litert on
    x86-64 (benchmarks/lowering.py); on an emulated Cortex-A72 both take as long. "any" machine may be one."""
    return target.engine == "litert" and target.machine in ("x86_64", "any")


def has_slow_softmax(target: Target) -> bool:
    """Whether XNNPACK's softmax of rows that fill no whole vectors may be slow there: with ai-edge-litert on x86-64,
    unless that is known to lack AVX-512. On ARM it is not measured; tflite-runtime 2.14 has no EXP in its delegate."""
    narrow = bool(target.cpu_features) and "avx512f" not in target.cpu_features
    return target.engine == "litert" and target.machine in ("x86_64", "any") and not narrow


def option_for(target: Target, engine: str | None = None) -> str:
    """A name that --target takes, for this target with this engine; a probed device has none of its own."""
    engine = engine or target.engine
    if target.name in TARGETS:
        names = (target.name, f"{target.name}-tflite", target.name.removesuffix("-tflite"))
        fitting = [name for name in names if name in TARGETS and TARGETS[name].engine == engine]
        if fitting:
            return fitting[0]
    generic = (t for t in TARGETS.values() if (t.machine, t.engine) == (target.machine, engine) and t.board is None)
    return next((t.name for t in generic), "local" if engine == "litert" else "local-tflite")


def version_key(version: str) -> tuple[int, ...]:
    """ "2.14.0" → (2, 14, 0), so that 2.9 sorts before 2.14."""
    return tuple(int(part) for part in version.split("."))
