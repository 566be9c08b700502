"""A worker of the tests' own: the real model on the CPU, the real index, no Celery."""

import functools
import hashlib
import io
from collections.abc import Callable, Iterator

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
from tests.gallery.rows import uploaded
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
    return add_known(encoded(picture), label=label)


def add(number: int, label: str = "") -> Image:
    """Return a drawn picture in the gallery."""
    return add_known(picture(number), label=label, title=str(number))


def add_known(data: bytes, *, label: str = "", title: str = "") -> Image:
    """Return this picture in the gallery, as an import keeps it; for the first test it is decoded."""
    image = Image(label=label, title=title)
    library.keep(image, hashlib.sha256(data).hexdigest(), _kept(data), data)
    return image


@functools.cache
def _kept(data: bytes) -> Encoded:
    return reencode(data)


# What `embed_step` made of each picture and model in this process.
_KNOWN: dict[tuple[object, str], Embedding] = {}


def embed(embedder: Embedder) -> None:
    """Embed the pictures of the gallery; what another test has had embedded gets the same row."""
    model_id = embedder.model_id
    waiting = [(image.content_hash, model_id) for image in Image.objects.not_embedded(model_id)]
    Embedding.objects.bulk_create(
        Embedding(image_id=key[0], model_id=model_id, vector=row.vector, fingerprint=row.fingerprint)
        for key in waiting
        if (row := _KNOWN.get(key))
    )
    while embed_step(embedder, 100):
        pass
    _KNOWN.update({(row.image_id, model_id): row for row in Embedding.objects.filter(model_id=model_id)})


@pytest.fixture
def gallery(embedder: Embedder, db: None) -> list[Image]:
    """Sixteen embedded pictures, odd and even by label."""
    images = [add(number, "odd" if number % 2 else "even") for number in range(16)]
    embed(embedder)
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
