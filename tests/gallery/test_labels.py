"""Labels that look the same are one, wherever they come in: shown as first seen, in Unicode's form NFC."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from gallery.models import Image
from gallery.text import LONGEST_LABEL, label_key
from tests import fresh
from tests.gallery.rows import add_file, add_image, ask, picture

pytestmark = pytest.mark.django_db

KEY = "key-of-the-camera"
FIRST = "Grüne Äpfel"
SPELLINGS = {
    "decomposed": "Gru\u0308ne A\u0308pfel",
    "case": "GRÜNE ÄPFEL",
    "decomposed and case": "gru\u0308ne a\u0308pfel",
    "surrounding space": "  Grüne Äpfel ",
    "tab and line feed": "\tGrüne\n\tÄpfel\r\n",
    "no-break space": "Grüne\u00a0\u2003Äpfel",
}
every_spelling = pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)


def by_import(client: Client, label: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos" / label
    folder.mkdir(parents=True)
    (folder / "second.png").write_bytes(picture(2))
    call_command("import_images", str(tmp_path / "photos"), stdout=io.StringIO())


def by_program(client: Client, label: str, tmp_path: Path) -> None:
    add_file(picture(2), label=label)


def by_api(client: Client, label: str, tmp_path: Path) -> None:
    fields = {"image": SimpleUploadedFile("second.png", picture(2)), "label": label}
    response = client.post("/api/images", fields, headers={"Authorization": f"Bearer {KEY}"})
    assert (response.status_code, response.json()["label"]) == (201, FIRST)


def by_change(client: Client, label: str, tmp_path: Path) -> None:
    address, headers = f"/api/images/{add_image(2).pk}", {"Authorization": f"Bearer {KEY}"}
    response = client.patch(address, {"label": label}, "application/json", headers=headers)
    assert (response.status_code, response.json()["label"]) == (200, FIRST)


def by_admin(client: Client, label: str, tmp_path: Path) -> None:
    fields = {"file": SimpleUploadedFile("second.png", picture(2)), "label": label}
    assert client.post(reverse("admin:gallery_image_add"), fields).status_code == 302


def by_admins_list(client: Client, label: str, tmp_path: Path) -> None:
    image = add_image(2)
    form = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "_save": "Save"}
    row = {"form-0-id": str(image.pk), "form-0-label": label}
    changed = client.post(reverse("admin:gallery_image_changelist") + f"?q={image.content_hash}", form | row)
    assert changed.status_code == 302


@every_spelling
@pytest.mark.parametrize(
    "come_in", [by_import, by_program, by_api, by_change, by_admin, by_admins_list], ids=lambda way: way.__name__
)
def test_a_label_is_spelled_as_first_seen(
    curator: Client,
    settings: Settings,
    tmp_path: Path,
    come_in: Callable[[Client, str, Path], None],
    spelling: str,
) -> None:
    settings.SIMSEARCH_API_KEYS = [KEY]
    add_image(1, label=FIRST)
    come_in(curator, spelling, tmp_path)
    assert list(Image.objects.values_list("label", flat=True)) == [FIRST, FIRST]


@every_spelling
def test_the_first_of_its_kind_is_tidied_and_keeps_its_case(spelling: str) -> None:
    label = add_image(1, label=spelling).label
    assert label in {FIRST, FIRST.upper(), FIRST.lower()}
    assert label_key(label) == label_key(FIRST)


@pytest.mark.parametrize(("one", "other"), [("Maße", "MASSE"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("ﬁsh", "FISH")])
def test_case_is_unicodes(one: str, other: str) -> None:
    assert add_image(1, label=one).label == add_image(2, label=other).label == one


@pytest.mark.parametrize("other", ["Apfel", "Äpfel 2", "Äp fel", ""])
def test_other_labels_stay_apart(other: str) -> None:
    add_image(1, label="Äpfel")
    assert add_image(2, label=other).label == other


def test_the_only_picture_of_a_label_may_be_spelled_anew() -> None:
    image = add_image(1, label="äpfel")
    image.label = "Äpfel"
    image.save()
    assert Image.objects.get().label == "Äpfel"


def test_a_label_has_room_after_it_is_tidied() -> None:
    assert add_image(1, label="x" * (LONGEST_LABEL - 1) + "  y").label == "x" * (LONGEST_LABEL - 1)


@every_spelling
def test_every_spelling_finds_the_pictures(client: Client, spelling: str) -> None:
    image = add_image(1, label=FIRST)
    add_image(2, label="Birnen")
    assert image.thumbnail_url in client.get("/gallery/", {"label": spelling}).content.decode()
    assert client.get("/api/images", {"label": spelling}).json()["count"] == 1
    assert ask(3, labels=[spelling]).labels == [FIRST]


MERGE = """
import json
import django
django.setup()
from datetime import datetime, timedelta, timezone
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

call_command("migrate", verbosity=0)
call_command("migrate", "gallery", "0007_matches_of_queries", verbosity=0)
apps = MigrationExecutor(connection).loader.project_state([("gallery", "0007_matches_of_queries")]).apps
Image, Query = (apps.get_model("gallery", name) for name in ("Image", "Query"))
labels = json.loads(%r)
for number, label in enumerate(labels):
    created_at = datetime(2020, 1, 1, tzinfo=timezone.utc) + timedelta(days=number)
    Image.objects.create(content_hash=str(number), label=label, width_px=1, height_px=1, created_at=created_at)
for state in ("waiting", "done"):
    Query.objects.create(has_picture=True, state=state, labels=labels[:3] + ["gone"])
call_command("migrate", verbosity=0)
from gallery.models import Image, Query
printed = [list(Image.objects.order_by("created_at").values_list("label", flat=True))]
printed += [Query.objects.get(state=state).labels for state in ("waiting", "done")]
print(json.dumps(printed))
"""


def test_labels_of_earlier_versions_are_merged(tmp_path: Path) -> None:
    before = ["  gru\u0308ne\tÄpfel", FIRST, *SPELLINGS.values(), "", "Birnen"]
    script = MERGE % json.dumps(before)
    printed = fresh.run(script, tmp_path, DJANGO_SETTINGS_MODULE="simsearch.settings").splitlines()[-1]
    merged = "grüne Äpfel"
    assert json.loads(printed) == [[merged] * 8 + ["", "Birnen"], [merged] * 3 + ["gone"], [*before[:3], "gone"]]
