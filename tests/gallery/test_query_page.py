"""The page of a query, from waiting to its matches."""

import re

import pytest
from django.test import Client

from gallery.curation import library
from gallery.models import Image, Query
from gallery.queries import lifecycle
from gallery.queries.lifecycle import LISTED
from tests.api.answers import Response
from tests.gallery.elements import HTMX, Elements, heading
from tests.gallery.rows import add_image, ago, ask, decode, finished, in_state, set_row

pytestmark = pytest.mark.django_db


def test_an_unfinished_query_keeps_looking_with_and_without_scripts(client: Client) -> None:
    for query, _ in (in_state("running"), in_state("waiting")):
        page = Elements(client.get(f"/q/{query.pk}"))
        assert page.values("hx-get") == [f"/q/{query.pk}"]
        [trigger] = page.values("hx-trigger")
        assert re.fullmatch(r"load delay:\d+ms, again", trigger)
        assert [meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "refresh"] == ["1"]


def test_a_finished_query_no_longer_looks(client: Client) -> None:
    for query, _ in (in_state("done"), in_state("failed")):
        page = Elements(client.get(f"/q/{query.pk}"))
        assert page.values("hx-get") == page.values("http-equiv") == []


def test_an_old_query_is_looked_for_more_patiently(client: Client) -> None:
    response = client.get(f"/q/{ask(age_s=60).pk}")
    assert Elements(response).values("hx-trigger") == ["load delay:2000ms, again"]
    assert "longer than usual" in response.content.decode()


def test_a_waiting_query_knows_its_place(client: Client) -> None:
    first, second = ask(age_s=2), ask(age_s=1)
    third = ask(3)
    assert heading(client.get(f"/q/{first.pk}")) == "Your search is next"
    assert heading(client.get(f"/q/{second.pk}")) == "Waiting: 1 search is ahead of yours"
    assert heading(client.get(f"/q/{third.pk}")) == "Waiting: 2 searches are ahead of yours"
    lifecycle.claim(1)
    assert heading(client.get(f"/q/{first.pk}")) == "Searching…"
    assert heading(client.get(f"/q/{second.pk}")) == "Your search is next"


@pytest.mark.parametrize(
    ("ahead", "told"),
    [(0, ""), (30, ""), (60, "It will take about 3 seconds."), (2000, "It will take about 2 minutes.")],
)
def test_a_wait_of_more_than_two_seconds_is_estimated(client: Client, ahead: int, told: str) -> None:
    query = ask()
    Query.objects.bulk_create(Query(has_picture=False, created_at=ago(60)) for _ in range(ahead))
    text = client.get(f"/q/{query.pk}", headers=HTMX).content.decode()
    assert re.findall(r"It will take about [^.]*\.", text) == ([told] if told else [])


def test_the_matches_come_in_order_with_what_their_similarities_mean(client: Client) -> None:
    images = [add_image(seed, label=f"kind {seed}", title=f"picture {seed}") for seed in range(3)]
    query = finished(*images, images=1234, stages_ms={"embed": 9.0})
    bands = ["same", "very_similar", "weak"]
    set_row(query, matches=[match | {"band": band} for match, band in zip(query.matches or [], bands, strict=True)])
    text = client.get(f"/q/{query.pk}").content.decode()
    assert re.findall(
        r'title="Similarity ([\d.]+)">([^<]+)<span class="unseen">, similarity ([\d.]+)</span>', text
    ) == [
        ("1.0000", "almost the same picture", "1.00"),
        ("0.9000", "very similar", "0.90"),
        ("0.8000", "not much alike", "0.80"),
    ]
    assert "nothing like this picture" not in text
    assert re.findall(r'src="/gallery/(.+)/thumbnail.jpg"', text) == [str(image.pk) for image in images]
    assert re.findall(r'formaction="/gallery/(.+)/like"', text) == [str(image.pk) for image in images]
    assert "kind 2" in text
    assert "picture 2" in text
    assert "3 pictures compared in" in text


def compared(client: Client, query: Query) -> str:
    [response] = re.findall(r"(\d+) pictures? compared", client.get(f"/q/{query.pk}").content.decode())
    return str(response)


def test_only_what_could_be_a_match_counts_as_compared(client: Client) -> None:
    images = [add_image(seed, label="cat" if seed < 2 else "dog") for seed in range(5)]
    add_image(9, is_hidden=True)
    Image.objects.create(content_hash="pending", width_px=0, height_px=0, is_pending=True)
    queries = [ask(), ask(labels=("cat",)), ask(labels=("cat", "dog"))]
    messages = [compared(client, finished(images[0], query=query, images=99)) for query in queries]
    client.post(f"/gallery/{images[0].pk}/like")
    messages.append(compared(client, finished(images[1], query=Query.objects.filter(like=images[0]).get(), images=99)))
    assert messages == ["5", "2", "5", "4"]


