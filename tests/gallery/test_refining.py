"""The "+", "−" and "remove" of a result page: each makes a new search of the same pictures and some more, or fewer."""

from html.parser import HTMLParser

import pytest
from django.test import Client
from pytest_django import Settings

from gallery.models import Image, Query, QueryPart
from gallery.queries import accept, lifecycle
from gallery.queries.accept import Parameters, Pictures
from gallery.storage import disk
from gallery.timings import Stopwatch
from tests.gallery.rows import add_image, answer, ask, files_kept, finish, finished, now, picture, uploaded

pytestmark = pytest.mark.django_db


def refine(client: Client, query: Query, **fields: object) -> Query:
    """Press a button; the query that it made."""
    response = client.post(f"/q/{query.pk}/refine", fields)
    assert response.status_code == 303, response.content.decode()
    return Query.objects.get(pk=response["Location"].split("/")[2].partition("?")[0])


def named(query: Query) -> tuple[list[Image | None], list[Image | None]]:
    """Return the gallery pictures of a query: positive, negative."""
    rows = [(row.gallery_picture, getattr(row, "is_negative", False)) for row in query.pictures if not row.has_picture]
    return [image for image, is_negative in rows if not is_negative], [image for image, negative in rows if negative]


@pytest.mark.parametrize("sign", ["like", "unlike"])
def test_a_match_is_added_to_an_upload(visitor: Client, sign: str) -> None:
    image = add_image(4)
    first = finished(image, query=ask(k=20, collapse=False))
    query = refine(visitor, first, **{sign: str(image.pk)})
    assert (query.state, query.has_picture, query.k, query.collapse) == ("waiting", True, 20, False)
    assert query.picture_file.path.read_bytes() == first.picture_file.path.read_bytes()
    assert named(query) == (([image], []) if sign == "like" else ([], [image]))
    assert now(first).state == "done"


def test_a_match_is_added_to_a_gallery_picture(visitor: Client) -> None:
    one, two = add_image(4), add_image(5)
    first = finished(two, query=accept.store(Pictures(like=[one]), Parameters(), Stopwatch()))
    query = refine(visitor, first, unlike=str(two.pk))
    assert (query.like, query.has_picture) == (one, False)
    assert named(query) == ([one], [two])
    assert named(refine(visitor, first, like=str(two.pk))) == ([one, two], [])


def several(*images: Image) -> Query:
    """Return a finished query of the first of them, less the others."""
    query = accept.store(Pictures(like=images[:1], unlike=images[1:]), Parameters(), Stopwatch())
    return finished(query=query)


def test_a_part_is_removed(visitor: Client) -> None:
    one, two, three = (add_image(seed) for seed in (4, 5, 6))
    first = several(one, two, three)
    query = refine(visitor, first, remove=str(first.further[0].pk))
    assert named(query) == ([one], [three])


def test_a_minus_becomes_a_plus(visitor: Client) -> None:
    one, two = add_image(4), add_image(5)
    assert named(refine(visitor, several(one, two), like=str(two.pk))) == ([one, two], [])


def test_the_last_positive_picture_cannot_be_removed(visitor: Client) -> None:
    first = several(add_image(4), add_image(5))
    page = visitor.get(first.get_absolute_url()).content.decode()
    assert page.count('name="remove"') == 1
    assert visitor.post(f"/q/{first.pk}/refine", {"remove": str(first.pk)}).status_code == 422
    assert Query.objects.count() == 1


def test_the_crop_stays_with_its_picture(visitor: Client) -> None:
    one, two = add_image(4), add_image(5)
    pictures = Pictures(like=[one, two])
    first = finished(query=accept.store(pictures, Parameters(crop=(0, 0, 0.5, 0.5)), Stopwatch()))
    assert refine(visitor, first, remove=str(first.further[0].pk)).crop == [0, 0, 0.5, 0.5]
    assert refine(visitor, first, remove=str(first.pk)).crop is None


@pytest.mark.parametrize("what", ["hidden", "deleted"])
def test_the_crop_goes_with_its_picture(visitor: Client, what: str) -> None:
    one, two = add_image(4), add_image(5)
    pictures = Pictures(like=[one, two])
    first = finished(query=accept.store(pictures, Parameters(crop=(0, 0, 0.5, 0.5)), Stopwatch()))
    rows = Image.objects.filter(pk=one.pk)
    rows.update(is_hidden=True) if what == "hidden" else rows.delete()
    query = refine(visitor, first, like=str(two.pk))
    assert (named(query), query.crop) == (([two], []), None)


