"""One system with everything in it, and its backup, made once for all tests that only read them."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.sites import Site, Unchanged


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory, redis_server: None) -> Site:
    site = Unchanged(tmp_path_factory.mktemp("source") / "data")
    site.run("from tests.commands.backups import fill\nfill()")
    return site


@pytest.fixture(scope="session")
def backup(source: Site) -> Path:
    file = source.data_dir.parent / "backup.tar"
    source.output("backup", str(file))
    return file


@pytest.fixture(scope="session")
def _empty(tmp_path_factory: pytest.TempPathFactory, redis_server: None) -> Site:
    return Site(tmp_path_factory.mktemp("empty") / "data")


@pytest.fixture
def target(tmp_path: Path, _empty: Site) -> Site:
    """Return a fresh system."""
    return Site(tmp_path / "target", like=_empty)


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    if reason := postgres.unavailable():
        pytest.skip(reason)
    with postgres.Cluster() as running:
        yield running


@pytest.fixture
def on_postgresql(tmp_path: Path, cluster: postgres.Cluster) -> Site:
    """Return a fresh system on PostgreSQL."""
    return Site(tmp_path / "on-postgresql", cluster.create_database(f"test_{secrets.token_hex(4)}"))


@pytest.fixture(params=["target", pytest.param("on_postgresql", marks=pytest.mark.drill)])
def any_target(request: pytest.FixtureRequest) -> Site:
    """Return a fresh system on each of the databases."""
    site: Site = request.getfixturevalue(request.param)
    return site
