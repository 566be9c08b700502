"""The product to measure: a gallery without processes, the whole system, and what its processes cost."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import django
import numpy as np
import psutil

from bench.load import Round, Visitor, drive
from bench.report import ROOT
from tests.ports import free_port as free_port

START_S, STOP_S = 600, 60
FOREIGN = {"SECRET_KEY", "ALLOWED_HOSTS", "SIMSEARCH_HTTPS", "REDIS_URL", "DATABASE_URL", "SIMSEARCH_METRICS_TOKEN"}
UNLIMITED = str(10**9)  # everything comes from one address
ROWS = 2000  # written at once
# Parts of a command line -> the name of that kind of process; the first that fits.
KINDS = {
    "gunicorn": "web",
    "engine.decoders": "decoders",
    "--queues search": "search worker",
    "--queues gallery": "gallery worker",
    "launch.flower": "Flower",
    "redis": "Redis",
}
OTHER = "starter and supervisor"
LOOK_EVERY_S = 0.5
AT_REST, REST_S = 0.1, 2.0  # of a core, for so long; heartbeats, beat and the sweeps take 0.03


def _environment(data_dir: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in FOREIGN}
    return kept | {"SIMSEARCH_DATA_DIR": str(data_dir)}


class Site:
    """A gallery without running processes, in SQLite."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir, self.database = data_dir, data_dir / "simsearch.sqlite3"
        made_up = {"SECRET_KEY": "measured", "ALLOWED_HOSTS": "localhost", "LOG_LEVEL": "ERROR"}
        made_up |= {"DATABASE_URL": f"sqlite:///{self.database}", "REDIS_URL": f"unix://{data_dir}/nobody-listens.sock"}
        self.environment = _environment(data_dir) | made_up | environment
        data_dir.mkdir()
        self.manage("migrate", "-v0")

    def manage(self, *arguments: str) -> None:
        """Run a command; it has to succeed."""
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def use(self) -> None:
        """Set Django up in this process, for this gallery."""
        os.environ.clear()
        os.environ.update(self.environment, DJANGO_SETTINGS_MODULE="simsearch.settings")
        django.setup()

    def fill(self, vectors: np.ndarray) -> None:
        """Write pictures without files and their embeddings [n, 4096] by the model `bench`; their ids are 1 to n."""
        from gallery.models import Embedding, Image

        hashes = [f"{number:064x}" for number in np.random.default_rng(1).permutation(len(vectors)).tolist()]
        images = (Image(content_hash=one, width_px=1, height_px=1) for one in hashes)
        Image.objects.bulk_create(images, batch_size=ROWS)
        for start in range(0, len(vectors), ROWS):
            pairs = zip(hashes[start : start + ROWS], vectors[start : start + ROWS].astype("<f2"), strict=True)
            Embedding.objects.bulk_create(
                Embedding(image_id=one, model_id="bench", vector=vector.tobytes()) for one, vector in pairs
            )


class System:
    """The whole system as `make run` starts it; `port`, `pid` (the parent of all its processes), `data_dir`."""

    def __init__(self, directory: Path, photos: Path, **environment: str) -> None:
        self.directory, self.data_dir, self.port = directory, directory / "data", free_port()
        self._photos = photos
        self._environment = _environment(self.data_dir) | {"SIMSEARCH_UPLOADS_PER_MINUTE": UNLIMITED} | environment

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "simsearch.launch.run"]
        command += ["--photos", str(self._photos), "--port", str(self.port)]
        with (self.directory / "run.log").open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        self.pid = self._process.pid
        try:
            self._wait_ready()
            self.wait_at_rest()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(STOP_S)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while "Press Ctrl-C" not in (output := (self.directory / "run.log").read_text()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The system did not start:\n{output}")
            time.sleep(0.2)

    def wait_at_rest(self) -> None:
        """Wait until nothing but heartbeats is left: the gallery worker loads its model after the site is ready."""
        deadline, spent_s = time.monotonic() + START_S, float("-inf")
        while (now_s := sum(cpu_s(self.pid).values())) - spent_s > AT_REST * REST_S:
            if time.monotonic() > deadline:
                raise SystemExit("The system does not come to rest.")
            spent_s = now_s
            time.sleep(REST_S)

    def drive(self, pictures: Sequence[bytes], in_flight: int) -> tuple[Round, dict[str, float]]:
        """Search for every one of the pictures; also returns the CPU time of a search in ms, by kind of process."""
        with Meter(self.pid) as meter:
            result = drive(self.port, Visitor.search, pictures, in_flight)
        return result, {kind: spent_s / len(pictures) * 1e3 for kind, spent_s in meter.spent_s.items()}


# --- What its processes cost ----------------------------------------------------------------------------------


class Meter:
    """CPU seconds of a process and everything below it during a `with` block: `spent_s`, by kind.

    It looks again and again: decoders are replaced after 500 pictures, and an ended process has no times.
    """

    def __init__(self, pid: int) -> None:
        self._pid, self._is_over = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._kinds, self._first = kinds(self._pid), _times(self._pid)
        self._last = dict(self._first)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self.spent_s: dict[str, float] = defaultdict(float)
        for pid, seconds in self._last.items():
            self.spent_s[self._kinds.get(pid, OTHER)] += seconds - self._first.get(pid, 0.0)

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_S):
            self._look()
        self._look()

    def _look(self) -> None:
        self._last |= _times(self._pid)
        if not self._kinds.keys() >= self._last.keys():
            self._kinds |= kinds(self._pid)


def _times(pid: int) -> dict[int, float]:
    """Return CPU seconds so far, user and system, of the process and everything below it, by their ids."""
    found = {}
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with suppress(psutil.Error):  # it has ended meanwhile
            found[process.pid] = sum(process.cpu_times()[:2])
    return found


def cpu_s(pid: int) -> dict[str, float]:
    """Return CPU seconds so far, user and system, by kind, of the process and everything below it."""
    return _by_kind(pid, lambda process: sum(process.cpu_times()[:2]))


def peak_mb(pid: int) -> dict[str, float]:
    """Return the highest resident memory (VmHWM, with shared pages) of the largest process of each kind."""

    def high_water_mb(process: psutil.Process) -> float:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    return _by_kind(pid, high_water_mb, max)


def pss_mb(pid: int) -> dict[str, float]:
    """Return the memory of all processes of each kind (PSS: a page that n processes share counts 1/n in each)."""
    return _by_kind(pid, lambda process: process.memory_full_info().pss / 2**20)


def kinds(pid: int) -> dict[int, str]:
    """Return the kind of the process and of everything below it, by their ids."""
    found = {}
    parent = psutil.Process(pid)
    for process in [parent, *parent.children(recursive=True)]:
        with suppress(psutil.Error):  # it has ended meanwhile
            command = " ".join(process.cmdline())
            found[process.pid] = next((name for part, name in KINDS.items() if part in command), OTHER)
    return found


def _by_kind(
    pid: int, figure: Callable[[psutil.Process], float], together: Callable[[list[float]], float] = sum
) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for one, kind in kinds(pid).items():
        with suppress(psutil.Error, OSError, StopIteration):  # it has ended meanwhile
            found[kind].append(figure(psutil.Process(one)))
    return {kind: together(figures) for kind, figures in found.items()}
