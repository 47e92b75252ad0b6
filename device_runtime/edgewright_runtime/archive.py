"""The .ewb file: a ZIP whose bytes are a pure function of the manifest and the files.

Any unzip opens it, but there is only one valid way to write it: entries stored without compression, manifest.json
first, then the files in the manifest's order, every date 1980-01-01, no extra fields, no comments, no flags. So the
reader needs no ZIP parser. It computes what each header must be and compares; one differing byte anywhere, or one too
many, and the archive is refused.

Formats: PKWARE APPNOTE 6.3.3, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (end record).
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple, Optional, Union

from .disk import replacing
from .errors import BundleError, InputError
from .hashing import CHUNK_BYTES, new_sha256
from .manifest import FileEntry, Manifest, parse_manifest

MANIFEST = "manifest.json"
MANIFEST_LIMIT_BYTES = 16 << 20

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION_NEEDED = 10
_MADE_BY = 3 << 8 | 20  # Unix, so that the mode below counts when a user unzips
_DATE = 1 << 5 | 1  # 1980-01-01, the earliest that ZIP can say
_MODE = 0o100644 << 16


class _Member(NamedTuple):
    name: str
    size_bytes: int
    crc: int
    offset: int  # of its local header

    @property
    def data_offset(self) -> int:
        return self.offset + _LOCAL.size + len(self.name)

    def local_header(self) -> bytes:
        sizes = (self.crc, self.size_bytes, self.size_bytes, len(self.name), 0)
        return _LOCAL.pack(b"PK\3\4", _VERSION_NEEDED, 0, 0, 0, _DATE, *sizes) + self.name.encode()

    def central_header(self) -> bytes:
        sizes = (self.crc, self.size_bytes, self.size_bytes, len(self.name), 0)
        versions = (_MADE_BY, _VERSION_NEEDED, 0, 0, 0, _DATE)
        return _CENTRAL.pack(b"PK\1\2", *versions, *sizes, 0, 0, 0, _MODE, self.offset) + self.name.encode()


def _fits(manifest: Manifest) -> bool:
    """Small enough for ZIP's 32-bit fields, with room to spare."""
    return sum(entry.size_bytes for entry in manifest.files) < 1 << 31 and len(manifest.files) <= 1000


def _directory(members: list[_Member], offset: int) -> bytes:
    """What follows the last file: the central directory, which begins at ``offset``, and the end record."""
    central = b"".join(member.central_header() for member in members)
    return central + _END.pack(b"PK\5\6", 0, 0, len(members), len(members), len(central), offset, 0)


def write_archive(manifest: Manifest, files: Mapping[str, Union[bytes, Path]], path: Path) -> None:
    """Write an .ewb; the old file at ``path`` is replaced only by a complete new one.

    files: the content, or the path of the content, of each file that the manifest lists.
    Raises BundleError for a manifest that no reader takes, InputError where the files do not fit it, StorageError where
    the folder refuses.
    """
    if set(files) != {entry.path for entry in manifest.files}:
        raise InputError("The files given are not those that the manifest lists: build the manifest from the files.")
    if not _fits(manifest):
        raise InputError("A bundle holds at most 2 GiB in 1000 files: make the model smaller.")
    with replacing(Path(path)) as out:
        _write(out, manifest, files)


def _write(out: IO[bytes], manifest: Manifest, files: Mapping[str, Union[bytes, Path]]) -> None:
    raw = manifest.to_bytes()
    parse_manifest(raw)  # what this would not read, it does not write
    members = [_Member(MANIFEST, len(raw), zlib.crc32(raw), 0)]
    out.write(members[0].local_header() + raw)
    for entry in manifest.files:
        offset = out.tell()
        # The header holds the checksum of what follows it: written twice, so that no file has to fit in memory.
        out.write(_Member(entry.path, entry.size_bytes, 0, offset).local_header())
        members.append(_Member(entry.path, entry.size_bytes, _copy(files[entry.path], out, entry), offset))
        end = out.tell()
        out.seek(offset)
        out.write(members[-1].local_header())
        out.seek(end)
    out.write(_directory(members, out.tell()))


