"""A frame around one of two photographs finds that photograph, from the picture that is kept of the search."""

from pathlib import Path

import pytest
from django.test import Client
from PIL import Image as Pillow

from engine.networks.embedder import Embedder
from gallery.models import Image, Query
from gallery.queries import accept
from gallery.queries.accept import Parameters, Pictures
from gallery.results import matches
from gallery.timings import Stopwatch
from tasks.indexing.embedding import embed_step
from tasks.queries.answer import answer_waiting
from tasks.worker import Worker
from tests.gallery.rows import add_file, now, uploaded
from tests.tasks.conftest import encoded

PER_LABEL, HEIGHT = 5, 700


@pytest.fixture
def photographs(shared_photos: Path, embedder: Embedder, db: None) -> list[tuple[Image, Pillow.Image]]:
    """Fill the gallery with photographs of each label; return the first of each, with its pixels."""
    first = []
    for folder in sorted(path for path in shared_photos.iterdir() if path.is_dir()):
        files = sorted(folder.glob("*.jpg"))[:PER_LABEL]
        images = [add_file(file.read_bytes(), label=folder.name) for file in files]
        with Pillow.open(files[0]) as photograph:
            first.append((images[0], photograph.convert("RGB")))
    embed_step(embedder, 1000)
    return first


def pasted(left: Pillow.Image, right: Pillow.Image) -> tuple[bytes, float]:
    """Return two photographs beside each other, and where the second one begins, as a fraction."""
    scaled = [picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT)) for picture in (left, right)]
    both = Pillow.new("RGB", (scaled[0].width + scaled[1].width, HEIGHT))
    both.paste(scaled[0], (0, 0))
    both.paste(scaled[1], (scaled[0].width, 0))
    return encoded(both), scaled[0].width / both.width


def framed(worker: Worker, client: Client, query: Query, crop: str) -> Image:
    """Search with a frame as the page does; return the best match."""
    response = client.post(f"/q/{query.pk}/refine", {"crop": crop})
    [query_id] = answer_waiting(worker, 8)
    assert response["Location"].startswith(f"/q/{query_id}?crop=")
    return Image.objects.get(pk=matches.shown(Query.objects.get(pk=query_id))[0].image.id)


def test_a_frame_around_one_of_two_photographs_finds_it_first(
    worker: Worker, photographs: list[tuple[Image, Pillow.Image]], client: Client
) -> None:
    found = []
    for (one, left), (other, right) in zip(photographs, photographs[7:] + photographs[:7], strict=True):
        data, middle = pasted(left, right)
        query = accept.store(Pictures(files=[uploaded(data)]), Parameters(), Stopwatch())
        answer_waiting(worker, 8)
        with Pillow.open(now(query).picture_file.path) as kept:
            assert max(kept.size) == 1000
        middle = round(middle, 4)
        found.append(framed(worker, client, query, f"0,0,{middle},1") == one)
        found.append(framed(worker, client, query, f"{middle},0,{1 - middle:.4f},1") == other)
    assert found == [True] * 40
