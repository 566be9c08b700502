"""Pictures that kill or stop the worker which looks at them.

Python loads this module when it starts and PYTHONPATH names this folder, which only drills do: simsearch itself knows
nothing of it. It watches what search workers open, and changes nothing but what happens with the two.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

KILLS, HANGS = (333, 111), (111, 333)  # by their sizes in pixels
SEARCH_WORKER = ["--queues", "search"]

_looking = threading.local()  # threads that look at a picture themselves


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or "/uploads/queries/" not in str(arguments[0]) or getattr(_looking, "now", False):
        return
    _looking.now = True
    try:
        _hurt(Path(str(arguments[0])))
    finally:
        _looking.now = False


def _hurt(picture: Path) -> None:
    from PIL import Image  # here, because every process with PYTHONPATH loads this module

    with Image.open(picture) as opened:
        size = opened.size
    if size == KILLS:
        os.kill(os.getpid(), signal.SIGSEGV)  # as a decoder does that is led astray
    if size == HANGS and not (hung := Path(os.environ["SIMSEARCH_DATA_DIR"], "hung")).exists():
        hung.touch()
        _hang_in_the_next_forward_pass()


def _hang_in_the_next_forward_pass() -> None:
    from torch.nn.modules.module import register_module_forward_pre_hook

    def hang(*_: object) -> None:
        while True:
            time.sleep(60)

    register_module_forward_pre_hook(hang)


if set(SEARCH_WORKER) <= set(sys.orig_argv):
    sys.addaudithook(_watch)
