"""The evaluation of the admin is that of the command, and its page shows it."""

import json

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from gallery.insight import analyses
from gallery.models import Analysis
from tasks.indexing.build import build_generation
from tasks.insight.run import run_next
from tests.engine.galleries import MODEL_ID
from tests.gallery.elements import Elements
from tests.tasks.known import add_at

pytestmark = pytest.mark.django_db
PAGE = "/admin/evaluation/"


@pytest.fixture
def curator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("curator"))
    return client


def evaluated() -> Analysis:
    analyses.request(Analysis.Kind.EVALUATION)
    run_next()
    return analyses.get(Analysis.Kind.EVALUATION)


def test_the_figures_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(20):
        add_at(17 * number, label="<i>cat</i>" if number % 3 else "dog")
    build_generation(MODEL_ID)
    result = evaluated().result
    call_command("evaluate", json=True)
    told = json.loads(capsys.readouterr().out)
    figures = (
        "precision_at_1",
        "precision_at_k",
        "mean_average_precision",
        "labels",
        "images",
        "generation",
    )
    assert {name: result[name] for name in figures} == {name: told[name] for name in figures}
    assert (result["searched"], result["network"]) == (told["queries"], told["model"])


def test_the_page_shows_the_worst_queries_as_pictures(curator: Client) -> None:
    images = [add_at(17 * number, label="<i>cat</i>" if number % 3 else "dog") for number in range(20)]
    build_generation(MODEL_ID)
    assert "Measure the search quality" in curator.get(PAGE).content.decode()
    assert evaluated().state == "done"
    response = curator.get(PAGE)
    page = response.content.decode()
    assert {image.thumbnail_url for image in images} <= set(Elements(response).values("src"))
    assert "<i>cat" not in page
    assert "&lt;i&gt;cat" in page
    images[0].delete()
    assert curator.get(PAGE).status_code == 200


def test_a_gallery_without_labels_says_so(curator: Client) -> None:
    add_at(0)
    build_generation(MODEL_ID)
    assert evaluated().state == "failed"
    assert "No two visible pictures have the same label" in curator.get(PAGE).content.decode()
