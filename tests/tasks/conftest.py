"""A worker of the tests' own: the real model on the CPU, the real index, no Celery."""

import functools
import hashlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image as Pillow

from engine.networks.embedder import Embedder
from gallery.curation import library
from gallery.curation.pictures import Encoded, reencode
from gallery.models import Embedding, Image, Query
from gallery.queries import accept
from gallery.queries.accept import Parameters, Pictures
from gallery.timings import Stopwatch
from tasks.indexing.embedding import embed_step
from tasks.search.neighbours import Neighbours
from tasks.worker import Worker
from tests import demo
from tests.gallery.rows import add_file, uploaded
from tests.tasks.hosts import Counting, Names, serving


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return Embedder.load("efficientnet_lite0", device="cpu", threads=1)


@pytest.fixture
def worker(embedder: Embedder, db: None) -> Worker:
    return Worker(embedder, Neighbours(embedder.model_id))


def drawn(number: int) -> Pillow.Image:
    kind = demo.KINDS[number % len(demo.KINDS)]
    return demo.picture(kind, number // len(demo.KINDS))


@functools.cache
def picture(number: int) -> bytes:
    """Return a drawn JPEG; another number is another picture."""
    return encoded(drawn(number))


def encoded(picture: Pillow.Image) -> bytes:
    """Return that picture as a JPEG."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92)
    return file.getvalue()


def add_drawn(picture: Pillow.Image, label: str = "") -> Image:
    """Return that picture in the gallery."""
    return add_file(encoded(picture), label=label)


@functools.cache
def kept(number: int) -> Encoded:
    """Return that picture as the gallery keeps it: always the same, so it is decoded once."""
    return reencode(picture(number))


def add(number: int, label: str = "") -> Image:
    """Return a drawn picture in the gallery."""
    image, data = Image(label=label, title=str(number)), picture(number)
    library.keep(image, hashlib.sha256(data).hexdigest(), kept(number), data)
    return image


@pytest.fixture(scope="session")
def embedded() -> list[dict[str, Any]]:
    """Provide the fields of the rows that `embed_step` made for the first `gallery`: they are the same for each."""
    return []


@pytest.fixture
def gallery(embedder: Embedder, embedded: list[dict[str, Any]], db: None) -> list[Image]:
    """Sixteen embedded pictures, odd and even by label."""
    images = [add(number, "odd" if number % 2 else "even") for number in range(16)]
    if embedded:
        Embedding.objects.bulk_create(Embedding(**fields) for fields in embedded)
    else:
        embed_step(embedder, 100)
        embedded.extend(map(dict, Embedding.objects.values("image_id", "model_id", "vector", "fingerprint")))
    return images


Ask = Callable[..., Query]


@pytest.fixture
def ask(db: None) -> Ask:
    """Ask about picture `number`, without a web server."""

    def ask(number: int, **parameters: object) -> Query:
        return accept.store(Pictures(files=[uploaded(picture(number))]), Parameters(**parameters), Stopwatch())  # type: ignore[arg-type]

    return ask


@pytest.fixture(scope="session")
def hosts() -> Iterator[tuple[Counting, Names]]:
    """Provide a server that counts its requests, and a resolver, for pictures by link."""
    server, names = Counting(), Names()
    with serving(server), serving(names):
        yield server, names


@pytest.fixture
def server(hosts: tuple[Counting, Names]) -> Counting:
    """Provide the server, without pages and requests."""
    server, _ = hosts
    server.connections, server.requests = 0, []
    server.pages.clear()
    return server


@pytest.fixture
def names(hosts: tuple[Counting, Names]) -> Names:
    """Provide the resolver, without records."""
    _, names = hosts
    names.asked.clear()
    names.records.clear()
    return names
