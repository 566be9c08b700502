"""A gallery of the version before, whose model this version no longer has: nothing is lost, and it is found again."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.engine.galleries import MODEL_ID
from tests.sites import Site

pytestmark = pytest.mark.drill  # each step is a process of its own; test_removed_model.py has what they say

OLD = "compact-81dc946c96cf-p1"
NOTICE = f"This gallery was indexed by {OLD}, which this version no longer has."
PICTURES = 12

# The rows and files that the version before left: embeddings, an index of format 2, a query and its matches.
FILL = """
import hashlib
from pathlib import Path
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from engine.images.decoding import to_jpeg
from tests import demo
from tests.engine.galleries import make_vectors

OLD, PICTURES = "compact-81dc946c96cf-p1", 12

def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)

apps = MigrationExecutor(connection).loader.project_state([("gallery", "0002_stages")]).apps
names = "Image", "Embedding", "IndexGeneration", "Query", "Match"
Image, Embedding, IndexGeneration, Query, Match = (apps.get_model("gallery", name) for name in names)
images = []
for number in range(PICTURES):
    drawn = demo.picture(demo.KINDS[number], 1)
    file = to_jpeg(drawn, 1000)
    digest = hashlib.sha256(file).hexdigest()
    image = Image.objects.create(content_hash=digest, title=str(number), width_px=drawn.width, height_px=drawn.height)
    for folder in ("gallery", "thumbnails"):
        write(settings.MEDIA_ROOT / folder / image.pk.hex[:2] / f"{image.pk}.jpg", file)
    images.append(image)
for image, vector in zip(images, make_vectors(PICTURES)):
    Embedding.objects.create(image=image, network=OLD, vector=vector.astype("<f2").tobytes())
manifest = {"method": "exact", "recall": 1.0, "recall_target": 0.99}
values = {"network": OLD, "state": "ready", "is_active": True, "images": PICTURES, "last_embedding": PICTURES}
generation = IndexGeneration.objects.create(manifest=manifest, **values)
write(settings.INDEX_ROOT / str(generation.pk) / "manifest.json", b'{"format": 2, "network": "%s"}' % OLD.encode())
write(settings.WEIGHTS_ROOT / OLD, b"weights")
query = Query.objects.create(has_picture=True, state="done", network=OLD, generation=generation.pk, images=PICTURES)
write(settings.MEDIA_ROOT / "queries" / query.pk.hex[:2] / f"{query.pk}.jpg", file)
for rank, image in enumerate(images[:10], start=1):
    copies = [[str(images[10].pk), 0.9]] if rank == 1 else []
    Match.objects.create(query=query, image=image, rank=rank, similarity=1 - rank / 20, duplicates=copies)
"""

PROBLEM = f"""
from tasks.search.neighbours import Neighbours
neighbours = Neighbours("{MODEL_ID}")
neighbours.refresh()
print(json.dumps(neighbours.problem))
"""

STATE = """
from django.test import Client
from gallery.models import Embedding, Image, IndexGeneration, Query
query = Query.objects.get()
client = Client(headers={"host": "localhost"})
shown = client.get(f"/api/queries/{query.pk}").json()
page = client.get(f"/q/{query.pk}")
print(json.dumps({
    "images": Image.objects.count(),
    "embeddings": sorted(Embedding.objects.values_list("model_id", flat=True)),
    "generations": list(IndexGeneration.objects.order_by("number").values_list("model_id", "is_active")),
    "matches": [[m["image"]["title"], m["similarity"], m["band"], len(m["duplicates"])] for m in shown["matches"]],
    "page": [page.status_code, page.content.decode().count('class="card"')],
    "picture": client.get(f"/q/{query.pk}/picture.jpg").status_code,
}))
"""

SEARCH = """
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from gallery.models import Image
from tasks.queries.answer import answer_waiting
from tasks.worker import current
image = Image.objects.get(title="3")
client = Client(headers={"host": "localhost"})
upload = SimpleUploadedFile("picture.jpg", image.picture_file.path.read_bytes(), "image/jpeg")
url = client.post("/api/queries", {"image": upload}).json()["url"]
answer_waiting(current(), 8)
print(json.dumps(client.get(url).json()))
"""


CHANGE = f"""
from django.core.management import CommandError, call_command
refusals = []
for name in ("compact", "{OLD}"):
    try:
        call_command("switch_model", name)
    except CommandError as refusal:
        refusals.append(str(refusal))
