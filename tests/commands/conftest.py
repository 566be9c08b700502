"""One system with everything in it, and its backup, made once for all tests that only read them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.sites import Site


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory, redis_server: None) -> Site:
    site = Site(tmp_path_factory.mktemp("source") / "data")
    site.run("from tests.commands.backups import fill\nfill()")
    return site


@pytest.fixture(scope="session")
def backup(source: Site) -> Path:
    file = source.data_dir.parent / "backup.tar"
    source.told("backup", str(file))
    return file


@pytest.fixture
def target(tmp_path: Path) -> Site:
    """A fresh system."""
    return Site(tmp_path / "target")


@pytest.fixture(params=["sqlite", "postgresql"])
def any_target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A fresh system on each of the databases."""
    if request.param == "sqlite":
        yield Site(tmp_path / "target")
        return
    if reason := postgres.unavailable():
        pytest.skip(reason)
    with postgres.Cluster() as cluster:
        yield Site(tmp_path / "target", cluster.url)
