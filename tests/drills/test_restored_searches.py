"""A gallery moves to another machine: its searches find there what they found here."""

import shutil
from pathlib import Path

import pytest

from tests import postgres
from tests.demo import write_gallery
from tests.sites import Site

PHOTOS = 300
# The ten most similar of 100 pictures: of 50 that are in the gallery, and of 50 drawn ones that are not.
SEARCH = """
from django.conf import settings
from PIL import Image as Pillow
from gallery.models import Image
from tasks import active_model
from tasks.search.neighbours import Neighbours, SearchRequest
from tests.tasks.conftest import drawn
embedder = active_model.load_active()
images = Image.objects.order_by("content_hash")
some = list(images)[:: len(images) // 50][:50]
pictures = [Pillow.open(image.picture_file.path).convert("RGB") for image in some]
pictures += [drawn(number + 5000) for number in range(50)]
neighbours = Neighbours(embedder.model_id)
neighbours.refresh()
found = neighbours.search(embedder.embed(pictures), [SearchRequest(10)] * 100)
matches = [[[str(match.image), match.similarity] for match in matches] for matches in found]
print(json.dumps([neighbours.problem, matches]))
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Real photographs where there are some beside the checkout, else drawn pictures."""
    real = sorted((Path(__file__).resolve().parents[3] / "shared" / "photos").rglob("*.jpg"))
    if not real:
        return write_gallery(tmp_path / "photos", per_kind=20)
    (folder := tmp_path / "photos").mkdir()
    for number, photo in enumerate(real[:: max(1, len(real) // PHOTOS)]):
        shutil.copy(photo, folder / f"{number}.jpg")
    return folder


@pytest.mark.timeout(900)
def test_a_restored_gallery_gives_the_same_top_ten_for_100_pictures(photos: Path, tmp_path: Path) -> None:
    origin = Site(tmp_path / "origin")
    origin.output("import_images", str(photos))
    origin.output("build_index")
    problem, searches = origin.run(SEARCH)
    assert problem == ""
    assert [len(matches) for matches in searches] == [10] * 100
    origin.output("backup", str(tmp_path / "backup.tar"))

    there = Site(tmp_path / "sqlite")
    there.output("restore", str(tmp_path / "backup.tar"))
    assert "Embedding" not in there.output("build_index")  # nothing was left to embed
    assert there.run(SEARCH) == ["", searches]

    if reason := postgres.unavailable():
        pytest.skip(f"SQLite is well; {reason}")
    with postgres.Cluster() as cluster:
        there = Site(tmp_path / "postgresql", cluster.url)
        there.output("restore", str(tmp_path / "backup.tar"))
        there.output("build_index")
        assert there.run(SEARCH) == ["", searches]
