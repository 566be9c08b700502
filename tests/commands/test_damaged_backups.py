"""Files that are no whole backup, or no honest one: refused before anything is changed."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from gallery.backup import restoring
from gallery.backup.archive import BadBackup, Manifest, Reader
from gallery.models import Image
from tests.commands.backups import members
from tests.gallery.rows import add_image, files_kept

pytestmark = pytest.mark.django_db(transaction=True)
PLACES = 300


@pytest.fixture
def here() -> Iterator[None]:
    """Provide a system with a picture in it, which must be the same afterwards."""
    image = add_image(50)
    before = files_kept()
    yield
    assert list(Image.objects.all()) == [image]
    assert files_kept() == before


def restore(data: bytes) -> None:
    restoring.restore(io.BytesIO(data), replace=True)


def parts(data: bytes) -> tuple[Manifest, list[Any]]:
    reader = Reader(io.BytesIO(data))
    return reader.manifest, list(reader)


def test_a_part_of_a_backup_is_refused_wherever_it_ends(backup: Path, here: None) -> None:
    data = backup.read_bytes()
    whole = len(data) - 2 * tarfile.BLOCKSIZE
    ends = {*range(0, whole, whole // PLACES), whole - tarfile.BLOCKSIZE, whole - 1}
    for end in sorted(ends):
        with pytest.raises(BadBackup):
            restore(data[:end])
    assert parts(data[:whole]) == parts(data)


def test_a_changed_byte_is_refused_or_changes_nothing(backup: Path, here: None) -> None:
    data, true = backup.read_bytes(), parts(backup.read_bytes())
    noticed = 0
    for place in range(0, len(data), len(data) // PLACES):
        changed = bytearray(data)
        changed[place] ^= 0x10
        try:
            assert parts(bytes(changed)) == true, f"byte {place}"
        except BadBackup:
            noticed += 1
            with pytest.raises(BadBackup):
                restore(bytes(changed))
    assert noticed > PLACES * 0.8  # the rest is padding


def test_a_byte_that_changes_after_the_check_changes_nothing(backup: Path, here: None) -> None:
    """The file is read twice; the second time it is another one."""

    class Decaying(io.BytesIO):
        starts = 0

        def seek(self, *place: int) -> int:
            self.starts += 1
            if self.starts == 2:
                self.getbuffer()[-3 * tarfile.BLOCKSIZE - 1] ^= 1
            return super().seek(*place)

    with pytest.raises(BadBackup):
        restoring.restore(Decaying(backup.read_bytes()), replace=True)


def test_ctrl_c_leaves_everything_as_it_was(backup: Path, here: None) -> None:
    class Stopped(io.BytesIO):
        starts = 0

        def seek(self, *place: int) -> int:
            self.starts += 1
            return super().seek(*place)

        def read(self, size: int | None = -1) -> bytes:
            if self.starts == 2 and self.tell() > len(self.getbuffer()) * 0.9:
                raise KeyboardInterrupt
            return super().read(size)

    with pytest.raises(KeyboardInterrupt):
        restoring.restore(Stopped(backup.read_bytes()), replace=True)


def test_ctrl_c_after_the_commit_takes_no_picture_away(backup: Path) -> None:
    class StoppedLate(io.BytesIO):
        is_stopping = False

        def read(self, size: int | None = -1) -> bytes:
            if connection.in_atomic_block and not self.is_stopping:
                self.is_stopping = True
                transaction.on_commit(interrupt)
            return super().read(size)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restoring.restore(StoppedLate(backup.read_bytes()), replace=False)
    assert Image.objects.count() == 5
    assert all(image.picture_file.path.exists() and image.thumbnail_file.path.exists() for image in Image.objects.all())


# --- Forged -------------------------------------------------------------------------------------------------


def forged(backup: Path, **more: bytes | tarfile.TarInfo) -> bytes:
    """Return the backup with members added (bytes) or others made of them, and with a checksum that fits."""
    file, digest = io.BytesIO(), hashlib.sha256()
    held = members(backup)
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, member in (held | more).items():
            if name == "end.json":
                continue
            data = member if isinstance(member, bytes) else b""
            info = tarfile.TarInfo(name) if isinstance(member, bytes) else member
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            digest.update(f"{name} {len(data)}\n".encode() + data)
        end = json.dumps({"sha256": digest.hexdigest()}).encode()
        info = tarfile.TarInfo("end.json")
        info.size = len(end)
        tar.addfile(info, io.BytesIO(end))
    return file.getvalue()


ID = "12345678-1234-4234-8234-123456789abc"


def test_a_forged_backup_of_nothing_new_is_the_same(backup: Path) -> None:
    """So that what is refused below is refused for its names and contents."""
    assert parts(forged(backup)) == parts(backup.read_bytes())


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.jpg",
        "/tmp/evil.jpg",
        f"pictures/gallery/../../{ID}.jpg",
        f"pictures/index/{ID}.jpg",
        f"pictures/gallery/{ID.upper()}.jpg",
        f"pictures/gallery/{ID}.jpg/x",
        f"pictures/gallery/{ID}.jpg\n",
        "rows/../x.y/1.jsonl.gz",
        "simsearch.env",
    ],
)
def test_a_name_that_no_backup_has_is_refused(backup: Path, here: None, name: str) -> None:
    with pytest.raises(BadBackup, match="holds"):
        restore(forged(backup, **{name: b"evil"}))
    assert not list(Path(settings.MEDIA_ROOT).parent.rglob("*evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_only_files_are_taken_from_it(backup: Path, here: None, kind: bytes) -> None:
    info = tarfile.TarInfo(f"pictures/gallery/{ID}.jpg")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(BadBackup):
        restore(forged(backup, **{info.name: info}))


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("sessions.session", {"model": "sessions.session", "pk": "x", "fields": {"expire_date": "2030-01-01"}}),
        ("auth.user", {"model": "sessions.session", "pk": "x", "fields": {"expire_date": "2030-01-01"}}),
        ("gallery.image", {"model": "gallery.image", "pk": ID, "fields": {"no_such_field": 1}}),
        ("gallery.image", {"model": "gallery.image", "pk": "no uuid", "fields": {}}),
        ("gallery.image", {"model": "gallery.image"}),
        ("gallery.image", [1, 2]),
        ("no.table", {"model": "no.table", "pk": 1, "fields": {}}),
    ],
)
def test_rows_that_no_backup_has_are_refused(backup: Path, here: None, table: str, row: Any) -> None:
    name = f"rows/{table}/999999.jsonl.gz"
    with pytest.raises(BadBackup, match=table):
        restore(forged(backup, **{name: gzip.compress(json.dumps(row).encode())}))


def test_a_match_of_no_picture_is_refused(backup: Path, here: None) -> None:
    held = members(backup)
    for name in [name for name in held if name.startswith("rows/gallery.image/")]:
        held[name] = gzip.compress(b"")
    with pytest.raises(DatabaseError):
        restore(forged(backup, **held))


@pytest.mark.parametrize("manifest", [b"[]", b"{}", b"{", b'{"format": 1}', b'{"format": 1, "rows": 3}', b"\xff"])
def test_a_manifest_that_says_nothing_is_refused(backup: Path, here: None, manifest: bytes) -> None:
    with pytest.raises(BadBackup, match="not a backup"):
        restore(forged(backup, **{"manifest.json": manifest}))


def test_another_format_is_named(backup: Path, here: None) -> None:
    with pytest.raises(BadBackup, match="has format 2, and this version of simsearch reads 1"):
        restore(forged(backup, **{"manifest.json": b'{"format": 2}'}))
