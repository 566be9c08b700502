"""Counters and histograms of all processes of this machine.

Each process writes into files of its own in METRICS_ROOT, and `/metrics` adds them up (prometheus_client's
multiprocess mode). Files are numbered, not named after processes: a new process goes on with those of one that ended,
so that nothing counted is lost and there are never more files than processes.
"""

import fcntl
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from gallery.errors import STATUS_OF_CODE

_directory = Path(settings.METRICS_ROOT)
# More than all labels of a process take, because a growing file would not allocate its blocks.
_FILE_BYTES = 2**19
_held: tuple[int, int, int] | None = None  # the process, the number of its files, and the lock that keeps it


def _number() -> int:
    """Return the number of this process's files: the lowest that no process holds. After a fork the child takes one."""
    global _held
    if _held and _held[0] == os.getpid():
        return _held[1]
    if _held:
        os.close(_held[2])  # the parent's
    for number in itertools.count():
        lock = os.open(_directory / f"{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            _held = (os.getpid(), number, lock)  # the lock ends with this process
            return number
    raise AssertionError


class _AllocatedDict(MmapedDict):
    """A file of counts whose disk space is allocated when it is opened.

    prometheus_client maps a sparse file, and on a full disk the kernel kills a process that writes to a page without
    a block (SIGBUS). A process that finds no room counts in memory; `/metrics` leaves it out until it is started again.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        path = Path(filename) if _allocate(Path(filename)) else Path(f"/proc/self/fd/{os.memfd_create('metrics')}")
        super().__init__(str(path), read_mode)  # type: ignore[no-untyped-call]


def _allocate(path: Path) -> bool:
    """Allocate the space for a file of counts. Return False on a full disk."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return True
    try:
        with path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, _FILE_BYTES)
    except OSError:
        if path.exists() and not path.stat().st_size:  # the reader cannot read an empty file
            path.unlink()
        return False
    return True


try:
    _directory.mkdir(parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(
        f"{_directory} cannot be made ({error.strerror}): run this as the account that owns the folder, or set "
        "SIMSEARCH_DATA_DIR."
    ) from None
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_directory)
values.MmapedDict = _AllocatedDict  # type: ignore[attr-defined]
values.ValueClass = values.MultiProcessValue(_number)  # type: ignore[no-untyped-call]

_REGISTRY = CollectorRegistry()  # not the default one: /metrics has its own
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

UPLOADS = Counter(
    "simsearch_uploads",
    'Requests to search, by upload or by "more like this": accepted, the code of the refusal, or error',
    ["outcome"],
    registry=_REGISTRY,
)
ANSWERS = Counter(
    "simsearch_answers",
    "Queries that were answered or failed, with the code of a failed one",
    ["outcome", "code"],
    registry=_REGISTRY,
)
BATCH_SIZE = Histogram(
    "simsearch_batch_size",
    "Queries claimed together",
    buckets=(1, 2, 4, 8, 16, 32, 64),
    registry=_REGISTRY,
)
BROKEN_BATCHES = Counter(
    "simsearch_broken_batches",
    "Batches that ended in an exception; their queries were tried again",
    registry=_REGISTRY,
)
STAGE_SECONDS = Histogram(
    "simsearch_stage_seconds",
    "accept, commit, wake, queue and total: of each query; claim, decode, embed, search and finish: of each batch",
    ["stage"],
    buckets=_SECONDS,
    registry=_REGISTRY,
)
HTTP_REQUESTS = Counter(
    "simsearch_http_requests",
    "Answered HTTP requests",
    ["method", "view", "status"],
    registry=_REGISTRY,
)
HTTP_SECONDS = Histogram(
    "simsearch_http_request_duration_seconds",
    "From the first middleware to the response, without the sending of its body",
    ["view"],
    buckets=_SECONDS,
    registry=_REGISTRY,
)
STAGES_OF_QUERY, STAGES_OF_BATCH = ("accept", "queue", "total"), ("claim", "decode", "embed", "search", "finish")
STAGES_AFTER = ("commit", "wake")  # both end after the row is written, so they are only counted here

# Created at the start with 0, so that Prometheus sees the first increase.
for _outcome in ("accepted", "error", *STATUS_OF_CODE):
    UPLOADS.labels(_outcome)
for _code in ("gave_up", "gone", "corrupt", "too_costly", "too_many_pixels", "unsupported_format"):
    ANSWERS.labels("failed", _code)
for _stage in (*STAGES_OF_QUERY, *STAGES_AFTER, *STAGES_OF_BATCH):
    STAGE_SECONDS.labels(_stage)
ANSWERS.labels("done", "")


def totals() -> Iterator[Metric]:
    """Return the sums over all processes of this machine. Flower loads this module too and counts things of its own."""
    families = MultiProcessCollector(None, path=str(_directory)).collect()  # type: ignore[no-untyped-call]
    yield from (family for family in families if family.name.startswith("simsearch_"))
