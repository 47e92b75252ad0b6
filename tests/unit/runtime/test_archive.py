"""The .ewb file: one way to write it, and every other byte is refused."""

import random
import resource
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from unit.models import tiny_bundle

from edgewright_runtime.bundle import Bundle, write_archive
from edgewright_runtime.errors import BundleError, InputError, StorageError


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tiny_bundle(tmp_path_factory.mktemp("archive") / "tiny.ewb").read_bytes()


def _refused(path: Path, data: bytes) -> bool:
    path.write_bytes(data)
    try:
        Bundle.open(path).verify()
    except BundleError as error:
        return "\n" not in str(error) and str(error).endswith(".")
    return False


def test_200_flipped_bits_are_refused(archive: bytes, tmp_path: Path) -> None:
    for position in random.Random(2).sample(range(len(archive) * 8), 200):
        data = bytearray(archive)
        data[position // 8] ^= 1 << position % 8
        assert _refused(tmp_path / "x.ewb", bytes(data)), f"bit {position}"


def test_every_byte_of_the_structure_counts(archive: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.ewb", "w"):
        pass
    (tmp_path / "x.ewb").write_bytes(archive)
    with zipfile.ZipFile(tmp_path / "x.ewb") as opened:
        starts = [entry.header_offset for entry in opened.infolist()]
        names = [len(entry.filename) for entry in opened.infolist()]
        directory = opened.start_dir
    structure = [start + byte for start, name in zip(starts, names, strict=True) for byte in range(30 + name)]
    for position in [*structure, *range(directory, len(archive))]:
        data = bytearray(archive)
        data[position] ^= 1 << position % 8
        assert _refused(tmp_path / "x.ewb", bytes(data)), f"byte {position}"


def test_20_truncations_and_a_byte_too_many_are_refused(archive: bytes, tmp_path: Path) -> None:
    lengths = [0, 1, 3, 4, 29, 30, len(archive) - 22, len(archive) - 1]
    for length in [*lengths, *random.Random(3).sample(range(len(archive)), 12)]:
        assert _refused(tmp_path / "x.ewb", archive[:length]), f"{length} bytes"
    assert _refused(tmp_path / "x.ewb", archive + b"\0")
    assert _refused(tmp_path / "x.ewb", b"\0" + archive)
    assert _refused(tmp_path / "x.ewb", archive + archive)


def test_the_same_inputs_give_the_same_bytes(archive: bytes, tmp_path: Path) -> None:
    assert tiny_bundle(tmp_path / "again.ewb").read_bytes() == archive
    assert tiny_bundle(tmp_path / "other.ewb", seed=1).read_bytes() != archive


def test_any_unzip_opens_it(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ewb").write_bytes(archive)
    bundle = Bundle.open(tmp_path / "x.ewb")
    with zipfile.ZipFile(tmp_path / "x.ewb") as opened:
        assert opened.testzip() is None
        assert opened.namelist() == ["manifest.json", *(entry.path for entry in bundle.manifest.files)]
        assert {entry.date_time for entry in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in opened.infolist()} == {0o100644}
        for entry in bundle.manifest.files:
            assert opened.read(entry.path) == bundle.read(entry.path)


def test_another_zip_of_the_same_files_is_refused(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ewb").write_bytes(archive)
    with zipfile.ZipFile(tmp_path / "x.ewb") as opened, zipfile.ZipFile(tmp_path / "y.ewb", "w") as other:
        for name in opened.namelist():
            other.writestr(name, opened.read(name))
    with pytest.raises(BundleError):
        Bundle.open(tmp_path / "y.ewb")


def test_files_may_be_given_as_paths(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ewb").write_bytes(archive)
    bundle = Bundle.open(tmp_path / "x.ewb")
    files = bundle.extract(tmp_path / "files")
    by_path = {entry.path: files[entry.sha256] for entry in bundle.manifest.files}
    write_archive(bundle.manifest, by_path, tmp_path / "y.ewb")
    assert (tmp_path / "y.ewb").read_bytes() == archive


class _Interrupted(Mapping[str, bytes]):
    """The files of a bundle, of which reading the last is interrupted."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def __getitem__(self, path: str) -> bytes:
        if path == list(self._files)[-1]:
            raise KeyboardInterrupt
        return self._files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def test_what_ends_early_leaves_the_old_file_and_nothing_else(archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ewb"
    path.write_bytes(archive)
    bundle = Bundle.open(path)
    files = {entry.path: bundle.read(entry.path) for entry in bundle.manifest.files}
    with pytest.raises(KeyboardInterrupt):
        write_archive(bundle.manifest, _Interrupted(files), path)
    with pytest.raises(InputError, match="not the file that the manifest describes"):
        write_archive(bundle.manifest, {**files, "labels.json": b"[]"}, path)
    with pytest.raises(InputError, match="not those that the manifest lists"):
        write_archive(bundle.manifest, {}, path)
    assert path.read_bytes() == archive
    assert list(tmp_path.iterdir()) == [path]


def test_a_manifest_that_no_reader_takes_is_not_written(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ewb").write_bytes(archive)
    bundle = Bundle.open(tmp_path / "x.ewb")
    files = {entry.path: bundle.read(entry.path) for entry in bundle.manifest.files}
    with pytest.raises(BundleError, match="bad name"):
        write_archive(bundle.manifest._replace(name="a name"), files, tmp_path / "y.ewb")
    assert not (tmp_path / "y.ewb").exists()


def test_a_disk_that_takes_no_more_is_a_storage_error(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ewb").write_bytes(archive)
    bundle = Bundle.open(tmp_path / "x.ewb")
    files = {entry.path: bundle.read(entry.path) for entry in bundle.manifest.files}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"Cannot write .*y\.ewb"):
            write_archive(bundle.manifest, files, tmp_path / "y.ewb")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["x.ewb"]


@pytest.mark.parametrize("place", ["absent/y.ewb", "file/y.ewb"])
def test_a_folder_that_is_none_is_a_storage_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="choose another"):
        tiny_bundle(tmp_path / place)
