"""Which wake-up messages a batch leaves behind: nothing waits without one."""

import pytest

from engine.networks.embedder import Embedder
from gallery.models import Query
from gallery.operations import workers
from gallery.queries import wakeup
from tasks import worker as process
from tasks.queries.answer import answer_round, answer_waiting
from tasks.search.neighbours import Neighbours
from tasks.tasks import answer
from tasks.worker import Worker
from tests.tasks.conftest import Ask
from tests.tasks.queries.test_answer import BrokenEmbedder

pytestmark = pytest.mark.django_db(transaction=True)


def messages() -> int:
    with workers.connect() as client:
        return int(client.llen("search"))


def forget_messages() -> None:
    """As if all had been taken."""
    wakeup.clear_pending(wakeup.ANSWER)
    with workers.connect() as client:
        client.delete("search")


class Listening:
    """Counts the messages at the moment of the forward pass."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder, self.messages = embedder, -1
        self.model_id, self.square = embedder.model_id, embedder.square
        self.prepare_decoded = embedder.prepare_decoded
        self.device = embedder.device

    def embed_prepared(self, prepared: list[object]) -> object:
        self.messages = messages()
        return self._embedder.embed_prepared(prepared)  # type: ignore[arg-type]


@pytest.mark.parametrize(("batch", "sent"), [(2, 1), (3, 1), (4, 0)])
def test_a_full_batch_wakes_another_process_at_once(embedder: Embedder, ask: Ask, batch: int, sent: int) -> None:
    for number in range(3):
        ask(number)
    forget_messages()
    listening = Listening(embedder)
    answer_waiting(Worker(listening, Neighbours(embedder.model_id)), batch)  # type: ignore[arg-type]
    assert listening.messages == sent


def test_a_round_goes_on_until_nothing_waits(worker: Worker, ask: Ask) -> None:
    for number in range(3):
        ask(number)
    Query.objects.filter(pk=ask(3).pk).update(attempts=1)  # comes alone
    forget_messages()
    assert sorted(map(len, answer_round(worker, 2, seconds=60))) == [1, 1, 2]
    forget_messages()
    assert answer_round(worker, 2) == []
    assert messages() == 0


def test_a_round_that_leaves_some_waiting_wakes_a_worker(worker: Worker, ask: Ask) -> None:
    for number in range(2):
        ask(number)
    Query.objects.filter(pk=ask(3).pk).update(attempts=1)
    forget_messages()
    assert [len(batch) for batch in answer_round(worker, 32, seconds=0)] == [2]
    assert messages() == 1


def test_a_round_that_breaks_wakes_a_worker_for_the_rest(worker: Worker, embedder: Embedder, ask: Ask) -> None:
    for number in range(3):
        ask(number)
    forget_messages()
    broken = Worker(BrokenEmbedder(embedder), Neighbours(embedder.model_id))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        answer_round(broken, 32)
    assert messages() == 1


def test_who_asks_after_a_run_has_begun_wakes_again(worker: Worker, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_current", worker)
    ask(1)
    assert messages() == 1
    ask(2)
    assert messages() == 1
    answer()
    ask(3)
    assert messages() == 2
