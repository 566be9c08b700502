"""Which bells a run leaves behind: nothing waits without one."""

import pytest

from engine.networks.embedder import Embedder
from gallery import doorbell, workers
from gallery.models import Query
from tasks import worker as process
from tasks.answer import answer, answer_waiting
from tasks.neighbours import Neighbours
from tasks.worker import Worker
from tests.tasks.conftest import Ask

pytestmark = pytest.mark.django_db(transaction=True)


def bells() -> int:
    with workers.connect() as client:
        return int(client.llen("search"))


def forget_bells() -> None:
    """As if all had been heard."""
    doorbell.heard(doorbell.ANSWER)
    with workers.connect() as client:
        client.delete("search")


class Listening:
    """Counts the bells at the moment of the forward pass."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder, self.bells = embedder, -1
        self.network, self.read = embedder.network, embedder.read
        self.device = embedder.device

    def embed_prepared(self, prepared: list[object]) -> object:
        self.bells = bells()
        return self._embedder.embed_prepared(prepared)  # type: ignore[arg-type]


@pytest.mark.parametrize(("batch", "rung"), [(2, 1), (3, 1), (4, 0)])
def test_a_full_batch_wakes_another_process_at_once(embedder: Embedder, ask: Ask, batch: int, rung: int) -> None:
    for number in range(3):
        ask(number)
    forget_bells()
    listening = Listening(embedder)
    answer_waiting(Worker(listening, Neighbours(embedder.network)), batch)  # type: ignore[arg-type]
    assert listening.bells == rung


def test_a_run_that_leaves_some_waiting_rings(worker: Worker, ask: Ask) -> None:
    for number in range(2):
        ask(number)
    Query.objects.filter(pk=ask(3).pk).update(attempts=1)  # comes alone, later
    forget_bells()
    assert answer_waiting(worker, 32) == 2
    assert bells() == 1


def test_a_run_without_work_rings_for_nothing(worker: Worker) -> None:
    assert answer_waiting(worker, 32) == 0
    assert bells() == 0


def test_who_asks_after_a_run_has_begun_rings_again(worker: Worker, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_current", worker)
    ask(1)
    assert bells() == 1
    ask(2)
    assert bells() == 1
    answer()
    ask(3)
    assert bells() == 2