def test_pictures_added_later_were_not_compared(client: Client) -> None:
    query = finished(add_image(1), images=99)
    add_image(2)
    assert compared(client, query) == "1"


def test_a_slow_upload_is_not_part_of_the_time(client: Client) -> None:
    query = finished(add_image(), query=ask(age_s=4))
    text = client.get(f"/q/{query.pk}").content.decode()
    [took_ms] = re.findall(r"compared in ([\d,]+) ms", text)
    assert query.timings_ms["total"] > 4000
    assert int(took_ms.replace(",", "")) < 4000


def title(response: Response) -> str:
    [text] = re.findall("<title>([^<]*)</title>", response.content.decode())
    return str(text)


def test_the_title_says_what_is_searched_and_how_far_it_is(client: Client) -> None:
    first, second = ask(age_s=2), ask(age_s=1)
    assert title(client.get(f"/q/{second.pk}")) == "Waiting, 1 ahead · simsearch"
    assert title(client.get(f"/q/{first.pk}")) == "Searching… · simsearch"
    image = add_image(1, label="water_lilly", title="Nymphaea")
    assert title(client.get(f"/q/{finished(image, query=first).pk}")) == "1 like your picture: water lilly · simsearch"
    client.post(f"/gallery/{image.pk}/like")
    claim = lifecycle.claim(1)
    lifecycle.fail(claim.token, second, "corrupt", "The picture is damaged.")
    assert title(client.get(f"/q/{second.pk}")) == "Search failed · simsearch"
    like = finished(add_image(2), query=Query.objects.get(like=image))
    page = client.get(f"/q/{like.pk}")
    assert title(page) == "Like Nymphaea · simsearch"
    assert Elements(page).values("data-title") == [title(page)]


def test_the_picture_of_a_search_can_be_opened(client: Client) -> None:
    query = finished(add_image())
    assert f"/q/{query.pk}/picture.jpg" in Elements(client.get(f"/q/{query.pk}")).values("href")


def test_matches_without_a_band_show_their_number(client: Client) -> None:
    text = client.get(f"/q/{finished(add_image(), band=None).pk}").content.decode()
    assert re.findall(r"similarity</span> ([\d.]+)", text) == ["1.00"]
    assert "Similarity goes up to 1.00" in text


def test_a_gallery_without_anything_alike_says_so_and_shows_what_comes_closest(client: Client) -> None:
    images = [add_image(1), add_image(2)]
    response = client.get(f"/q/{finished(*images, band='weak').pk}")
    text = response.content.decode()
    assert heading(response) == "The gallery has nothing like this picture"
    assert (
        text.index("These 2 come closest") < text.index(images[0].thumbnail_url) < text.index(images[1].thumbnail_url)
    )


def test_nothing_else_is_like_a_gallery_picture(client: Client) -> None:
    image, other = add_image(1), add_image(2)
    client.post(f"/gallery/{image.pk}/like")
    query = finished(other, band="weak", query=Query.objects.get())
    assert heading(client.get(f"/q/{query.pk}")) == "The gallery has nothing else like this picture"


def test_nothing_of_the_labels_requested_is_like_a_picture(client: Client) -> None:
    query = finished(add_image(), band="weak", query=ask(labels=("boat", "big_ship")))
    assert heading(client.get(f"/q/{query.pk}")) == "No picture labelled boat or big ship is like this one"


@pytest.mark.parametrize(
    ("listed", "hidden", "expected"),
    [
        (1, 0, "1 more that looks the same"),
        (99, 0, "99 more that look the same"),
        (LISTED, 0, "100 or more that look the same"),
        (LISTED, 1, "99 or more that look the same"),
    ],
)
def test_near_duplicates_are_not_counted_past_the_end_of_their_list(
    client: Client, listed: int, hidden: int, expected: str
) -> None:
    rows = [
        Image(content_hash=str(number), width_px=1, height_px=1, is_hidden=number < hidden) for number in range(listed)
    ]
    Image.objects.bulk_create(rows)
    query = finished(add_image())
    set_row(
        query, matches=[match | {"duplicates": [(str(row.pk), 0.9) for row in rows]} for match in query.matches or []]
    )
    assert expected in client.get(f"/q/{query.pk}").content.decode()


def test_a_picture_hidden_since_is_not_shown(client: Client) -> None:
    shown, hidden = add_image(1), add_image(2)
    query = finished(hidden, shown)
    Image.objects.filter(pk=hidden.pk).update(is_hidden=True)
    response = client.get(f"/q/{query.pk}")
    assert heading(response) == "The most similar picture"
    assert shown.thumbnail_url in response.content.decode()
    assert str(hidden.pk) not in response.content.decode()


