"""Annoy's generations where hosts share a storage: the builder publishes one, each other host fetches it once."""

import fcntl
import hashlib
import logging
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

from engine.errors import BadIndex, IndexAway
from engine.index import manifest as manifests
from engine.index.build import sync
from engine.index.check import check_apart
from gallery.index import generations
from gallery.models import IndexGeneration
from gallery.persistence import AWAY
from gallery.storage import files
from tasks.stores import Progress

logger = logging.getLogger(__name__)

NAMES = (*sorted(manifests.FILES), manifests.NAME)
FETCHING = ".fetching"
# One process of a host fetches, and one looks for new generations. The kernel frees the locks of a dead one.
FETCH_LOCK, FOLLOW_LOCK = ".fetch.lock", ".follow.lock"
LOOK_EVERY_S = 2.0
RETRY_S = 30.0  # after a generation that could not be fetched
RENEW_S = 10.0  # between two renewals of the build's lease while a large file is sent


# --- Publishing -----------------------------------------------------------------------------------------------


def publish(generation: IndexGeneration, progress: Progress) -> str:
    """Upload the files of a new generation to the storage; returns the checksum of the manifest. Raises IndexAway."""
    storage = files.keeper("index")

    def send(name: str) -> None:
        storage.write(f"{generation.number}/{name}", generation.directory / name)

    try:
        with ThreadPoolExecutor(1) as thread:
            for name in NAMES:
                sent = thread.submit(send, name)
                while not wait([sent], RENEW_S).done:
                    progress("publishing the files", 0, 1)
                sent.result()
    except OSError as error:
        raise IndexAway(f"The new index could not be put into the storage ({error.strerror}).") from error
    return checksum(generation.directory)


def checksum(directory: Path) -> str:
    """Return the SHA-256 of a manifest, which names the checksums of all files; nothing where there is none."""
    try:
        return hashlib.sha256((directory / manifests.NAME).read_bytes()).hexdigest()
    except OSError:
        return ""


def remove(number: int) -> None:
    """Delete a generation from the storage."""
    files.remove(*(files.Stored("index", f"{number}/{name}") for name in NAMES))


def clean(wanted: Set[int]) -> None:
    """Delete all generations from the storage but these. Raises IndexAway."""
    try:
        found = [(file, file.name.partition("/")[0]) for file, _ in files.entries("index", "")]
    except OSError as error:
        raise IndexAway(f"The storage of the index does not answer ({error.strerror}).") from error
    files.remove(*(file for file, number in found if number.isdecimal() and int(number) not in wanted))


# --- Fetching -------------------------------------------------------------------------------------------------


def is_here(generation: IndexGeneration) -> bool:
    """Tell whether this host has the files of this very generation: after a restore its number may come again."""
    found = checksum(generation.directory)
    return bool(found) and found == generation.manifest.get("sha256", found)


def bring(generation: IndexGeneration) -> None:
    """Fetch a generation that is not here, in one process of this host while the others wait. Raises BadIndex."""
    if is_here(generation):
        return
    with _locked(FETCH_LOCK) as had_to_wait:
        if is_here(generation):
            return
        if had_to_wait:
            raise BadIndex(f"{_who()} could not fetch {generation}; its log says why.")
        try:
            _fetch(generation)
        except OSError as error:
            raise BadIndex(f"{_who()} could not fetch {generation} from the storage ({error.strerror}).") from error
    logger.info("fetched %s with %s pictures", generation, generation.images)


def _fetch(generation: IndexGeneration) -> None:
    """Copy the files to a temporary folder, check them there, and rename it. Raises OSError and BadIndex."""
    beside = generation.directory.with_name(f".{generation.number}{FETCHING}")
    shutil.rmtree(beside, ignore_errors=True)  # the rest of a killed process
    beside.mkdir(parents=True)
    try:
        for name in NAMES:
            files.keeper("index").fetch(f"{generation.number}/{name}", beside / name)
            sync(beside / name)
        if checksum(beside) != generation.manifest.get("sha256"):
            raise BadIndex(f"{_who()} does not use {generation}: the storage has files of another one.")
        check_apart(beside, generation.model_id)
        shutil.rmtree(generation.directory, ignore_errors=True)
        beside.rename(generation.directory)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _who() -> str:
    return f"The host {socket.gethostname()}"


@contextmanager
def _locked(name: str) -> Iterator[bool]:
    """Hold a lock of this host; yields whether another process had it first."""
    settings.INDEX_ROOT.mkdir(parents=True, exist_ok=True)
    with (settings.INDEX_ROOT / name).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            had_to_wait = False
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_EX)
            had_to_wait = True
        yield had_to_wait


class Follower:
    """Fetches each generation that becomes active before a search needs it.

    `failed`: the number of the active generation while it cannot be fetched, and why.
    """

    def __init__(self) -> None:
        self.failed: tuple[int, str] | None = None
        self._again_at = 0.0

    def start(self) -> None:
        """Start a thread that fetches as soon as no other process of this host does."""
        threading.Thread(target=self._run, name="index", daemon=True).start()

    def _run(self) -> None:
        with _locked(FOLLOW_LOCK):
            while True:
                try:
                    self.look()
                except AWAY:
                    connection.close()
                except Exception:
                    logger.exception("no new index is fetched for a moment")
                time.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Fetch the active generation if it is not here."""
        active = generations.active()
        if active is None or active.is_synchronised or is_here(active):
            self.failed = None
            return
        if self.failed is not None and self.failed[0] == active.number and time.monotonic() <= self._again_at:
            return
        try:
            bring(active)
        except BadIndex as error:
            logger.warning("%s", error)
            self.failed, self._again_at = (active.number, str(error)), time.monotonic() + RETRY_S
            return
        self.failed = None
        # Delete retired generations, but no temporary folders: a build may be running on this host.
        there = [path for path in settings.INDEX_ROOT.iterdir() if path.name.isdecimal()]
        wanted = generations.wanted()
        for path in there:
            if int(path.name) not in wanted:
                shutil.rmtree(path, ignore_errors=True)
