"""The page of wrong labels: who may act on it, and what a click does."""

import pytest
from django.test import Client

from gallery.models import Decision, Image, Suspect
from tests.gallery.rows import add_image
from tests.gallery.test_duplicates_page import staff

pytestmark = pytest.mark.django_db
PAGE = "/admin/mislabels/"


def suspect(seed: int = 1, suggestion: str = "cat", suspicion: float = 1.0) -> Suspect:
    image, near = add_image(seed, label="dog"), add_image(seed + 100, label=suggestion)
    return Suspect.objects.create(
        image=image, label="dog", suggestion=suggestion, suspicion=suspicion, neighbours=[str(near.pk)]
    )


def label(row: Suspect) -> str:
    return Image.objects.get(pk=row.image_id).label


def test_one_click_takes_the_neighbours_label(curator: Client) -> None:
    row = suspect()
    page = curator.post(PAGE, {"action": "take", "suspect": row.pk}, follow=True).content.decode()
    assert "The label is “cat” now." in page
    assert label(row) == "cat"
    assert "or rather" not in page


def test_another_label_is_typed(curator: Client) -> None:
    row = suspect()
    add_image(7, label="Bird")
    sent = {"action": "set", "suspect": row.pk, "label": " bird "}
    assert "The label is “Bird” now." in curator.post(PAGE, sent, follow=True).content.decode()
    assert label(row) == "Bird"


def test_no_label_is_not_set(curator: Client) -> None:
    row = suspect()
    page = curator.post(PAGE, {"action": "set", "suspect": row.pk, "label": " "}, follow=True).content.decode()
    assert "Type the other label first." in page
    assert label(row) == "dog"
    assert Suspect.objects.exists()


def test_a_label_that_somebody_else_changed_stays(curator: Client) -> None:
    row = suspect()
    Image.objects.filter(pk=row.image_id).update(label="bird")
    assert "or rather" not in curator.get(PAGE).content.decode()
    curator.post(PAGE, {"action": "take", "suspect": row.pk})
    assert label(row) == "bird"


def test_a_confirmed_label_is_remembered(curator: Client) -> None:
    row = suspect()
    curator.post(PAGE, {"action": "confirm", "suspect": row.pk})
    decision = Decision.objects.get()
    assert (decision.kind, decision.label, decision.images) == ("label is right", "dog", [str(row.image_id)])
    assert label(row) == "dog"
    assert not Suspect.objects.exists()


def test_the_most_suspicious_comes_first(curator: Client) -> None:
    suspect(1, "cat", 0.5)
    suspect(2, "bird", 0.9)
    page = curator.get(PAGE).content.decode()
    assert page.index("rather “bird”") < page.index("rather “cat”")


def test_labels_are_shown_as_text(curator: Client) -> None:
    suspect(suggestion="<i>cat</i>")
    page = curator.get(PAGE).content.decode()
    assert "<i>cat" not in page
    assert "&lt;i&gt;cat" in page


@pytest.mark.parametrize(
    "form", [{}, {"action": "take"}, {"action": "x", "suspect": "1"}, {"action": "take", "suspect": "\0"}]
)
def test_a_form_that_no_page_sends_is_refused(curator: Client, form: dict[str, str]) -> None:
    assert curator.post(PAGE, form).status_code == 400


def test_staff_need_the_permissions_for_pictures(visitor: Client) -> None:
    row = suspect()
    assert visitor.get(PAGE)["Location"].startswith("/admin/login/")
    client = staff("view_image")
    assert client.get(PAGE).status_code == 200
    assert client.post(PAGE, {"action": "take", "suspect": row.pk}).status_code == 403
    assert label(row) == "dog"
