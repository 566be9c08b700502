"""The page of near-duplicates: who may act on it, what is proposed, hidden and remembered."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from gallery.insight import analyses
from gallery.models import Analysis, Decision, Duplicate, DuplicateGroup, Image
from tests.gallery.elements import Elements
from tests.gallery.rows import add_image, ago

pytestmark = pytest.mark.django_db
PAGE = "/admin/duplicates/"


def make_group(*images: Image, kind: str = "copy") -> DuplicateGroup:
    group = DuplicateGroup.objects.create(kind=kind)
    for image in images:
        Duplicate.objects.create(group=group, image=image, similarity=0.97)
    return group


def three() -> list[Image]:
    return [add_image(seed) for seed in (1, 2, 3)]


def staff(*permissions: str) -> Client:
    user = User.objects.create_user("somebody", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def visible() -> set[Image]:
    return set(Image.objects.visible())


def kept(client: Client) -> list[str]:
    """Return the pictures that the page proposes to keep."""
    return [radio["value"] for radio in Elements(client.get(PAGE)).of("input") if "checked" in radio]


def test_the_picture_with_the_most_pixels_is_proposed_then_the_oldest(curator: Client) -> None:
    small, new, old = three()
    Image.objects.filter(pk=small.pk).update(width_px=10, created_at=ago(1000))
    Image.objects.filter(pk=old.pk).update(created_at=ago(100))
    make_group(new, small, old)
    assert kept(curator) == [str(old.pk)]
    Image.objects.filter(pk=new.pk).update(width_px=1000)
    assert kept(curator) == [str(new.pk)]


def test_the_others_are_hidden_and_the_group_is_gone(curator: Client) -> None:
    one, other, third = three()
    group = make_group(one, other, third)
    response = curator.post(PAGE, {"action": "hide", "group": group.pk, "keep": str(other.pk)}, follow=True)
    assert "2 pictures hidden." in response.content.decode()
    assert visible() == {other}
    assert kept(curator) == []


def test_nothing_is_hidden_when_the_picture_to_keep_is_hidden_itself(curator: Client) -> None:
    one, other, third = three()
    group = make_group(one, other, third)
    Image.objects.filter(pk=other.pk).update(is_hidden=True)
    curator.post(PAGE, {"action": "hide", "group": group.pk, "keep": str(other.pk)})
    assert visible() == {one, third}


def test_pictures_set_apart_are_remembered(curator: Client) -> None:
    images = three()
    group = make_group(*images)
    curator.post(PAGE, {"action": "apart", "group": group.pk})
    decision = Decision.objects.get()
    assert (decision.kind, set(decision.images)) == ("not duplicates", {str(image.pk) for image in images})
    assert decision.decided_by == "curator"
    assert not DuplicateGroup.objects.exists()
    assert visible() == set(images)


def test_all_groups_of_a_kind_at_once(curator: Client) -> None:
    images = [add_image(seed) for seed in range(6)]
    for start, kind in ((0, "copy"), (2, "copy"), (4, "altered")):
        make_group(*images[start : start + 2], kind=kind)
    curator.post(PAGE, {"action": "hide_kind", "kind": "copy"})
    assert visible() == {images[0], images[2], images[4], images[5]}


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"action": "delete"},
        {"action": "hide", "group": "x", "keep": "x"},
        {"action": "hide", "group": "9" * 40, "keep": "x"},
        {"action": "apart", "group": "\0"},
        {"action": "hide_kind", "kind": "nothing"},
    ],
)
def test_a_form_that_no_page_sends_is_refused(curator: Client, form: dict[str, str]) -> None:
    assert curator.post(PAGE, form).status_code == 400


def test_visitors_are_sent_to_the_login(visitor: Client) -> None:
    for address in (PAGE, reverse("admin:insight_progress", args=["duplicates"])):
        assert visitor.get(address)["Location"].startswith("/admin/login/")
    for address in (PAGE, reverse("admin:insight_run", args=["duplicates"])):
        assert visitor.post(address)["Location"].startswith("/admin/login/")
    assert not Analysis.objects.exists()


def test_staff_need_the_permissions_for_pictures() -> None:
    group = make_group(*three())
    client = staff()
    assert client.get(PAGE).status_code == 403
    assert "Duplicates" not in client.get("/admin/").content.decode()
    User.objects.all().delete()
    client = staff("view_image")
    assert client.get(PAGE).status_code == 200
    for form in ({"action": "apart", "group": group.pk}, {"action": "hide_kind", "kind": "copy"}):
        assert client.post(PAGE, form).status_code == 403
    assert client.post(reverse("admin:insight_run", args=["duplicates"])).status_code == 403
    assert (len(visible()), Decision.objects.count(), Analysis.objects.count()) == (3, 0, 0)
    User.objects.all().delete()
    assert staff("view_image", "change_image").post(PAGE, {"action": "apart", "group": group.pk}).status_code == 302


def test_titles_and_labels_are_shown_as_text(curator: Client) -> None:
    images = [add_image(seed, title="<script>1</script>", label="<b>bold</b>") for seed in (1, 2)]
    make_group(*images)
    page = curator.get(PAGE).content.decode()
    assert "<script>1" not in page
    assert "<b>bold" not in page
    assert "&lt;script&gt;1" in page


def test_the_page_follows_an_analysis_and_is_loaded_again_at_its_end(curator: Client) -> None:
    curator.post(reverse("admin:insight_run", args=["duplicates"]))
    progress = reverse("admin:insight_progress", args=["duplicates"])
    assert progress in Elements(curator.get(PAGE)).values("hx-get")
    analysis = analyses.claim()
    assert analysis
    analyses.advance(analysis, 30, 1200)
    response = curator.get(progress)
    assert "Under way: 30 of 1,200" in response.content.decode()
    assert "HX-Refresh" not in response
    analyses.finish(analysis, {"seconds": 1.5})
    assert curator.get(progress)["HX-Refresh"] == "true"
    assert "hx-get" not in curator.get(PAGE).content.decode()


def test_an_unknown_analysis_is_not_found(curator: Client) -> None:
    assert curator.get(reverse("admin:insight_progress", args=["nothing"])).status_code == 404
    assert curator.post(reverse("admin:insight_run", args=["nothing"])).status_code == 404