def test_a_hidden_query_picture_is_not_shown(client: Client) -> None:
    image = add_image()
    client.post(f"/gallery/{image.pk}/like")
    Image.objects.filter(pk=image.pk).update(is_hidden=True)
    text = client.get(f"/q/{Query.objects.get().pk}").content.decode()
    assert "no longer here" in text
    assert str(image.pk) not in text


def test_a_query_about_a_deleted_picture_still_has_a_page(client: Client) -> None:
    image = add_image()
    client.post(f"/gallery/{image.pk}/like")
    image.delete()
    assert "no longer here" in client.get(f"/q/{Query.objects.get().pk}").content.decode()


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (2, "One picture that was found has since been removed"),
        (1, "2 pictures that were found have since been removed"),
    ],
)
def test_removed_matches_are_reported(client: Client, kept: int, expected: str) -> None:
    images = [add_image(seed) for seed in range(3)]
    query = finished(*images)
    library.remove(Image.objects.filter(pk__in=[image.pk for image in images[kept:]]))
    assert expected in client.get(f"/q/{query.pk}").content.decode()


def test_a_result_without_any_match_left_says_why(client: Client) -> None:
    image = add_image()
    query = finished(image)
    image.delete()
    text = client.get(f"/q/{query.pk}").content.decode()
    assert "The pictures that were found have since been removed" in text


def test_the_part_that_was_asked_about_is_outlined(client: Client) -> None:
    query = ask(crop=(0.1, 0.2, 0.5, 0.25))
    decode(query)
    page = Elements(client.get(f"/q/{query.pk}"))
    outline = next(rect for rect in page.of("rect") if "x" in rect and rect["width"] == "0.5")
    assert (outline["x"], outline["y"], outline["height"]) == ("0.1", "0.2", "0.25")


@pytest.mark.parametrize("matches", [0, 1])
def test_an_incomplete_file_is_reported(client: Client, matches: int) -> None:
    images = [add_image(seed) for seed in range(matches)]
    sentence = "The file is incomplete; searched with what is there."
    query = finished(*images)
    assert sentence not in client.get(f"/q/{query.pk}").content.decode()
    set_row(query, is_incomplete=True)
    assert sentence in client.get(f"/q/{query.pk}").content.decode()


def test_an_empty_gallery_is_explained(client: Client) -> None:
    text = client.get(f"/q/{finished().pk}").content.decode()
    assert "No gallery picture could be compared yet" in text


def test_a_failed_query_says_why(client: Client) -> None:
    query, _ = in_state("failed")
    assert "The picture is damaged." in client.get(f"/q/{query.pk}").content.decode()


def test_htmx_gets_the_changing_part_alone(client: Client) -> None:
    response = client.get(f"/q/{ask().pk}", headers=HTMX)
    assert Elements(response).found[0][0] == "section"
    assert "<html" not in response.content.decode()
    assert "no-store" in response["Cache-Control"]


def test_a_picture_that_is_not_decoded_yet_has_a_place(client: Client) -> None:
    query = ask()
    page = client.get(f"/q/{query.pk}").content.decode()
    assert f"/q/{query.pk}/picture.jpg" not in page
    assert "appears here in a moment" in page
    decode(query)
    part = client.get(f"/q/{query.pk}", headers=HTMX)
    assert Elements(part).values("hx-swap-oob") == ["true"]
    assert f"/q/{query.pk}/picture.jpg" in part.content.decode()


def test_ten_matches_are_shown_and_more_by_a_link(client: Client) -> None:
    images = [add_image(seed) for seed in range(23)]
    query = finished(*images)
    seen = {}
    for address in (f"/q/{query.pk}", f"/q/{query.pk}?show=20", f"/q/{query.pk}?show=30"):
        page = Elements(client.get(address))
        ranks = [card["id"] for card in page.of("li") if card.get("id", "").startswith("rank-")]
        seen[len(ranks)] = [link["href"] for link in page.of("a") if link.get("id") == "show-more"]
        assert ranks == [f"rank-{rank}" for rank in range(1, len(ranks) + 1)]
    assert seen == {
        10: [f"/q/{query.pk}?show=20#rank-11"],
        20: [f"/q/{query.pk}?show=30#rank-21"],
        23: [],
    }


@pytest.mark.parametrize(("asked", "shown"), [("", 10), ("3", 10), ("x", 10), ("-5", 10), ("999", 12), ("9" * 50, 10)])
def test_whatever_a_link_asks_for_ten_to_a_hundred_are_shown(client: Client, asked: str, shown: int) -> None:
    query = finished(*[add_image(seed) for seed in range(12)])
    assert len(Elements(client.get(f"/q/{query.pk}", {"show": asked})).of("svg")) - 2 == shown