print(json.dumps(refusals))
"""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, redis_server: None) -> Site:
    """Return the tables of this version, with the rows of the version before, before anything is embedded again."""
    site = Site(tmp_path_factory.mktemp("old") / "data")
    site.output("migrate", "gallery", "0002_stages", "-v0")
    site.run(FILL)
    site.output("migrate", "-v0")
    site.output("collectstatic", "--noinput", "-v0")
    return site


@pytest.fixture
def site(old: Site, tmp_path: Path) -> Site:
    """Return a copy of that gallery."""
    return Site(tmp_path / "data", like=old)


def build_index(site: Site, *options: str) -> str:
    """Return what the command says, on both of its streams in their order."""
    with site.start("build_index", *options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        refusals: str = process.communicate()[0].decode()
    assert process.returncode == 0, refusals
    return refusals


def test_a_gallery_of_a_removed_model_is_embedded_anew_and_nothing_is_lost(site: Site) -> None:
    first, *others = build_index(site, "--if-stale").splitlines()
    assert first == f"{NOTICE} Embedding its {PICTURES} pictures with efficientnet_lite0 and building a new index."
    assert others[-1] == f"Active: generation 2 with {PICTURES} pictures by {MODEL_ID}."
    assert any(line.startswith("Embedding: ") for line in others)
    assert "up to date" in build_index(site, "--if-stale")
    assert site.run(STATE) == {
        "images": PICTURES,
        "embeddings": [OLD] * PICTURES + [MODEL_ID] * PICTURES,
        "generations": [[OLD, False], [MODEL_ID, True]],
        "matches": [[str(n), pytest.approx(0.95 - n / 20), None, int(n == 0)] for n in range(10)],
        "page": [200, 10],
        "picture": 200,
    }
    answer: dict[str, Any] = site.run(SEARCH)
    best = answer["matches"][0]
    assert (answer["state"], answer["index"]) == ("done", {"generation": 2, "model": MODEL_ID, "images": PICTURES})
    assert (best["image"]["title"], best["band"]) == ("3", "same")


def test_until_then_the_workers_and_the_commands_say_what_is_happening(site: Site) -> None:
    assert site.run(PROBLEM) == (
        f"{NOTICE} Its pictures are embedded with efficientnet_lite0 for a new index; searches find those that are."
    )
    refusals = build_index(site, "--dry-run")
    assert refusals.startswith(f"{NOTICE} {PICTURES} of {PICTURES} pictures would be embedded by {MODEL_ID} on ")
    listed = site.output("switch_model").splitlines()
    assert listed == [
        "No model is active yet; manage.py build_index makes an index.",
        f"{OLD}: {PICTURES} of {PICTURES} pictures embedded. This version no longer has this model.",
    ]


def test_a_removed_model_cannot_be_changed_to(site: Site) -> None:
    refusals = site.run(CHANGE)
    assert len(refusals) == 2
    for line in refusals:
        assert "This version has no model called 'compact'; choose one of efficientnet_lite0, " in line


def test_what_a_removed_model_left_goes_when_requested(site: Site) -> None:
    site.output("switch_model", "efficientnet_lite0")
    assert f"Deleted: what was kept of {OLD}." in site.output("switch_model", "--prune")
    assert site.run(STATE)["embeddings"] == [MODEL_ID] * PICTURES
    assert not (site.data_dir / "weights" / OLD).exists()
