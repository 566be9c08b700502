"""Decode untrusted pictures in confined processes (`engine.decoders.confined`).

A picture that exceeds a limit, or that crashes its decoder, is refused as `too_costly`. This module needs no Pillow.
It is thread-safe: each thread that decodes has its own decoder.
"""

import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from engine.errors import BadImage, EngineError
from engine.images.headers import too_costly
from engine.images.limits import (
    ADDRESS_SPACE_BYTES,
    ORDINARY_FILE_BYTES,
    PICTURE_S,
    PICTURES_OF_A_DECODER,
    REPLY_BYTES,
)

HEADER_BYTES = 4096
START_S = 30.0  # loading Pillow takes long on a busy machine
LOOK_S = 0.02  # between two checks of a slow decoder
BACKGROUND_NICE = 10
ROOT = Path(__file__).resolve().parents[2]
# The error codes that a decoder may return.
CODES = {"empty", "too_large", "unsupported_format", "too_many_pixels", "corrupt", "too_costly"}


class NoDecoder(EngineError):
    """The decoder processes cannot be started; the picture is not the cause."""


class TakesLong(Exception):
    """A picture was not decoded within the time that the caller waits."""


@dataclass(frozen=True)
class Bounds:
    """The memory that a decoder may use beyond its start, and the time that it may take for a picture."""

    address_space_bytes: int = ADDRESS_SPACE_BYTES
    picture_s: float = PICTURE_S


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True)
class Jpeg:
    """A new JPEG file: its quality, its longest side, and the longest ratio of its sides, beyond which it is cut."""

    quality: int
    within_px: int | None = None
    ratio: int | None = None


@dataclass(frozen=True)
class Request:
    """What a decoder makes of a picture file.

    `at_least_px`, `within_px`: as for `decoding.decode`. `jpegs`: new files of the whole picture.
    `square`: what a model sees of the picture, or of its part `crop` (x, y, w, h): see `decoding.square`.
    `whole`: the pixels of all of it instead. `with_date`: say when it was taken.
    """

    max_bytes: int
    max_pixels: int
    at_least_px: int | None = None
    within_px: int | None = None
    jpegs: tuple[Jpeg, ...] = ()
    crop: Sequence[float] | None = None
    square: tuple[int, int] | None = None
    whole: bool = False
    with_date: bool = False

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Read what `asdict` became on its way to the decoder."""
        return cls(**fields | {"jpegs": tuple(Jpeg(**jpeg) for jpeg in fields["jpegs"])})


@dataclass(frozen=True)
class Decoded:
    """The decoded picture: the size of the upright picture, the JPEG files, the rows of RGB that were wanted.

    `is_incomplete`: the file ended too soon. `cpu_s`: the processor's time that it took. `taken_at`: when the picture
    was taken, with the camera's time zone if the file names it.
    """

    width_px: int
    height_px: int
    jpegs: tuple[bytes, ...]
    pixels: bytes
    is_incomplete: bool
    cpu_s: float
    taken_at: datetime | None = None


# --- Messages: the length of a JSON object, the object, and what it announces ----------------------------------


def as_message(fields: dict[str, Any], *parts: bytes) -> bytes:
    """Write a reply of a decoder."""
    head = json.dumps(fields | {"parts": [len(part) for part in parts]}).encode()
    return b"".join([len(head).to_bytes(4), head, *parts])


class _Ended(Exception):
    """The decoder ended, or sent nonsense, in the middle of a picture."""


class _OverLimit(Exception):
    """The picture took longer than a picture may take."""


class _Decoder:
    """The client's side of a decoder process. Its replies are not trusted."""

    def __init__(self, end: socket.socket, bounds: Bounds) -> None:
        """Wait for the decoder to start. Raises OSError."""
        self._socket, self._bounds = end, bounds
        self.pictures = 0
        self.pid = int.from_bytes(self._read(4, START_S))
        self._process = os.pidfd_open(self.pid) if sys.platform == "linux" else None

    def ask(self, file: int, request: Request, patience_s: float | None) -> Decoded | BadImage:
        """Decode a picture. Raises TakesLong, _OverLimit, _Ended; the decoder cannot be used afterwards."""
        self.pictures += 1
        try:
            socket.send_fds(self._socket, [json.dumps(asdict(request)).encode()], [file])
            self._wait(patience_s)
            return self._reply()
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _Ended from error

    def _wait(self, patience_s: float | None) -> None:
        """Wait for the beginning of a reply."""
        began, waited = time.monotonic(), self._waited_s()
        while not self._has_sent(LOOK_S):
            took_s = time.monotonic() - began - (self._waited_s() - waited)
            if took_s > self._bounds.picture_s:
                raise _OverLimit
            if patience_s is not None and took_s > patience_s:
                raise TakesLong

    def _waited_s(self) -> float:
        """Return how long the process has waited for a core; this time does not count against the picture."""
        try:
            return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9
        except (OSError, IndexError, ValueError):  # no Linux, or it ended
            return 0.0

    def _reply(self) -> Decoded | BadImage:
        length = int.from_bytes(self._read(4))
        fields = json.loads(self._read(min(length, HEADER_BYTES)))
        if "code" in fields:
            return BadImage(fields["code"] if fields["code"] in CODES else "corrupt", str(fields["message"])[:300])
        lengths = [int(part) for part in fields["parts"]]
        if min(lengths) < 0 or sum(lengths) > REPLY_BYTES:
            raise ValueError(lengths)
        *jpegs, pixels = map(self._read, lengths)
        width_px, height_px = map(int, fields["size"])
        is_incomplete, cpu_s = bool(fields["is_incomplete"]), float(fields["cpu_s"])
        taken_at = datetime.fromisoformat(fields["taken_at"]) if fields["taken_at"] else None
        return Decoded(width_px, height_px, tuple(jpegs), pixels, is_incomplete, cpu_s, taken_at)

    def _read(self, count: int, within_s: float = PICTURE_S) -> bytes:
        """Receive this number of bytes. Raises OSError."""
        data = bytearray(count)
        rest = memoryview(data)
        self._socket.settimeout(within_s)
        while rest:
            read = self._socket.recv_into(rest)
            if not read:
                raise ConnectionResetError
            rest = rest[read:]
        return bytes(data)

    def is_alive(self) -> bool:
        """Tell whether it waits for a picture; an idle decoder sends nothing."""
        return not self._has_sent(0)

    def _has_sent(self, within_s: float) -> bool:
        """Tell whether there is something to read, or the end of the stream."""
        poll = select.poll()  # `select` knows no descriptor above 1023
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(within_s * 1000))

    def work_in_background(self) -> None:
        """Lower the decoder's priority permanently."""
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.pid, BACKGROUND_NICE)

    def close(self) -> None:
        """Kill the process."""
        with suppress(OSError):
            if self._process is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
                os.close(self._process)
        self._socket.close()


