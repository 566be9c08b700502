"""The disk fills up during a build, or is too small for a backup: one clear sentence, and what was there goes on."""

import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import Settings
from supervisor import loggers

from engine.index.build import DIMENSION
from gallery.backup import backup, restoring
from gallery.errors import Refusal
from gallery.index import generations
from gallery.models import Embedding, Image, IndexGeneration
from gallery.queries import lifecycle, uploads
from gallery.storage.disk import RESERVED_BYTES
from gallery.storage.files import Stored
from simsearch.launch.supervisord import LossyFileHandler
from tasks.indexing.build import build_generation
from tasks.search.neighbours import Neighbours, SearchRequest
from tests import fresh
from tests.drills.disks import fill, small_disk
from tests.engine.galleries import MODEL_ID, make_vectors
from tests.gallery.rows import add_image, ask, files_kept, now

DISK_MB = 40
ROOM_LEFT = 64 * 1024  # when the disk fills up while nothing is written any more


@pytest.fixture
def disk(settings: Settings) -> Iterator[Path]:
    """Provide a small disk of its own with the index on it."""
    # Not in pytest's own folder: one that is still mounted would break its cleaning up.
    directory = Path(tempfile.mkdtemp(prefix="simsearch-small-disk-"))
    try:
        with small_disk(directory, DISK_MB) as mount:
            settings.INDEX_ROOT = mount / "index"
            yield mount
    finally:
        shutil.rmtree(directory)


def add(count: int) -> None:
    """Add that many more pictures with their embeddings, as rows alone."""
    there = Image.objects.count()
    vectors = make_vectors(there + count)[there:].astype("<f2")
    names = [f"{number:064x}" for number in range(there, there + count)]
    Image.objects.bulk_create(Image(content_hash=name, title=name, width_px=1, height_px=1) for name in names)
    Embedding.objects.bulk_create(
        Embedding(image_id=name, model_id=MODEL_ID, vector=vector.tobytes())
        for name, vector in zip(names, vectors, strict=True)
    )


def answer(neighbours: Neighbours) -> list[str]:
    """Return the titles that the last picture finds."""
    neighbours.refresh()
    last = make_vectors(Image.objects.count())[-1:]
    [found] = neighbours.search(last, [SearchRequest(10)])
    titles = dict(Image.objects.values_list("id", "title"))
    return [titles[match.image] for match in found]


def vectors_bytes(count: int) -> int:
    return count * 4096 * 4


@pytest.mark.parametrize(
    ("pictures", "room"),
    [
        (300, 0),
        (300, vectors_bytes(300) // 2),
        (300, vectors_bytes(300)),  # the ids and the vectors' head have none
        (900, vectors_bytes(900) + ROOM_LEFT),  # the vectors fit, the components do not
        (900, vectors_bytes(900) + vectors_bytes(DIMENSION) + ROOM_LEFT),  # the trees do not fit
    ],
    ids=["nothing", "half the vectors", "no manifest", "no components", "no trees"],
)
def test_a_full_disk_is_one_clear_sentence_and_the_old_generation_serves(
    db: None, disk: Path, pictures: int, room: int
) -> None:
    add(100)
    good = build_generation(MODEL_ID)
    neighbours = Neighbours(MODEL_ID)
    add(pictures - 100)
    before = answer(neighbours)
    filler = fill(disk, room)

    with pytest.raises(generations.BuildFailed) as refusal:
        build_generation(MODEL_ID)
    sentence = str(refusal.value)
    assert "No space left on device" in sentence
    assert "\n" not in sentence
    assert generations.active() == good
    failed = IndexGeneration.objects.get(state="failed")
    assert failed.error == sentence
    assert [path.name for path in good.directory.parent.iterdir()] == [str(good.number)]
    assert answer(neighbours) == before
    assert answer(Neighbours(MODEL_ID)) == before  # a worker that starts now
    assert neighbours.generation == good.number

    filler.unlink()
    assert build_generation(MODEL_ID) == generations.active()
    assert answer(neighbours) == before


@pytest.mark.django_db(transaction=True)
def test_a_backup_that_does_not_fit_is_refused_before_anything_is_written(disk: Path, settings: Settings) -> None:
    images = [add_image(number) for number in range(3)]
    copy = io.BytesIO()
    backup.write(copy)
    settings.MEDIA_ROOT = disk / "pictures"
    fill(disk, but_bytes=ROOM_LEFT // 8)
    with pytest.raises(restoring.Refused, match=r"too small: the backup needs about 0\.\d MB, and 0\.0 MB are free"):
        restoring.restore(copy, replace=True)
    assert files_kept() == []
    assert list(Image.objects.order_by("created_at")) == images


# What a process does with files that grow

COUNT = """
import os
from pathlib import Path
import django
from tests.drills.disks import fill

{before}
fill(Path(os.environ["SIMSEARCH_DATA_DIR"]))
django.setup()
from gallery.operations import counters
for number in range(1000):  # many pages of each file
    counters.HTTP_REQUESTS.labels("GET", f"view-{{number}}", "200").inc()
print(sum(int(s.value) for f in counters.totals() for s in f.samples if s.name == "simsearch_http_requests_total"))
"""
IMPORT = "django.setup(); from gallery.operations import counters"


@pytest.mark.parametrize(
    ("before", "counted"), [(IMPORT, 1000), ("", 0)], ids=["started before", "started on the full disk"]
)
def test_counting_on_a_full_disk_kills_no_process(disk: Path, before: str, counted: int) -> None:
    assert fresh.run(COUNT.format(before=before), disk, DJANGO_SETTINGS_MODULE="simsearch.settings") == f"{counted}\n"


def test_a_log_goes_on_when_there_is_room_again_also_after_a_rotation(disk: Path) -> None:
    log = loggers.getLogger(loggers.LevelsByName.INFO)
    log.addHandler(LossyFileHandler(str(disk / "some.log"), maxBytes=50_000, backupCount=2))
    log.handlers[0].setFormat("%(message)s\n")
    filler = fill(disk)
    for number in range(5000):
        log.info(f"line {number}")
    filler.unlink()
    log.info("room again")
    log.info("and more")
    log.close()
    assert (disk / "some.log").read_text().endswith("room again\nand more\n")


def test_uploads_leave_room_for_the_rest(disk: Path, settings: Settings) -> None:
    settings.UPLOADS_ROOT = disk / "uploads"
    path = settings.UPLOADS_ROOT / "some" / "upload"
    filler = fill(disk, but_bytes=RESERVED_BYTES - ROOM_LEFT)
    with pytest.raises(Refusal, match="no room"):
        uploads.store(SimpleUploadedFile("picture.jpg", bytes(1000)), Stored("uploads", "some/upload"))
    assert not path.exists()
    filler.unlink()
    uploads.store(SimpleUploadedFile("picture.jpg", bytes(1000)), Stored("uploads", "some/upload"))
    assert path.stat().st_size == 1000


def test_nothing_is_claimed_while_the_answers_have_no_room(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "ROOM_FOR_ANSWERS_BYTES", 2**60)
    query = ask()
    assert not lifecycle.claim(1).queries
    assert (now(query).state, now(query).attempts) == ("waiting", 0)
