"""Milvus refuses or is silent under searches, and comes back: the site says so, and every search is answered."""

import time
from collections.abc import Iterator

import pytest

from tests import demo, milvus
from tests.demo import jpegs
from tests.drills.relay import Mode, Relay
from tests.drills.searching import wait_until
from tests.stack import Stack

RED_S = 30
BACK_S = 120
AWAY_S = 15  # longer than a batch tries again: its queries wait
UPLOADS = 10


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    """Provide a relay in front of a Milvus server. An embedded server does not always start again after a kill."""
    if reason := milvus.unavailable():
        pytest.skip(reason)
    with milvus.Server() as server, Relay(server.port) as relay:
        yield relay


@pytest.fixture(scope="module")
def searched(relay: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide a system with a small gallery that reaches its Milvus through the relay."""
    directory = tmp_path_factory.mktemp("milvus-away")
    demo.write_gallery(directory / "photos")
    uri = f"http://127.0.0.1:{relay.port}"
    with Stack(directory, directory / "photos", SIMSEARCH_INDEX="milvus", SIMSEARCH_MILVUS_URI=uri) as running:
        yield running


def status(stack: Stack) -> int:
    return stack.client.get("/readyz").status_code


@pytest.mark.parametrize("mode", ["refuse", "silent"])
def test_searches_wait_for_a_milvus_that_is_away(searched: Stack, relay: Relay, mode: Mode) -> None:
    wait_until(lambda: status(searched) == 200, searched, BACK_S)
    [picture] = jpegs(1)
    first = searched.answer(searched.ask(picture).json()["id"])
    assert len(first["matches"]) == 10
    ids = [searched.ask(picture).json()["id"] for _ in range(UPLOADS)]
    relay.switch(mode)
    ids += [searched.ask(picture).json()["id"] for _ in range(UPLOADS)]
    wait_until(lambda: status(searched) == 503, searched, RED_S)
    time.sleep(AWAY_S)
    states = {searched.client.get(f"/api/queries/{id_}").json()["state"] for id_ in ids}
    assert "failed" not in states
    assert states & {"waiting", "running"}
    relay.switch("refuse")  # a connection that fell silent is never carried again
    relay.switch("forward")
    answers = [searched.answer(id_, BACK_S) for id_ in ids]
    assert {answer["state"] for answer in answers} == {"done"}
    found = [{match["image"]["id"] for match in answer["matches"]} for answer in (first, *answers)]
    assert found == found[:1] * len(found)
    wait_until(lambda: status(searched) == 200, searched, BACK_S)
