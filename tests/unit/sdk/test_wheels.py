"""Wheels for a device: trusted only as their RECORD describes them, fetched once, packed small."""

import gzip
import hashlib
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest
from unit.sdk.stand_in_wheels import FILES, NUMPY, RECORD, make_record, make_wheel

from edgewright import wheels
from edgewright.cache import Cache
from edgewright.engines import ENGINES, NUMPY_MACHINES
from edgewright.errors import DeviceError, StorageError
from edgewright.site_archive import prune, site_archive
from edgewright.wheels import WheelTag, fetch_wheels, read_wheel

TAG = WheelTag(11, "aarch64")
KEPT = {
    "numpy/__init__.py",
    "numpy/core.cpython-311.so",
    "numpy.libs/libopenblas.so",
    "numpy-2.2.6.dist-info/METADATA",
    "numpy-2.2.6.dist-info/LICENSE.txt",
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE_HOME", str(tmp_path / "cache"))


def test_a_whole_wheel_is_read(tmp_path: Path) -> None:
    assert read_wheel(make_wheel(tmp_path)).keys() == {*FILES, RECORD}


@pytest.mark.parametrize(
    "path",
    ["../evil.py", "numpy/../../evil.py", "/evil.py", "numpy//evil.py", "./evil.py", "numpy\\..\\evil.py", "a/./b.py"],
)
def test_a_file_that_would_land_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DeviceError, match="is outside of its folder"):
        read_wheel(make_wheel(tmp_path, {**FILES, path: b"evil"}))


