"""The decoder processes. They have Pillow and its plugins, and no torch, no Django, no database, no secret.

`python -m engine.decoders.confined FD` forks a decoder for each request on this socket; the request has the decoder's
end of a new socket. So Pillow is loaded once and its memory is shared. A decoder ends with its client, or with this
process, which ends with its last client.
"""

import ctypes
import gc
import io
import json
import os
import resource
import signal
import socket
import sys
import time

import PIL.ImageCms  # noqa: F401 (before the limits: a decoder opens no files)
import pillow_heif
from PIL import AvifImagePlugin, Image

from engine.decoders.pool import HEADER_BYTES, Bounds, Request, as_message
from engine.errors import BadImage
from engine.images import dates, decoding
from engine.images.headers import Crop, Limits
from engine.images.limits import OPEN_FILES

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


def main(control: socket.socket) -> None:
    """Fork a decoder for each request."""
    for name in (signal.SIGINT, signal.SIGTERM):  # a worker that is stopped still decodes its last batch
        signal.signal(name, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the decoders
    _warm_up()
    while True:
        message, descriptors, *_ = socket.recv_fds(control, HEADER_BYTES, 1)
        if not descriptors:
            return
        if os.fork() == 0:
            control.close()
            _confine(bounds := Bounds(**json.loads(message)))
            _serve(socket.socket(fileno=descriptors[0]), bounds)
            os._exit(0)
        os.close(descriptors[0])


def _warm_up() -> None:
    """Load the code that decoding would load later, once for all decoders. Each has one core and needs no threads."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pillow_heif.options.DECODE_THREADS = 0
    for name in FORMATS:
        file = io.BytesIO()
        Image.new("RGB", (64, 64)).save(file, name)
        decoding.to_jpeg(decoding.decode(file.getvalue(), within_px=32), 16)
    gc.collect()
    gc.freeze()  # the garbage collector would write to every shared page and so copy it


# --- A decoder ------------------------------------------------------------------------------------------------


def _confine(bounds: Bounds) -> None:
    """Drop every right that decoding does not need."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # no other process of this account reads its memory
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        with open("/proc/self/statm") as file:  # noqa: PTH123 (without more modules)
            held_bytes = int(file.read().split()[0]) * resource.getpagesize()
        addresses = held_bytes + bounds.address_space_bytes
        resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))


def _serve(client: socket.socket, bounds: Bounds) -> None:
    """Answer requests until the client ends."""
    client.sendall(os.getpid().to_bytes(4))
    while True:
        message, descriptors, *_ = socket.recv_fds(client, HEADER_BYTES, 1)
        if not descriptors:
            return
        # The kernel's limit, in whole seconds, in case the client does not stop us.
        spent_s = time.process_time() + bounds.picture_s
        resource.setrlimit(resource.RLIMIT_CPU, (int(spent_s) + 1, resource.RLIM_INFINITY))
        try:
            reply = _make(Request.from_json(json.loads(message)), descriptors[0])
        except BadImage as error:
            reply = as_message({"code": error.code, "message": str(error)})
        try:
            client.sendall(reply)
        except BrokenPipeError:
            return


def _make(request: Request, descriptor: int) -> bytes:
    began_s = time.process_time()
    try:
        size = os.fstat(descriptor).st_size
        data = os.pread(descriptor, min(size, request.max_bytes + 1), 0)  # one byte more is refused as too large
    finally:
        os.close(descriptor)
    limits = Limits(max_bytes=request.max_bytes, max_pixels=request.max_pixels)
    whole = decoding.decode(data, limits, at_least_px=request.at_least_px, within_px=request.within_px)
    taken_at = dates.taken_at(data) if request.with_date else None
    del data
    files = []
    for jpeg in request.jpegs:
        shown = decoding.middle(whole, jpeg.ratio) if jpeg.ratio else whole
        files.append(decoding.to_jpeg(shown, jpeg.within_px or max(shown.size), jpeg.quality))
    part = decoding.crop(whole, Crop(*request.crop)) if request.crop else whole
    seen = decoding.square(part, *request.square) if request.square else part
    pixels = seen.tobytes() if request.square or request.whole else b""
    fields = {
        "size": whole.size,
        "is_incomplete": decoding.is_incomplete(whole),
        "taken_at": taken_at.isoformat() if taken_at else None,
        "cpu_s": time.process_time() - began_s,
    }
    return as_message(fields, *files, pixels)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