def test_a_kept_picture_leaves_the_rest_of_the_disk(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    image = add_image(4)
    first = finished(image, query=ask())
    monkeypatch.setattr(disk, "RESERVED_BYTES", 2**60)
    assert visitor.post(f"/q/{first.pk}/refine", {"like": str(image.pk)}).status_code == 507
    assert Query.objects.count() == 1


def test_what_was_hidden_since_is_left_out(visitor: Client) -> None:
    one, two, three = (add_image(seed) for seed in (4, 5, 6))
    first = several(one, two)
    Image.objects.filter(pk=two.pk).update(is_hidden=True)
    assert named(refine(visitor, first, like=str(three.pk))) == ([one, three], [])


def test_every_upload_is_kept_for_the_new_query(visitor: Client) -> None:
    image = add_image(4)
    first = ask(1)
    query = accept.store(Pictures(kept=[finished(query=first).picture_file] * 2), Parameters(), Stopwatch())
    claim = lifecycle.claim(1)
    assert finish(claim.token, {query: answer(image)}) == 1
    third = refine(visitor, now(query), like=str(image.pk))
    assert [row.picture_file.path.exists() for row in third.pictures] == [True, True, False]
    query.delete()
    assert [row.picture_file.path.exists() for row in third.pictures] == [True, True, False]


def test_a_search_whose_picture_is_gone_says_so(visitor: Client) -> None:
    image = add_image(4)
    first = finished(image)
    first.picture_file.path.unlink()
    before = files_kept()
    response = visitor.post(f"/q/{first.pk}/refine", {"like": str(image.pk)})
    assert (response.status_code, "upload it again" in response.content.decode()) == (404, True)
    assert (Query.objects.count(), QueryPart.objects.count(), files_kept()) == (1, 0, before)


def test_a_search_that_is_not_finished_is_waited_for(visitor: Client) -> None:
    response = visitor.post(f"/q/{ask().pk}/refine", {"like": str(add_image(4).pk)})
    assert response.status_code == 503


@pytest.mark.parametrize("value", ["", "x", "../../etc/passwd", "1" * 400])
def test_what_no_page_sends_is_refused(visitor: Client, value: str) -> None:
    assert visitor.post(f"/q/{finished().pk}/refine", {"like": value}).status_code == 422


def test_refining_counts_as_a_search(visitor: Client, settings: Settings) -> None:
    settings.SIMSEARCH_UPLOADS_PER_MINUTE = 1
    image = add_image(4)
    first = finished(image)
    refine(visitor, first, like=str(image.pk))
    assert visitor.post(f"/q/{first.pk}/refine", {"like": str(image.pk)}).status_code == 429


# What the page shows


class Buttons(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "button":
            self.found.append(dict(attrs))


def test_each_match_has_its_three_buttons(visitor: Client) -> None:
    image = add_image(4)
    query = finished(image)
    found = [b for b in Buttons(visitor.get(query.get_absolute_url()).content.decode()).found if "formaction" in b]
    assert [(b.get("name"), b.get("value"), b["formaction"]) for b in found] == [
        (None, None, f"/gallery/{image.pk}/like"),
        ("like", str(image.pk), f"/q/{query.pk}/refine"),
        ("unlike", str(image.pk), f"/q/{query.pk}/refine"),
    ]


def test_the_page_shows_what_a_query_consists_of(visitor: Client) -> None:
    images = [add_image(seed, title=f"Number {seed}") for seed in (4, 5)]
    page = visitor.get(several(*images).get_absolute_url()).content.decode()
    assert f'src="{images[0].thumbnail_url}" alt="more of: Number 4"' in page
    assert f'src="{images[1].thumbnail_url}" alt="less of: Number 5"' in page


def test_the_uploads_among_the_parts_are_shown(visitor: Client) -> None:
    file = finished(query=ask(1)).picture_file
    query = accept.store(Pictures(kept=[file, file]), Parameters(), Stopwatch())
    page = visitor.get(query.get_absolute_url()).content.decode()
    url = str(query.further[0].picture_url)
    assert f'src="{url}"' in page
    response = visitor.get(url)
    assert b"".join(response.streaming_content) == file.read_bytes()  # type: ignore[attr-defined]
    assert "sandbox" in response["Content-Security-Policy"]


def test_a_hidden_part_is_not_shown(visitor: Client) -> None:
    one, two = add_image(4), add_image(5, title="Secret")
    query = several(one, two)
    Image.objects.filter(pk=two.pk).update(is_hidden=True)
    page = visitor.get(query.get_absolute_url()).content.decode()
    assert ("Secret" in page, two.thumbnail_url in page, "no longer here" in page) == (False, False, True)


def test_a_part_is_gone_with_its_query_whoever_deletes_that(visitor: Client) -> None:
    files = [uploaded(picture(seed)) for seed in (1, 2)]
    query = finished(query=accept.store(Pictures(files=files), Parameters(), Stopwatch()))
    [part] = query.further
    part.picture_file.path.parent.mkdir(parents=True, exist_ok=True)
    part.picture_file.path.write_bytes(picture())
    address = f"/parts/{part.pk}/picture.jpg"
    response = visitor.get(address)
    assert (response.status_code, b"".join(response.streaming_content)) == (200, picture())  # type: ignore[attr-defined]
    Query.objects.filter(pk=query.pk)._raw_delete("default")  # as the version before, which knows no parts
    assert visitor.get(address).status_code == 404


def test_a_query_of_one_picture_has_no_list_of_parts(visitor: Client) -> None:
    assert 'class="parts"' not in visitor.get(finished(add_image(4)).get_absolute_url()).content.decode()


def test_several_files_of_the_form_are_one_query(visitor: Client) -> None:
    assert visitor.post("/", {"image": [uploaded(picture(1)), uploaded(picture(2))]}).status_code == 303
    assert len(Query.objects.get().further) == 1
