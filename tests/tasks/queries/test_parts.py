"""Queries of several pictures: what is searched for, and what becomes of every one of their files."""

import os
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.utils import timezone
from numpy.typing import NDArray
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from gallery.models import Embedding, Image, Query, QueryPart
from gallery.operations import pruning
from gallery.queries import accept, lifecycle, retention
from gallery.queries.accept import Parameters, Pictures
from gallery.results import matches
from gallery.timings import Stopwatch
from tasks.queries.answer import answer_waiting
from tasks.search.delta import to_vectors
from tasks.worker import Worker
from tests.engine.bombs import slow_png
from tests.gallery.rows import files_kept, now, set_row, uploaded
from tests.tasks.conftest import picture

FAILED, DONE, WAITING, RUNNING = Query.State.FAILED, Query.State.DONE, Query.State.WAITING, Query.State.RUNNING


def ask(*numbers: int, like: list[Image] | None = None, unlike: list[Image] | None = None, **fields: object) -> Query:
    """Ask with these drawn pictures as uploads, and gallery pictures."""
    files = [uploaded(picture(number)) for number in numbers]
    pictures = Pictures(files=files, like=like or [], unlike=unlike or [])
    return accept.store(pictures, Parameters(**fields), Stopwatch(), "client")  # type: ignore[arg-type]


def vector(image: Image) -> NDArray[np.float32]:
    [found] = to_vectors([Embedding.objects.get(image=image).vector])
    return np.asarray(found)


def searched(query: Query) -> dict[str, float]:
    """Return the matches by title, with their cosines."""
    return {match.image.title: match.similarity for match in matches.shown(now(query))}


def uploads_of(query: Query) -> list[Path]:
    return [row.upload_file.path for row in now(query).pictures if row.has_picture]


def expected(gallery: list[Image], positive: list[int], negative: list[int]) -> dict[str, float]:
    """Return the cosines by hand: Rocchio's formula on the stored embeddings."""
    vectors = {number: vector(gallery[number]) for number in range(16)}
    query = np.mean([vectors[n] for n in positive], axis=0)
    if negative:
        query = query - 0.5 * np.mean([vectors[n] for n in negative], axis=0)
    query /= np.linalg.norm(query)
    return {str(n): float(query @ vectors[n]) for n in range(16)}


@pytest.mark.parametrize(("positive", "negative"), [([3, 4], []), ([3], [4]), ([3, 5], [4, 6]), ([1, 2, 3], [7])])
def test_gallery_pictures_are_combined_as_rocchio_says(
    worker: Worker, gallery: list[Image], positive: list[int], negative: list[int]
) -> None:
    query = ask(like=[gallery[n] for n in positive], unlike=[gallery[n] for n in negative], collapse=False)
    answer_waiting(worker, 32)
    cosines = expected(gallery, positive, negative)
    named = {str(n) for n in positive + negative}
    best = sorted(cosines.keys() - named, key=cosines.__getitem__, reverse=True)[:10]
    assert list(searched(query)) == best
    assert searched(query) == pytest.approx({title: cosines[title] for title in best}, abs=1e-3)


def test_gallery_pictures_need_no_decoding_and_so_no_forward_pass(
    worker: Worker, gallery: list[Image], settings: Settings, tmp_path: Path
) -> None:
    query = ask(like=gallery[:3], unlike=gallery[3:5])
    settings.MEDIA_ROOT = tmp_path / "away"
    answer_waiting(worker, 32)
    assert now(query).state == DONE


def test_uploads_and_gallery_pictures_are_one_query(worker: Worker, gallery: list[Image]) -> None:
    query = ask(3, 4, like=[gallery[5]], unlike=[gallery[6]], collapse=False)
    answer_waiting(worker, 32)
    cosines = expected(gallery, [3, 4, 5], [6])
    assert {title for title, _ in sorted(searched(query).items(), key=lambda item: -item[1])[:2]} == {"3", "4"}
    assert searched(query) == pytest.approx({title: cosines[title] for title in searched(query)}, abs=0.02)
    assert not {"5", "6"} & searched(query).keys()


def test_the_crop_is_of_the_first_picture(worker: Worker, gallery: list[Image]) -> None:
    whole, part = (ask(3, 4, crop=crop) for crop in (None, (0, 0, 0.3, 0.3)))
    answer_waiting(worker, 32)
    assert searched(whole) != searched(part)
    assert now(part).state == DONE


def test_queries_of_one_and_of_several_pictures_share_a_batch(worker: Worker, gallery: list[Image]) -> None:
    queries = [ask(1), ask(2, 3), ask(like=[gallery[4]], unlike=[gallery[5]]), ask(6)]
    assert len(answer_waiting(worker, 32)) == 4
    assert {now(query).state for query in queries} == {DONE}
    assert [next(iter(searched(query))) for query in (queries[0], queries[3])] == ["1", "6"]


def test_a_gallery_picture_without_embedding_is_decoded(worker: Worker, gallery: list[Image]) -> None:
    Embedding.objects.filter(image=gallery[7]).delete()
    query = ask(like=[gallery[3]], unlike=[gallery[7]])
    answer_waiting(worker, 32)
    assert now(query).state == DONE


@pytest.mark.parametrize("sign", ["like", "unlike"])
def test_a_part_that_was_removed_from_the_gallery_is_a_reason_to_fail(
    worker: Worker, gallery: list[Image], sign: str
) -> None:
    fields = {"like": [gallery[3], gallery[4]]} if sign == "like" else {"like": [gallery[3]], "unlike": [gallery[4]]}
    query = ask(**fields)
    gallery[4].delete()
    answer_waiting(worker, 32)
    assert (now(query).state, now(query).error_code) == (FAILED, "gone")
    assert "removed" in now(query).error


