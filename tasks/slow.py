"""Pictures that take long to decode: no batch waits for them."""

import logging
import threading
from collections import deque
from uuid import UUID

from django.db import connections

from engine.decoders.pool import DECODERS
from engine.errors import BadImage
from engine.images.limits import PATIENCE_AFTER_SLOW_S, PATIENCE_S
from gallery import files
from gallery.curation import pictures
from gallery.models import Query
from gallery.queries import lifecycle, throttle, wakeup

logger = logging.getLogger(__name__)


class SlowPictures:
    """The slow pictures of one worker process, decoded one after the other in a thread, at a low priority.

    One at a time, because each may take all the memory that a picture may have. A decoded one waits once more for a
    batch, which then finds a small picture.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[UUID, Query]] = deque()
        self._thread: threading.Thread | None = None

    @property
    def patience_s(self) -> float:
        """How long a batch waits for a picture: less when slow ones came before."""
        return PATIENCE_S if self._thread is None else PATIENCE_AFTER_SLOW_S

    def add(self, token: UUID, query: Query) -> None:
        """Take on a query of this claim."""
        with self._lock:
            self._waiting.append((token, query))
            if self._thread is None:
                # A stop does not wait for it: the next start finds what it leaves.
                self._thread = threading.Thread(target=self._run, name="slow pictures", daemon=True)
                self._thread.start()

    def join(self) -> None:
        """Wait until all are through."""
        if thread := self._thread:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                token, query = self._waiting.popleft()
                others = [other for _, other in self._waiting]
            try:
                lifecycle.renew([query, *others])
                _decode(token, query)
            except Exception:
                logger.exception("a slow picture was not decoded; its query is tried again when its lease is over")
            finally:
                connections.close_all()


def _decode(token: UUID, query: Query) -> None:
    try:
        decoded = DECODERS.decode(
            query.upload_file.source(), pictures.request(jpegs=(pictures.KEPT,)), in_background=True
        )
    except BadImage as error:
        lifecycle.fail(token, query, error.code, str(error))
        logger.info("a slow picture: %s", error.code)
        return
    throttle.charge(query.client, decoded.cpu_s)
    if decoded.is_incomplete:
        lifecycle.mark_incomplete(token, [query])
    try:
        files.write(query.picture_file, *decoded.jpegs)
        files.remove(query.upload_file)
    except OSError as error:  # a full disk: the next attempt comes alone, and has time for it
        logger.warning("the picture of a query was not kept: %s", error)
    if lifecycle.put_back(token, query):
        wakeup.wake_unless_pending(wakeup.ANSWER)
    else:
        lifecycle.remove_withdrawn([query])
    logger.info("a slow picture: %.1f s", decoded.cpu_s)
