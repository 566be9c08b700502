"""A thousand uploads and a thousand who look, all at once: refused or answered, never lost and never an error."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.crowd import gather
from tests.drills.test_way_of_a_query import some
from tests.stack import Stack

UPLOADERS = LOOKERS = 1000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system of its own that lets only few wait, so that some are refused."""
    directory: Path = tmp_path_factory.mktemp("crowd")
    with Stack(directory, SIMSEARCH_MAX_WAITING="200", SIMSEARCH_UPLOADS_PER_MINUTE="900") as running:
        yield running


@pytest.mark.timeout(600)
def test_a_crowd_is_answered_or_refused_with_a_reason(small: Stack) -> None:
    crowd = gather(small.port, some(16), UPLOADERS, LOOKERS)
    assert crowd.errors == [], small.output()
    assert set(crowd.uploads) <= {202, 429, 503}
    assert crowd.uploads.total() == UPLOADERS
    assert crowd.uploads[429] > 0  # 900 a minute and one address
    assert set(crowd.polls) == {200}
    assert crowd.ended == {"done": crowd.uploads[202]}
