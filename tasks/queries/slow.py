"""Background work that no batch waits for: slow pictures, and pictures to fetch."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from uuid import UUID

from django.db import connections

from engine.decoders.pool import DECODERS
from engine.errors import BadImage
from engine.images.limits import PATIENCE_AFTER_SLOW_S, PATIENCE_S
from gallery.curation import pictures
from gallery.models import Query
from gallery.queries import lifecycle, throttle, wakeup
from gallery.storage import files

logger = logging.getLogger(__name__)

Work = Callable[[UUID, Query], None]


class Background:
    """Queries that a batch cannot answer yet: `work` prepares them, in `threads` of this process.

    `work` gets the claim's token and the query, and ends with `wait_again`, or with the query failed.
    """

    def __init__(self, name: str, work: Work, threads: int = 1) -> None:
        self._name, self._work, self._most = name, work, threads
        self._lock = threading.Lock()
        self._waiting: deque[tuple[UUID, Query]] = deque()
        self._threads: set[threading.Thread] = set()

    @property
    def is_busy(self) -> bool:
        """Return whether queries are in work."""
        return bool(self._threads)

    def add(self, token: UUID, query: Query) -> None:
        """Take on a query of this claim."""
        with self._lock:
            self._waiting.append((token, query))
            if len(self._threads) < self._most:
                # A stop does not wait for it: its queries are released when their lease is over.
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._threads.add(thread)
                thread.start()

    def join(self) -> None:
        """Wait until all are done."""
        for thread in list(self._threads):
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads.remove(threading.current_thread())
                    return
                token, query = self._waiting.popleft()
                others = [other for _, other in self._waiting]
            try:
                lifecycle.renew([query, *others])
                self._work(token, query)
            except Exception:
                logger.exception("%s: work on a query failed; it is tried again when its lease is over", self._name)
            finally:
                connections.close_all()


class SlowPictures(Background):
    """Decodes slow pictures one after the other at a low priority.

    One at a time, because each may take all the memory that a picture may have. A decoded one waits once more for a
    batch, which then finds a small picture.
    """

    def __init__(self) -> None:
        super().__init__("slow pictures", _decode)

    @property
    def patience_s(self) -> float:
        """Return how long a batch waits for a picture: less when slow ones came before."""
        return PATIENCE_AFTER_SLOW_S if self.is_busy else PATIENCE_S


def wait_again(token: UUID, query: Query) -> None:
    """Let a query wait for a batch: its pictures are ready. One that was withdrawn leaves no files."""
    if lifecycle.requeue(token, query):
        wakeup.wake_unless_pending(wakeup.ANSWER)
    else:
        lifecycle.remove_withdrawn([query])


def _decode(token: UUID, query: Query) -> None:
    """Decode the uploads of this query that no batch has decoded, and let the query wait again."""
    wanted = pictures.request(jpegs=(pictures.KEPT,))
    try:
        for row in query.pictures:
            if not (row.has_picture and row.upload_file.exists()):
                continue
            lifecycle.renew([query])
            decoded = DECODERS.decode(row.upload_file.source(), wanted, in_background=True)
            throttle.charge(query.client, decoded.cpu_s)
            if decoded.is_incomplete:
                lifecycle.mark_incomplete(token, [query])
            try:
                files.write(row.picture_file, *decoded.jpegs)
                files.remove(row.upload_file)
            except OSError as error:  # a full disk: the next attempt comes alone, and has time for it
                logger.warning("the picture of a query was not kept: %s", error)
            logger.info("a slow picture: %.1f s", decoded.cpu_s)
    except BadImage as error:
        lifecycle.fail(token, query, error.code, str(error))
        logger.info("a slow picture: %s", error.code)
        return
    wait_again(token, query)