def test_an_image_deleted_by_the_version_before_is_a_reason_to_fail(worker: Worker, gallery: list[Image]) -> None:
    query = ask(like=[gallery[3], gallery[4]])
    Image.objects.filter(pk=gallery[4].pk)._raw_delete("default")  # it knows nothing of parts
    answer_waiting(worker, 32)
    assert (now(query).state, now(query).error_code) == (FAILED, "gone")


# --- Files --------------------------------------------------------------------------------------------------


def test_every_upload_is_replaced_by_a_picture_of_ours(worker: Worker, gallery: list[Image]) -> None:
    query = ask(3, 4, 5)
    assert all(path.exists() for path in uploads_of(query))
    answer_waiting(worker, 32)
    assert not any(path.exists() for path in uploads_of(query))
    assert all(row.picture_file.path.exists() for row in now(query).pictures)


def test_a_bad_picture_fails_its_query_alone_and_leaves_no_upload(
    worker: Worker, gallery: list[Image], django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    bad, good = ask(1, 2, 3), ask(4, 5)
    uploads_of(bad)[1].write_bytes(b"not a picture")
    with django_capture_on_commit_callbacks(execute=True):
        answer_waiting(worker, 32)
    assert (now(bad).state, now(bad).error_code, now(good).state) == (FAILED, "unsupported_format", DONE)
    assert not any(path.exists() for path in uploads_of(bad))


def test_a_lost_upload_fails_with_a_reason(worker: Worker, gallery: list[Image]) -> None:
    query = ask(1, 2)
    uploads_of(query)[1].unlink()
    answer_waiting(worker, 32)
    assert (now(query).state, now(query).error_code) == (FAILED, "gone")


@pytest.mark.django_db(transaction=True)
def test_slow_parts_are_decoded_beside_the_batch(worker: Worker, gallery: list[Image]) -> None:
    slow = accept.store(
        Pictures(files=[uploaded(data) for data in (picture(1), slow_png(), slow_png())]), Parameters(), Stopwatch()
    )
    other = ask(3)
    answer_waiting(worker, 32)
    assert (now(slow).state, now(other).state) == (RUNNING, DONE)
    worker.slow.join()
    assert now(slow).state == WAITING
    assert not any(path.exists() for path in uploads_of(slow))
    answer_waiting(worker, 32)
    assert now(slow).state == DONE


def test_a_second_attempt_uses_what_is_there(worker: Worker, gallery: list[Image]) -> None:
    query = ask(3, 4)
    claim = lifecycle.claim(1)
    assert claim.queries[0].further[0].upload_file.path.exists()
    set_row(query, lease_until=timezone.now() - timedelta(hours=1))
    assert lifecycle.release_overdue() == 1
    answer_waiting(worker, 32)
    assert (now(query).state, now(query).attempts) == (DONE, 2)


def test_a_query_that_gave_up_leaves_no_upload(
    db: None, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    query = ask(3, 4)
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(3):
            lifecycle.requeue(lifecycle.claim(1).token)
    assert (now(query).state, now(query).error_code) == (FAILED, "gave_up")
    assert files_kept() == []


@pytest.mark.parametrize("state", ["waiting", "done"])
def test_deleting_a_query_takes_all_of_its_files_and_rows(
    worker: Worker, state: str, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    query = ask(3, 4, 5)
    if state == "done":
        answer_waiting(worker, 32)
    with django_capture_on_commit_callbacks(execute=True):
        assert lifecycle.withdraw(query.pk)
    assert files_kept() == []
    assert not QueryPart.objects.exists()


def test_an_expired_query_takes_all_of_its_files(
    worker: Worker, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    ask(3, 4)
    answer_waiting(worker, 32)
    with django_capture_on_commit_callbacks(execute=True):
        assert retention.expire(timezone.now() + timedelta(minutes=1)) == 1
    assert files_kept() == []


def test_the_quota_counts_all_pictures_of_a_query(
    worker: Worker, settings: Settings, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    ask(3, 4, 5)
    answer_waiting(worker, 32)
    assert retention.used() == sum(path.stat().st_size for path in files_kept())
    settings.SIMSEARCH_QUERY_SPACE = retention.used() - 1
    with django_capture_on_commit_callbacks(execute=True):
        assert retention.enforce_quota() == 1
    assert files_kept() == []


def test_a_refused_query_leaves_nothing(db: None) -> None:
    with pytest.raises(Exception, match="picture"):
        accept.store(Pictures(files=[uploaded(picture(1)), uploaded(b"none")]), Parameters(), Stopwatch())
    assert (files_kept(), Query.objects.count(), QueryPart.objects.count()) == ([], 0, 0)


def test_files_of_parts_without_rows_are_pruned_and_others_are_not(worker: Worker) -> None:
    query = ask(3, 4)
    answer_waiting(worker, 32)
    [part] = now(query).further
    orphan = QueryPart(has_picture=True)
    orphan.picture_file.path.parent.mkdir(parents=True, exist_ok=True)
    orphan.picture_file.path.write_bytes(b"x")
    for path in files_kept():
        os.utime(path, (0, 0))
    assert pruning.find().files == [orphan.picture_file]
    assert pruning.find().queries == []
    part.picture_file.path.unlink()
    assert pruning.find().queries == [query.pk]
