"""The file format of a backup: a tar stream with a checksum, so that missing and changed bytes show.

manifest.json                     first: version, state of the database, number of rows and pictures
rows/<table>/<number>.jsonl.gz    some rows of a table, a JSON object in each line
pictures/<kind>/<id>.jpg          as they are on the disk
end.json                          last: the SHA-256 of all names and contents before it

The checksum shows damage, not forgery: an attacker can write a new checksum.
"""

import hashlib
import json
import re
import tarfile
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

FORMAT = 1
MANIFEST, END = "manifest.json", "end.json"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ROWS_NAME = re.compile(r"rows/([a-z0-9_]+\.[a-z0-9_]+)/[0-9]+\.jsonl\.gz")
PICTURE_NAME = re.compile(rf"pictures/([a-z]+)/({UUID})\.jpg")
GZIP = 31  # zlib's constant for gzip's format
# Far more than any member has: a damaged or forged size must not take all memory.
MOST_BYTES = 2**30
# The exceptions of tarfile, zlib, json and uuid for damaged bytes.
GARBLED = (tarfile.TarError, zlib.error, EOFError, ValueError, RecursionError)


class BadBackup(Exception):
    """A file that is not a complete backup; the text is a sentence."""


@dataclass(frozen=True)
class Manifest:
    """What a backup is of.

    `model_id`: of the active model, empty if there was no index, and stored as `network`; `migrations`: "app.name" of
    each that its database had; `rows`: how many each table had; `pictures`: how many files these rows name.
    """

    simsearch: str
    made_at: str
    model_id: str
    migrations: list[str]
    rows: dict[str, int]
    pictures: int
    format: int = FORMAT

    @property
    def items(self) -> int:
        """Return the number of rows and pictures."""
        return sum(self.rows.values()) + self.pictures


@dataclass(frozen=True)
class Rows:
    """Some rows of one table, each as JSON."""

    table: str
    lines: list[bytes]


@dataclass(frozen=True)
class Picture:
    """One picture file."""

    kind: str
    id: uuid.UUID
    data: bytes


class Writer:
    """Writes a backup to a stream, which need not be seekable. Raises OSError."""

    def __init__(self, stream: BinaryIO, manifest: Manifest) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._now_s = int(time.time())
        self._numbers: dict[str, int] = {}
        fields = asdict(manifest)
        fields["network"] = fields.pop("model_id")
        self._add(MANIFEST, _json(fields))

    def add_rows(self, rows: Rows) -> None:
        """Append a table."""
        number = self._numbers[rows.table] = self._numbers.get(rows.table, 0) + 1
        # Level 1 removes what base64 adds to a vector; a higher level would only take time.
        packed = zlib.compress(b"\n".join(rows.lines), level=1, wbits=GZIP)
        self._add(f"rows/{rows.table}/{number:06}.jsonl.gz", packed)

    def add_picture(self, picture: Picture) -> None:
        """Append a picture file."""
        self._add(f"pictures/{picture.kind}/{picture.id}.jpg", picture.data)

    def finish(self) -> None:
        """Write the last member, which only a complete backup has."""
        self._add(END, _json({"sha256": self._digest.hexdigest()}))
        self._stream.write(bytes(2 * tarfile.BLOCKSIZE))

    def _add(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = len(data), self._now_s, 0o600
        # By hand: a TarFile keeps every member in memory.
        self._stream.write(info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE))
        _count(self._digest, name, data)


class Reader:
    """Reads a backup from a file, once. Raises BadBackup when it reaches damage."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        try:
            self.manifest = self._read_manifest()
        except GARBLED as error:
            raise BadBackup("This file is not a backup of simsearch.") from error

    def __iter__(self) -> Iterator[Rows | Picture]:
        """Yield the members between the manifest and the end; the checksum is compared after the last one."""
        try:
            while (member := self._next())[0] != END:
                yield _part(*member)
            sealed = json.loads(member[1])
        except GARBLED as error:
            raise BadBackup("This backup is damaged or not complete.") from error
        if sealed != {"sha256": self._digest.hexdigest()}:
            raise BadBackup("This backup is damaged: its checksum does not match.")

    def _read_manifest(self) -> Manifest:
        name, data = self._next()
        manifest = json.loads(data)
        if name != MANIFEST or not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
            raise ValueError(name)
        if manifest["format"] != FORMAT:
            raise BadBackup(
                f"This backup has format {manifest['format']}, and this version of simsearch reads {FORMAT}."
            )
        try:
            read = Manifest(model_id=manifest.pop("network"), **manifest)
            sum(read.rows.values(), read.pictures)
        except (AttributeError, KeyError, TypeError) as error:  # other fields than those of format 1
            raise ValueError(name) from error
        return read

    def _next(self) -> tuple[str, bytes]:
        """Return the name and the content of the next member, whatever it is. Raises what GARBLED lists."""
        info = tarfile.TarInfo.frombuf(self._file.read(tarfile.BLOCKSIZE), "utf-8", "strict")
        if info.type != tarfile.REGTYPE or not 0 <= info.size <= MOST_BYTES:
            raise ValueError(info.name)
        data = self._file.read(info.size)
        padding = -info.size % tarfile.BLOCKSIZE
        if len(data) < info.size or len(self._file.read(padding)) < padding:
            raise EOFError
        if info.name != END:
            _count(self._digest, info.name, data)
        return info.name, data


def _part(name: str, data: bytes) -> Rows | Picture:
    """Return the part of this name. Only two forms of names exist, and none is used as a path on the disk."""
    if match := ROWS_NAME.fullmatch(name):
        unpacker = zlib.decompressobj(wbits=GZIP)
        lines = unpacker.decompress(data, MOST_BYTES)
        if not unpacker.eof:
            raise EOFError
        return Rows(match[1], lines.splitlines())
    if match := PICTURE_NAME.fullmatch(name):
        return Picture(match[1], uuid.UUID(match[2]), data)
    raise BadBackup(f"This backup holds {name!r}, which no backup of simsearch does; it is not restored.")


def _count(digest: "hashlib._Hash", name: str, data: bytes) -> None:
    digest.update(f"{name} {len(data)}\n".encode())
    digest.update(data)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1).encode()
