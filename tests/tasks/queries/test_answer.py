"""claim -> decode -> embed -> search -> finish, in this process with the real model."""

import io
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import F
from django.utils import timezone
from PIL import Image as Pillow
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from engine.networks.embedder import Embedder
from engine.networks.registry import Thresholds
from gallery.models import Image, Query
from gallery.queries import accept, lifecycle
from gallery.queries.accept import Parameters, Pictures
from gallery.results import matches
from gallery.timings import Stopwatch
from tasks.measuring.thresholds import store
from tasks.queries.answer import answer_waiting
from tasks.search.neighbours import Neighbours
from tasks.worker import Worker
from tests.engine.pictures import encoded, oriented
from tests.gallery.rows import decode, files_kept, now, uploaded
from tests.tasks.conftest import Ask, drawn, picture

FAILED, DONE, WAITING = Query.State.FAILED, Query.State.DONE, Query.State.WAITING


def shown(query: Query) -> list[str]:
    return [match.image.title for match in matches.shown(now(query))]


def test_the_picture_itself_comes_first(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(3)
    assert len(answer_waiting(worker, 32)) == 1
    query.refresh_from_db()
    shown = matches.shown(query)
    assert query.state == DONE
    assert [match.rank for match in shown] == list(range(1, 11))
    assert shown[0].image.id == gallery[3].pk
    assert shown[0].similarity > 0.99
    assert [m.similarity for m in shown] == sorted((m.similarity for m in shown), reverse=True)


def test_each_match_says_what_its_similarity_means(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(3)
    answer_waiting(worker, 32)
    found = matches.shown(now(query))
    assert found[0].band == "same"
    assert [match.band for match in found] == [worker.thresholds.band(match.similarity) for match in found]


def test_the_bands_are_those_that_were_measured(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    measured = Thresholds(same=1.0, very_similar=1.0, similar=1.0, duplicate=1.0)
    store(worker.embedder.model_id, measured, pictures=16)
    query = ask(3)
    answer_waiting(worker, 32)
    assert {match.band for match in matches.shown(now(query))[1:]} == {"weak"}


def test_a_cut_picture_is_searched_with_what_is_there_and_says_so(
    worker: Worker, gallery: list[Image], ask: Ask
) -> None:
    whole = picture(3)
    cut, other = (
        accept.store(Pictures(files=[uploaded(whole[: int(len(whole) * 0.9)])]), Parameters(), Stopwatch()),
        ask(4),
    )
    assert len(answer_waiting(worker, 32)) == 2
    assert now(cut).state == now(other).state == DONE
    assert (now(cut).is_incomplete, bool(now(other).is_incomplete)) == (True, False)
    assert shown(cut)[0] == "3"


def test_a_picture_of_which_little_is_there_fails_with_a_reason(worker: Worker, gallery: list[Image]) -> None:
    whole = picture(3)
    cut = accept.store(Pictures(files=[uploaded(whole[: len(whole) // 2])]), Parameters(), Stopwatch())
    answer_waiting(worker, 32)
    assert (now(cut).state, now(cut).error_code) == (FAILED, "corrupt")
    assert "of the picture is in the file" in now(cut).error


def test_waiting_queries_are_answered_in_one_batch(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    queries = [ask(number) for number in range(8)]
    assert len(answer_waiting(worker, 32)) == 8
    for number, query in enumerate(queries):
        assert shown(query)[0] == str(number)


def test_no_more_than_a_batch_is_taken(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    for number in range(5):
        ask(number)
    assert [len(answer_waiting(worker, 3)) for _ in range(3)] == [3, 2, 0]


def test_the_timings_name_every_stage(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(1)
    answer_waiting(worker, 32)
    query.refresh_from_db()
    timings_ms = query.timings_ms
    run = {"claim", "decode", "embed", "search", "finish"}
    assert set(timings_ms) == {"accept", "check", "keep", "queue", "total"} | run
    assert timings_ms["embed"] > 0
    assert timings_ms["total"] == pytest.approx(
        sum(timings_ms[stage] for stage in run | {"accept", "queue"}), abs=1
    )  # all tenths


def test_an_earlier_run_that_broke_is_no_stage(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(1)
    lifecycle.claim(1)
    hours = timedelta(hours=1)
    Query.objects.filter(pk=query.pk).update(created_at=F("created_at") - hours, lease_until=timezone.now() - hours)
    lifecycle.release_overdue()
    answer_waiting(worker, 32)
    query.refresh_from_db()
    assert query.timings_ms["total"] > 3_600_000
    assert sum(ms for stage, ms in query.timings_ms.items() if stage != "total") < 600_000


def test_the_run_of_a_version_before_is_reported(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(1)
    answer_waiting(worker, 32)
    Query.objects.update(accept_ms=None, accept_stages_ms=None, stages_ms={"embed": 1.5})
    query.refresh_from_db()
    assert query.timings_ms.keys() == {"queue", "embed", "finish", "total"}


def test_what_the_answer_says_of_the_model(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(1)
    answer_waiting(worker, 32)
    query.refresh_from_db()
    assert query.model_id == worker.embedder.model_id
    assert query.images == 16


def test_a_bad_picture_fails_alone(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    bad, gone, good = ask(1), ask(2), ask(3)
    bad.upload_file.path.write_bytes(b"not a picture")
    gone.upload_file.path.unlink()
    assert len(answer_waiting(worker, 32)) == 3
    states = {q.pk: (q.state, q.error_code) for q in Query.objects.all()}
    assert states == {bad.pk: (FAILED, "unsupported_format"), gone.pk: (FAILED, "gone"), good.pk: (DONE, "")}


@pytest.mark.parametrize(("k", "found"), [(1, 1), (5, 5), (16, 16), (100, 16)])
def test_as_many_as_requested_or_all_there_are(
    worker: Worker, gallery: list[Image], ask: Ask, k: int, found: int
) -> None:
    query = ask(0, k=k)
    answer_waiting(worker, 32)
    assert len(shown(query)) == found


def test_only_the_wanted_labels(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    query = ask(4, labels=("odd",))
    answer_waiting(worker, 32)
    found = matches.shown(now(query))
    assert {match.image.label for match in found} == {"odd"}
    assert len(found) == 8


def test_more_like_this_leaves_its_picture_out(worker: Worker, gallery: list[Image]) -> None:
    query = accept.store(Pictures(like=[gallery[5]]), Parameters(), Stopwatch())
    answer_waiting(worker, 32)
    assert len(shown(query)) == 10
    assert "5" not in shown(query)


def test_more_like_a_removed_picture_fails_with_a_reason(worker: Worker, gallery: list[Image]) -> None:
    query = accept.store(Pictures(like=[gallery[5]]), Parameters(), Stopwatch())
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
    left, right = (
        accept.store(Pictures(files=[uploaded(file.getvalue())]), Parameters(crop=(x, 0, 0.5, 1)), Stopwatch())
        for x in (0, 0.5)
    )
    answer_waiting(worker, 32)
    assert shown(left)[0] == "7"
    assert shown(right)[0] == "9"


def test_the_eight_orientations_give_the_same_ten(worker: Worker, gallery: list[Image]) -> None:
    queries = []
    for orientation in range(1, 9):
        file = uploaded(oriented(drawn(6), "PNG", orientation))
        queries.append(accept.store(Pictures(files=[file]), Parameters(), Stopwatch()))
    answer_waiting(worker, 32)
    answers = [shown(query) for query in queries]
    assert answers[0][0] == "6"
    assert answers == [answers[0]] * 8


class BrokenEmbedder:
    """Answers nothing: a model that runs into an error."""

    def __init__(self, embedder: Embedder) -> None:
        self.model_id, self.square = embedder.model_id, embedder.square
        self.prepare_decoded = embedder.prepare_decoded
        self.device = embedder.device

    def embed_prepared(self, prepared: object) -> None:
        raise RuntimeError("the model is broken")


def test_a_broken_run_gives_its_queries_back_until_the_third_attempt(
    embedder: Embedder, gallery: list[Image], ask: Ask
) -> None:
    query = ask(1)
    broken = Worker(BrokenEmbedder(embedder), Neighbours(embedder.model_id))  # type: ignore[arg-type]
    for state in (WAITING, WAITING, FAILED):
        with pytest.raises(RuntimeError):
            answer_waiting(broken, 32)
        query.refresh_from_db()
        assert query.state == state
    assert query.error_code == "gave_up"
    assert len(answer_waiting(broken, 32)) == 0


def test_a_broken_run_costs_its_neighbours_one_attempt(
    worker: Worker, embedder: Embedder, gallery: list[Image], ask: Ask
) -> None:
    queries = [ask(number) for number in range(3)]
    broken = Worker(BrokenEmbedder(embedder), Neighbours(embedder.model_id))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        answer_waiting(broken, 32)
    assert [len(answer_waiting(worker, 32)) for _ in range(4)] == [1, 1, 1, 0]
    assert {q.state for q in Query.objects.filter(pk__in=[q.pk for q in queries])} == {DONE}


def test_an_empty_gallery_answers_with_no_match(worker: Worker, ask: Ask, tmp_path: Path) -> None:
    query = ask(1)
    answer_waiting(worker, 32)
    query.refresh_from_db()
    assert (query.state, query.images, query.matches) == (DONE, 0, [])


def test_the_uploaded_bytes_are_replaced_by_a_picture_of_ours(worker: Worker, gallery: list[Image]) -> None:
    data = encoded(drawn(3).resize((2400, 1800)), "JPEG", comment=b"secret")
    query = accept.store(Pictures(files=[uploaded(data)]), Parameters(), Stopwatch())
    answer_waiting(worker, 32)
    assert files_kept() == sorted(
        [
            query.picture_file.path,
            *(path for image in gallery for path in (image.picture_file.path, image.thumbnail_file.path)),
        ]
    )
    with Pillow.open(query.picture_file.path) as kept:
        assert (kept.format, kept.size) == ("JPEG", (1000, 750))
    assert b"secret" not in query.picture_file.path.read_bytes()
    assert shown(query)[0] == "3"


@pytest.mark.parametrize("left", ["upload", "picture", "both"])
def test_a_second_attempt_uses_what_is_there(worker: Worker, gallery: list[Image], ask: Ask, left: str) -> None:
    query = ask(3)
    data = query.upload_file.path.read_bytes()
    if left != "upload":
        decode(query)
    if left == "both":
        query.upload_file.path.write_bytes(data)
    assert len(answer_waiting(worker, 32)) == 1
    assert shown(query)[0] == "3"
    assert query.picture_file.path.exists()
    assert not query.upload_file.path.exists()


def test_without_room_for_its_picture_a_query_is_answered_all_the_same(
    worker: Worker, gallery: list[Image], ask: Ask, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    query = ask(3)
    (tmp_path / "full").write_bytes(b"")
    settings.MEDIA_ROOT = tmp_path / "full" / "pictures"
    answer_waiting(worker, 32)
    assert shown(query)[0] == "3"
    assert query.upload_file.path.exists()
    assert "was not kept" in caplog.text


def test_damaged_pixels_end_a_query_as_corrupt_and_are_not_kept(
    worker: Worker, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    data = encoded(drawn(3), "JPEG")
    query = accept.store(Pictures(files=[uploaded(data[: len(data) // 2])]), Parameters(), Stopwatch())
    with django_capture_on_commit_callbacks(execute=True):
        answer_waiting(worker, 32)
    query = now(query)
    assert (query.state, query.error_code) == (FAILED, "corrupt")
    assert files_kept() == []


class Withdrawing(BrokenEmbedder):
    """Somebody deletes the query while the model looks at its picture."""

    def __init__(self, embedder: Embedder, query: Query) -> None:
        super().__init__(embedder)
        self._embedder, self._query = embedder, query

    def embed_prepared(self, prepared: list[object]) -> object:  # type: ignore[override]
        assert lifecycle.withdraw(self._query.pk)
        return self._embedder.embed_prepared(prepared)  # type: ignore[arg-type]


def test_a_query_deleted_while_it_is_answered_leaves_no_picture(embedder: Embedder, ask: Ask) -> None:
    query, other = ask(3), ask(4)
    worker = Worker(Withdrawing(embedder, query), Neighbours(embedder.model_id))  # type: ignore[arg-type]
    assert len(answer_waiting(worker, 32)) == 2
    assert now(other).state == DONE
    assert files_kept() == [other.picture_file.path]
