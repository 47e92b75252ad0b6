"""Packages are read without unpacking, from the cache, and only where they are what they were."""

import hashlib
import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from packages import Package

from edgewright.cache import Cache
from edgewright_runtime.errors import InputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE_HOME", str(tmp_path / "cache"))


def _cached(path: Path) -> None:
    cache = Cache("corpora")
    with cache.workspace() as folder:
        cache.add(Path(shutil.copy(path, folder)))


def _tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("package/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)


def test_a_wheel_and_a_tarball_give_their_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "words-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("words/a.txt", "kaixo")
    _tar(tmp_path / "texts-2.0.tgz", {"package/b.txt": b"agur"})
    for name in ("words-1.0-py3-none-any.whl", "texts-2.0.tgz"):
        _cached(tmp_path / name)
    assert dict(Package("pip", "words==1.0", "words-1.0").files()) == {"words/a.txt": b"kaixo"}
    digest = hashlib.sha256((tmp_path / "texts-2.0.tgz").read_bytes()).hexdigest()
    texts = Package("npm", "texts@2.0", "texts-2.0", digest)
    assert dict(texts.files()) == {"package/b.txt": b"agur"}  # and the link is no file
    with pytest.raises(InputError, match=r"has no file c\.txt"):
        texts.read("c.txt")


def test_a_package_of_debian_gives_its_files(tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb on this machine")
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: words\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: words\n"
    )
    (root / "usr").mkdir()
    (root / "usr" / "a.txt").write_text("kaixo")
    subprocess.run(["dpkg-deb", "--build", root, tmp_path / "words_1_all.deb"], check=True, capture_output=True)
    _cached(tmp_path / "words_1_all.deb")
    assert Package("apt", "words", "words_").read("usr/a.txt") == b"kaixo"


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    _tar(tmp_path / "texts-2.0.tgz", {"package/b.txt": b"agur"})
    _cached(tmp_path / "texts-2.0.tgz")
    with pytest.raises(InputError, match="that this example is for"):
        list(Package("npm", "texts@2.0", "texts-2.0", "0" * 64).files())


def test_what_cannot_be_fetched_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Package, "_command", lambda self, folder: ["sh", "-c", "echo 'no such package' >&2; exit 1"])
    with pytest.raises(InputError, match=r"Cannot fetch words with sh \(no such package\)"):
        list(Package("npm", "words", "words-").files())
    monkeypatch.setattr(Package, "_command", lambda self, folder: ["no-such-client"])
    with pytest.raises(InputError, match="comes by way of no-such-client, which is not installed"):
        list(Package("npm", "words", "words-").files())
    monkeypatch.setattr(Package, "_command", lambda self, folder: ["true"])
    with pytest.raises(InputError, match="gave no file words-"):
        list(Package("npm", "words", "words-").files())