def test_a_link_is_refused(tmp_path: Path) -> None:
    wheel, link = make_wheel(tmp_path), zipfile.ZipInfo("numpy/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DeviceError, match="'numpy/link' is no plain file"):
        read_wheel(wheel)


def _without(*names: str) -> dict[str, bytes]:
    return {name: data for name, data in FILES.items() if name not in names}


@pytest.mark.parametrize(
    ("files", "record", "sentence"),
    [
        ({**FILES, "numpy/__init__.py": b"evil\n"}, make_record(FILES), r"'numpy/__init__.py' is damaged"),
        ({**FILES, "numpy/more.py": b""}, make_record(FILES), r"'numpy/more.py' is not both in it and in its RECORD"),
        (_without("numpy/__init__.py"), make_record(FILES), r"'numpy/__init__.py' is not both"),
        (FILES, make_record(FILES).replace(b"sha256=", b"md5="), "is damaged"),
        (FILES, b"\xff\xfe", "cannot be trusted"),
        (FILES, b"numpy\n", "cannot be trusted"),
        ({**FILES, "other.dist-info/RECORD": b""}, None, "cannot be trusted"),
    ],
)
def test_what_the_record_does_not_describe_is_refused(
    tmp_path: Path, files: dict[str, bytes], record: bytes, sentence: str
) -> None:
    with pytest.raises(DeviceError, match=sentence):
        read_wheel(make_wheel(tmp_path, files, record))


def test_a_wheel_without_a_record_or_half_of_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / NUMPY, "w") as archive:
        archive.writestr("numpy/__init__.py", b"")
    with pytest.raises(DeviceError, match="cannot be trusted"):
        read_wheel(tmp_path / NUMPY)
    whole = make_wheel(tmp_path).read_bytes()
    for size in range(0, len(whole), len(whole) // 20):
        (tmp_path / NUMPY).write_bytes(whole[:size])
        with pytest.raises(DeviceError, match=r"cannot be trusted .*: delete it and try again"):
            read_wheel(tmp_path / NUMPY)


def test_a_single_bit_that_differs_changes_no_file(tmp_path: Path) -> None:
    """It is refused, or it is in a date or another place that says nothing."""
    whole, random, refused = make_wheel(tmp_path).read_bytes(), Random(0), 0
    contents = read_wheel(tmp_path / NUMPY)
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[random.randrange(len(whole))] ^= 1 << random.randrange(8)
        (tmp_path / NUMPY).write_bytes(damaged)
        try:
            assert read_wheel(tmp_path / NUMPY) == contents
        except DeviceError:
            refused += 1
    assert refused > 75


@pytest.mark.parametrize(
    ("file", "fits"),
    [
        (NUMPY, True),
        ("numpy-2.2.6-cp311-cp311-linux_aarch64.whl", True),
        ("numpy-2.2.6-1-cp311-cp311-manylinux2014_aarch64.whl", True),
        ("numpy-2.2.60-cp311-cp311-manylinux2014_aarch64.whl", False),
        ("numpy-2.2.6-cp310-cp310-manylinux2014_aarch64.whl", False),
        ("numpy-2.2.6-cp311-cp311t-manylinux2014_aarch64.whl", False),
        ("numpy-2.2.6-cp311-cp311-manylinux2014_x86_64.whl", False),
        ("numpy-2.2.6-cp311-cp311-musllinux_1_2_aarch64.whl", False),
        ("numpy-2.2.6.tar.gz", False),
        ("numpy-2.2.6-.whl", False),
    ],
)
def test_a_wheel_by_its_name(file: str, fits: bool) -> None:
    assert TAG.fits(file, "numpy==2.2.6") == fits


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, and no network: what is in it is all there is to be had."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return make_wheel(tmp_path / "index").parent


@pytest.mark.slow
def test_a_wheel_is_downloaded_once(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = fetch_wheels(["numpy==2.2.6"], TAG)
    assert first.parent.name == hashlib.sha256((index / NUMPY).read_bytes()).hexdigest()
    monkeypatch.setattr(subprocess, "run", None)  # from here on no pip
    assert fetch_wheels(["numpy==2.2.6"], TAG) == [first]
    assert [path.name for path in Cache("wheels").folder.iterdir()] == [first.parent.name]


@pytest.mark.slow
def test_a_wheel_damaged_in_the_cache_is_downloaded_again(index: Path) -> None:
    (first,) = fetch_wheels(["numpy==2.2.6"], TAG)
    first.write_bytes(first.read_bytes()[:-1])
    assert fetch_wheels(["numpy==2.2.6"], TAG) == [first]
    assert first.read_bytes() == (index / NUMPY).read_bytes()


@pytest.mark.slow
def test_a_wheel_that_does_not_exist(index: Path) -> None:
    with pytest.raises(DeviceError, match=r"Cannot download numpy==1.26.4 for Python 3.11 on aarch64 \(.*No matching"):
        fetch_wheels(["numpy==1.26.4"], TAG)


@pytest.mark.slow
def test_a_damaged_download_does_not_enter_the_cache(index: Path) -> None:
    make_wheel(index, {**FILES, "../evil.py": b"evil"})
    with pytest.raises(DeviceError, match="is outside of its folder"):
        fetch_wheels(["numpy==2.2.6"], TAG)
    assert list(Cache("wheels").folder.iterdir()) == []


def test_a_host_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"has no pip to download numpy==2.2.6 with: run .* -m ensurepip"):
        fetch_wheels(["numpy==2.2.6"], TAG)


def test_the_cache_keeps_what_is_whole() -> None:
    cache = Cache("test")
    with cache.workspace() as folder:
        (folder / "file").write_bytes(b"content")
        kept = cache.add(folder / "file")
        (folder / "junk").write_bytes(b"left")
    assert cache.find(lambda name: name == "file") == kept
    assert list(cache.folder.iterdir()) == [kept.parent]
    kept.write_bytes(b"damaged")
    assert cache.find(lambda name: True) is None
    assert list(cache.folder.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away() -> None:
    cache = Cache("test")
    (cache.folder / ".abandoned").mkdir(parents=True)
    with cache.workspace():
        pass
    assert list(cache.folder.iterdir()) == []


def test_two_at_once_take_turns() -> None:
    cache, inside, seen = Cache("test"), threading.Semaphore(1), []

    def work() -> None:
        with cache.workspace():
            seen.append(inside.acquire(blocking=False))
            threading.Event().wait(0.01)
            inside.release()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 5


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEWRIGHT_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="file"):
        fetch_wheels(["numpy==2.2.6"], TAG)


def _cached(tmp_path: Path, files: Mapping[str, bytes] = FILES) -> Path:
    with Cache("wheels").workspace():
        return Cache("wheels").add(make_wheel(tmp_path, files))


def _names(archive: Path) -> set[str]:
    with tarfile.open(archive) as entries:
        return set(entries.getnames())


def test_only_what_is_imported_is_packed(tmp_path: Path) -> None:
    assert prune(NUMPY, {**FILES, RECORD: b""}).keys() == KEPT
    assert _names(site_archive([_cached(tmp_path)], minor=9)) == KEPT


def test_bytecode_is_packed_for_the_same_python_alone(tmp_path: Path) -> None:
    archive = site_archive([_cached(tmp_path)], minor=sys.version_info.minor)
    compiled = f"numpy/__pycache__/__init__.{sys.implementation.cache_tag}.pyc"
    assert _names(archive) == {*KEPT, compiled}
    with tarfile.open(archive) as entries:
        entries.extractall(tmp_path / "site", filter="data")
    source = "import numpy; print(numpy.answer, numpy.__cached__)"
    (tmp_path / "site/numpy/__init__.py").write_text("answer = 43\n")  # what is run is the bytecode, unasked
    run = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = [{str(tmp_path / 'site')!r}]; {source}"]
    assert subprocess.check_output(run, text=True).split() == ["42", str(tmp_path / "site" / compiled)]


def test_same_wheels_same_bytes_and_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = _cached(tmp_path)
    first = site_archive([wheel], minor=9)
    content, changed = first.read_bytes(), first.stat().st_mtime_ns
    assert site_archive([wheel], minor=9).stat().st_mtime_ns == changed
    first.unlink()
    assert site_archive([wheel], minor=9).read_bytes() == content
    assert int.from_bytes(content[-4:], "little") == len(gzip.decompress(content))


def test_another_wheel_is_another_archive(tmp_path: Path) -> None:
    other = _cached(tmp_path, {**FILES, "numpy/__init__.py": b"answer = 43\n"})
    assert site_archive([_cached(tmp_path)], minor=9) != site_archive([other], minor=9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "minor", "machine"), [("litert", 11, "aarch64"), ("tflite", 9, "aarch64"), ("tflite", 11, "armv7l")]
)
def test_real_wheels_for_boards(engine: str, minor: int, machine: str) -> None:
    """Downloaded, verified, and packed with everything that the interpreter's modules link to."""
    package, tag = ENGINES[engine], WheelTag(minor, machine)
    numpy = [f"numpy=={package.numpy[minor]}"] if machine in NUMPY_MACHINES else []
    with tarfile.open(site_archive(fetch_wheels([package.requirement, *numpy], tag), minor)) as archive:
        files = {entry.name: entry.size for entry in archive}
        libraries = [name for name in files if ".so" in name]
        for name in libraries:
            source = archive.extractfile(name)
            assert source is not None
            head = source.read(20)
            assert (head[4], head[18]) == {"aarch64": (2, 183), "armv7l": (1, 40)}[machine]  # ELF: class, machine
    assert f"{package.module.replace('.', '/')}.py" in files
    assert ("numpy/__init__.py" in files) == bool(numpy)
    limit_mb = {"litert": 62, "tflite": 56 if numpy else 6}[engine]
    assert sum(files.values()) < limit_mb * 1e6