class Decoders:
    """A pool with one decoder for each thread that decodes."""

    def __init__(self, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._idle: queue.SimpleQueue[_Decoder] = queue.SimpleQueue()

    def start(self) -> socket.socket:
        """Start the process that forks decoders; returns our end of its socket.

        Processes that are forked from this one use it too. Raises NoDecoder.
        """
        ours, its = socket.socketpair()
        command = [sys.executable, "-m", "engine.decoders.confined", str(its.fileno())]
        # Not our environment: it holds secrets.
        environment = {"PATH": os.defpath, "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1"}
        with its:
            try:
                self._server = subprocess.Popen(  # noqa: S603
                    command, cwd=ROOT, env=environment, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL
                )
            except OSError as error:
                raise NoDecoder(f"The process that decodes pictures cannot be started: {error}.") from error
        self._control = ours
        return ours

    def warm_up(self) -> None:
        """Start a decoder for the first picture. Raises NoDecoder."""
        self._idle.put(self._take())

    def decode(
        self, source: Path | bytes, request: Request, patience_s: float | None = None, *, in_background: bool = False
    ) -> Decoded:
        """Decode a file in a confined process.

        Raises BadImage; TakesLong after `patience_s`; OSError, where the file cannot be read; NoDecoder.
        """
        result: Decoded | BadImage = too_costly()  # if it ends two decoders
        with _opened(source) as file:
            for _ in range(2):
                with suppress(_Ended):  # perhaps not because of the picture
                    result = self._decode(file.fileno(), request, patience_s, in_background)
                    break
        if isinstance(result, BadImage):
            raise result
        return result

    def _decode(self, file: int, request: Request, patience_s: float | None, in_background: bool) -> Decoded | BadImage:
        bytes_beyond = min(os.fstat(file).st_size, request.max_bytes) - ORDINARY_FILE_BYTES
        is_special = in_background or bytes_beyond > 0
        decoder = self._new(2 * max(0, bytes_beyond)) if is_special else self._take()
        try:
            if in_background:
                decoder.work_in_background()
            result = decoder.ask(file, request, patience_s)
        except _OverLimit:
            decoder.close()
            return too_costly()
        except BaseException:
            decoder.close()
            raise
        if is_special or decoder.pictures >= PICTURES_OF_A_DECODER:
            decoder.close()
        else:
            self._idle.put(decoder)
        return result

    def _take(self) -> _Decoder:
        with suppress(queue.Empty):
            while decoder := self._idle.get_nowait():
                if decoder.is_alive():
                    return decoder
                decoder.close()
        return self._new()

    def _new(self, more_bytes: int = 0) -> _Decoder:
        """Start a decoder that may use this much more memory than usual."""
        bounds = replace(self._bounds, address_space_bytes=self._bounds.address_space_bytes + more_bytes)
        for _ in range(2):
            with self._lock:
                control = self._control or self.start()
            ours, its = socket.socketpair()
            try:
                with its:
                    socket.send_fds(control, [json.dumps(asdict(bounds)).encode()], [its.fileno()])
                return _Decoder(ours, bounds)
            except OSError:  # the forking process has ended
                ours.close()
                with self._lock:
                    if self._control is control:
                        self._end_server()
        raise NoDecoder("The process that decodes pictures ended twice at its start.")

    def close(self) -> None:
        """End the idle decoders and the process that forks them."""
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()
        self._end_server()

    def _end_server(self) -> None:
        if self._control:
            self._control.close()
            self._control = None
        if self._server:  # in a forked process this belongs to the parent: leave it alone
            self._server.kill()
            self._server.wait()
            self._server = None

    def forget(self) -> None:
        """Forget the decoders in a forked process: they belong to its parent."""
        self._lock, self._idle = threading.Lock(), queue.SimpleQueue()


def _opened(source: Path | bytes) -> BinaryIO:
    """Open the file, or a temporary one with the bytes. Raises OSError."""
    if isinstance(source, Path):
        return source.open("rb", buffering=0)
    is_linux = sys.platform == "linux"
    file = os.fdopen(os.memfd_create("picture"), "w+b") if is_linux else tempfile.TemporaryFile()  # noqa: SIM115
    file.write(source)
    file.flush()
    return file


DECODERS = Decoders()
os.register_at_fork(after_in_child=DECODERS.forget)
