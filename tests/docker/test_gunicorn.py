"""gunicorn's configuration."""

import ctypes
import re
from pathlib import Path

import pytest

from tests import fresh

# As many threads as gunicorn's, which all have memory of malloc's at the same time; then what malloc says of itself.
SCRIPT = """
import ctypes, runpy, threading
{before}
together = threading.Barrier(8)

def hold():
    held = bytearray(100_000)
    together.wait()

threads = [threading.Thread(target=hold) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def arenas(data_dir: Path, before: str) -> int:
    return len(re.findall("<heap nr=", fresh.run(SCRIPT.format(before=before), data_dir)))


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_threads_share_their_memory(tmp_path: Path) -> None:
    assert arenas(tmp_path, "runpy.run_path('docker/gunicorn.conf.py')") == 1
    assert arenas(tmp_path, "") > 1  # or this could not fail
