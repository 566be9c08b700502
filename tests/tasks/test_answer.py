"""claim -> decode -> embed -> search -> finish, in this process with the real network."""

import io
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import F
from django.utils import timezone
from PIL import Image as Pillow

from engine.networks.embedder import Embedder
from gallery import queries, uploads
from gallery.models import Image, Query
from gallery.queries import Question
from gallery.spans import Stopwatch
from tasks.answer import answer_waiting
from tasks.neighbours import Neighbours
from tasks.worker import Worker
from tests.engine.pictures import oriented
from tests.tasks.conftest import Ask, drawn

FAILED, DONE, WAITING = Query.State.FAILED, Query.State.DONE, Query.State.WAITING


def shown(query: Query) -> list[str]:
    return [match.image.title for match in query.matches.select_related("image")]


def test_the_picture_itself_comes_first(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(3)
    assert answer_waiting(worker, 32) == 1
    query.refresh_from_db()
    matches = list(query.matches.select_related("image"))
    assert query.state == DONE
    assert [match.rank for match in matches] == list(range(1, 11))
    assert matches[0].image == gallery[3]
    assert matches[0].similarity > 0.99
    assert [m.similarity for m in matches] == sorted((m.similarity for m in matches), reverse=True)


def test_waiting_queries_are_answered_in_one_batch(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    asked = [ask(number) for number in range(8)]
    assert answer_waiting(worker, 32) == 8
    for number, query in enumerate(asked):
        assert shown(query)[0] == str(number)


def test_no_more_than_a_batch_is_taken(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    for number in range(5):
        ask(number)
    assert [answer_waiting(worker, 3) for _ in range(3)] == [3, 2, 0]


def test_the_timings_name_every_stage(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(1)
    answer_waiting(worker, 32)
    query.refresh_from_db()
    told = query.timings_ms
    run = {"claim", "decode", "embed", "search", "finish"}
    assert set(told) == {"accept", "keep", "queue", "total"} | run
    assert told["embed"] > 0
    assert told["total"] == pytest.approx(sum(told[stage] for stage in run | {"accept", "queue"}), abs=1)  # all tenths


def test_an_earlier_run_that_broke_is_no_stage(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(1)
    queries.claim(1)
    hours = timedelta(hours=1)
    Query.objects.filter(pk=query.pk).update(created_at=F("created_at") - hours, lease_until=timezone.now() - hours)
    queries.release_overdue()
    answer_waiting(worker, 32)
    query.refresh_from_db()
    assert query.timings_ms["total"] > 3_600_000
    assert sum(ms for stage, ms in query.timings_ms.items() if stage != "total") < 600_000


def test_the_run_of_a_version_before_is_told(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(1)
    answer_waiting(worker, 32)
    Query.objects.update(accept_ms=None, accept_stages_ms=None, stages_ms={"embed": 1.5})
    query.refresh_from_db()
    assert query.timings_ms.keys() == {"queue", "embed", "finish", "total"}


def test_what_the_answer_says_of_the_network(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(1)
    answer_waiting(worker, 32)
    query.refresh_from_db()
    assert query.network == worker.embedder.network
    assert query.images == 16


def test_a_bad_picture_fails_alone(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    bad, gone, good = ask(1), ask(2), ask(3)
    bad.picture_path.write_bytes(b"not a picture")
    gone.picture_path.unlink()
    assert answer_waiting(worker, 32) == 3
    states = {q.pk: (q.state, q.error_code) for q in Query.objects.all()}
    assert states == {bad.pk: (FAILED, "unsupported_format"), gone.pk: (FAILED, "gone"), good.pk: (DONE, "")}


@pytest.mark.parametrize(("k", "found"), [(1, 1), (5, 5), (16, 16), (100, 16)])
def test_as_many_as_asked_for_or_all_there_are(
    worker: Worker, gallery: list[Image], ask: Ask, k: int, found: int
) -> None:
    query = ask(0, k=k)
    answer_waiting(worker, 32)
    assert query.matches.count() == found


def test_only_the_wanted_labels(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(4, labels=("odd",))
    answer_waiting(worker, 32)
    assert {match.image.label for match in query.matches.select_related("image")} == {"odd"}
    assert query.matches.count() == 8


def test_more_like_this_leaves_the_asked_one_out(worker: Worker, gallery: list[Image]) -> None:
    query = queries.ask_like(gallery[5], Question(), Stopwatch())
    answer_waiting(worker, 32)
    assert query.matches.count() == 10
    assert "5" not in shown(query)


def test_more_like_a_removed_picture_fails_with_a_reason(worker: Worker, gallery: list[Image]) -> None:
    query = queries.ask_like(gallery[5], Question(), Stopwatch())
    gallery[5].delete()
    answer_waiting(worker, 32)
    query.refresh_from_db()
    assert (query.state, query.error_code) == (FAILED, "gone")
    assert "removed" in query.error


def test_a_crop_asks_about_a_part(worker: Worker, gallery: list[Image]) -> None:
    both = Pillow.new("RGB", (640, 240))
    both.paste(drawn(7).resize((320, 240)), (0, 0))
    both.paste(drawn(9).resize((320, 240)), (320, 0))
    file = io.BytesIO()
    both.save(file, "PNG")
    upload = uploads.accept(io.BytesIO(file.getvalue()))
    left = queries.ask(upload, Question(crop=(0, 0, 0.5, 1)), Stopwatch())
    right = queries.ask(upload, Question(crop=(0.5, 0, 0.5, 1)), Stopwatch())
    answer_waiting(worker, 32)
    assert shown(left)[0] == "7"
    assert shown(right)[0] == "9"


def test_the_eight_orientations_give_the_same_ten(worker: Worker, gallery: list[Image]) -> None:
    asked = []
    for orientation in range(1, 9):
        file = io.BytesIO(oriented(drawn(6), "PNG", orientation))
        asked.append(queries.ask(uploads.accept(file), Question(), Stopwatch()))
    answer_waiting(worker, 32)
    answers = [shown(query) for query in asked]
    assert answers[0][0] == "6"
    assert answers == [answers[0]] * 8


class BrokenEmbedder:
    """Answers nothing: a network that runs into an error."""

    def __init__(self, embedder: Embedder) -> None:
        self.network, self.read = embedder.network, embedder.read
        self.device = embedder.device

    def embed_prepared(self, prepared: object) -> None:
        raise RuntimeError("the network is broken")


def test_a_broken_run_gives_its_queries_back_until_the_third_attempt(
    embedder: Embedder, gallery: list[Image], ask: Ask
) -> None:
    query = ask(1)
    broken = Worker(BrokenEmbedder(embedder), Neighbours(embedder.network))  # type: ignore[arg-type]
    for state in (WAITING, WAITING, FAILED):
        with pytest.raises(RuntimeError):
            answer_waiting(broken, 32)
        query.refresh_from_db()
        assert query.state == state
    assert query.error_code == "gave_up"
    assert answer_waiting(broken, 32) == 0


def test_a_broken_run_costs_its_neighbours_one_attempt(
    worker: Worker, embedder: Embedder, gallery: list[Image], ask: Ask
) -> None:
    asked = [ask(number) for number in range(3)]
    broken = Worker(BrokenEmbedder(embedder), Neighbours(embedder.network))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        answer_waiting(broken, 32)
    assert [answer_waiting(worker, 32) for _ in range(4)] == [1, 1, 1, 0]
    assert {q.state for q in Query.objects.filter(pk__in=[q.pk for q in asked])} == {DONE}


def test_an_empty_gallery_answers_with_no_match(worker: Worker, ask: Ask, tmp_path: Path) -> None:
    query = ask(1)
    answer_waiting(worker, 32)
    query.refresh_from_db()
    assert (query.state, query.images, query.matches.count()) == (DONE, 0, 0)
