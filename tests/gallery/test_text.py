"""Text that is found without regard to case and accents."""

import json
from pathlib import Path

import pytest
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.test import Client
from django.urls import reverse

from gallery.models import Image
from gallery.text import folded
from tests import fresh
from tests.gallery.rows import add_image


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Ästhetik", "asthetik"),
        ("A\u0308sthetik", "asthetik"),
        ("CAFÉ crème", "cafe creme"),
        ("Łódź", "lodz"),
        ("Smørrebrød", "smorrebrod"),
        ("İstanbul", "istanbul"),
        ("Straße", "strasse"),
        ("Ёлка", "елка"),
        ("ﬁne ①", "fine 1"),
        ("がか", "がか"),  # these marks are no accents
        ("한국 हिन्दी", "한국 हिन्दी"),
        ("IMG_0042 (±)", "img_0042 (±)"),
        ("", ""),
    ],
)
def test_case_and_accents_are_left_out(text: str, plain: str) -> None:
    assert folded(text) == plain


@pytest.mark.django_db
@pytest.mark.parametrize("term", ["ästhetik", "ÄSTHETIK", "asthetik", "A\u0308sthe", "éCOLE", "ecole asthetik"])
def test_the_admin_finds_titles_and_labels(curator: Client, term: str) -> None:
    wanted = add_image(1, title="Die Ästhetik", label="École")
    add_image(2, title="Estetica", label="Scuola")
    response = curator.get(reverse("admin:gallery_image_changelist"), {"q": term})
    assert list(response.context["cl"].result_list) == [wanted]


@pytest.mark.django_db
def test_the_admin_finds_a_content_hash(curator: Client) -> None:
    wanted, _ = add_image(1), add_image(2)
    response = curator.get(reverse("admin:gallery_image_changelist"), {"q": wanted.content_hash[:20].upper()})
    assert list(response.context["cl"].result_list) == [wanted]


@pytest.mark.django_db
def test_a_change_in_any_way_is_found() -> None:
    image = add_image(label="Katze")
    image.label = "Größe"
    image.save()
    assert Image.objects.filter(label_folded="grosse").exists()
    Image.objects.filter(pk=image.pk).update(label="Öl", title="Écho")
    assert Image.objects.filter(label_folded="ol", title_folded="echo").exists()


@pytest.mark.django_db
def test_an_update_that_python_cannot_fold_is_refused() -> None:
    with pytest.raises(TypeError, match="label_folded"):
        Image.objects.update(label=Concat(F("label"), Value("s")))


FOLD = """
import json
import django
django.setup()
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

call_command("migrate", "gallery", "0007_matches_of_queries", verbosity=0)
old = MigrationExecutor(connection).loader.project_state([("gallery", "0007_matches_of_queries")]).apps
Image = old.get_model("gallery", "Image")
Image.objects.bulk_create(
    Image(content_hash=str(n), width_px=1, height_px=1, title=f"Écho {n}", label="Öl") for n in range(2500)
)
call_command("migrate", verbosity=0)
from gallery.models import Image
print(json.dumps([
    Image.objects.filter(label_folded="ol").count(),
    Image.objects.get(content_hash="2499").title_folded,
    Image.objects.filter(title_folded__isnull=True).count(),
]))
Image.objects.all().delete()
"""


def test_pictures_that_are_there_are_folded_by_the_upgrade(tmp_path: Path) -> None:
    body = json.loads(fresh.run(FOLD, tmp_path, DJANGO_SETTINGS_MODULE="simsearch.settings").splitlines()[-1])
    assert body == [2500, "echo 2499", 0]
