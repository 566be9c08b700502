"""One server for all tests of this folder that leave it as it was."""

import os
from collections.abc import Iterator

import pytest

from tests import postgres
from tests.deployment import outside
from tests.deployment.server import Server


def must_be_possible() -> None:
    """Skip where the system's services are not installed, but never where the project is judged."""
    reason = outside.unavailable() or postgres.unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    must_be_possible()
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def answer(server: Server) -> dict[str, object]:
    accepted = server.visitor().post("/api/queries", files={"image": ("own.jpg", gallery_picture(server))})
    assert accepted.status_code == 202
    return server.answer(accepted.json()["id"])


def gallery_picture(server: Server) -> bytes:
    return next(server.photos.rglob("*.jpg")).read_bytes()