def _copy(source: Union[bytes, Path], out: IO[bytes], entry: FileEntry) -> int:
    """Copy one file, checking it against the manifest. Returns its CRC-32."""
    digest, crc, size_bytes = new_sha256(entry.size_bytes), 0, 0
    for chunk in [source] if isinstance(source, bytes) else _chunks_of(source):
        digest.update(chunk)
        crc = zlib.crc32(chunk, crc)
        size_bytes += len(chunk)
        out.write(chunk)
    if (size_bytes, digest.hexdigest()) != (entry.size_bytes, entry.sha256):
        raise InputError(f"{entry.path} is not the file that the manifest describes: build the manifest anew.")
    return crc


def _chunks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


class Layout(NamedTuple):
    """What an archive holds. manifest_bytes: manifest.json as stored; offsets: where each file's content begins."""

    manifest_bytes: bytes
    manifest: Manifest
    offsets: dict[str, int]
    size_bytes: int


def scan(path: Path) -> Layout:
    """Read a whole .ewb once, in small pieces, and compare every byte of its structure and every CRC-32.

    The files' SHA-256 are not computed here but when a file is read: nothing is used before that.
    Raises BundleError where anything differs, OSError where the file cannot be read.
    """
    with path.open("rb") as file:
        return _Scanner(file, path).scan()


class _Scanner:
    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path

    def scan(self) -> Layout:
        head = self._file.read(_LOCAL.size)
        if head[:4] != b"PK\3\4":
            raise BundleError(f"{self._path} is no edgewright bundle: give an .ewb file made by `edgewright convert`.")
        self._require(len(head) == _LOCAL.size)
        _, _, _, _, _, _, crc, size_bytes, _, _, _ = _LOCAL.unpack(head)
        self._require(size_bytes <= MANIFEST_LIMIT_BYTES)
        first = _Member(MANIFEST, size_bytes, crc, 0)
        self._require(head + self._file.read(len(MANIFEST)) == first.local_header())
        raw = self._file.read(size_bytes)
        self._require(len(raw) == size_bytes and zlib.crc32(raw) == crc)
        manifest = parse_manifest(raw)
        self._require(_fits(manifest))
        members = [first]
        for entry in manifest.files:
            members.append(self._check_member(entry))
        offset = self._file.tell()
        expected = _directory(members, offset)
        self._require(self._file.read(len(expected) + 1) == expected)
        offsets = {member.name: member.data_offset for member in members}
        return Layout(raw, manifest, offsets, offset + len(expected))

    def _check_member(self, entry: FileEntry) -> _Member:
        offset = self._file.tell()
        header = self._file.read(_LOCAL.size + len(entry.path))
        self._require(len(header) == _LOCAL.size + len(entry.path))
        member = _Member(entry.path, entry.size_bytes, _LOCAL.unpack(header[: _LOCAL.size])[6], offset)
        self._require(header == member.local_header(), entry.path)
        crc = 0
        for chunk in read_chunks(self._file, entry.size_bytes):
            crc = zlib.crc32(chunk, crc)
        self._require(crc == member.crc, entry.path)
        return member

    def _require(self, condition: bool, entry: Optional[str] = None) -> None:
        if not condition:
            where = f" at {entry}" if entry else ""
            raise BundleError(f"{self._path} is damaged or incomplete{where}: copy it again or convert again.")


def read_chunks(file: IO[bytes], size_bytes: int) -> Iterator[bytes]:
    """The next ``size_bytes`` of the file, or as many as it has, in small pieces."""
    while size_bytes > 0 and (chunk := file.read(min(size_bytes, CHUNK_BYTES))):
        size_bytes -= len(chunk)
        yield chunk
