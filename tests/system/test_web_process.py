"""gunicorn as `make run` starts it: small, whatever it has answered."""

from pathlib import Path

from tests.engine.pictures import encoded, noise, scene
from tests.stack import Stack


def shared_objects(pid: int) -> set[str]:
    """Return the libraries that a process has mapped into its memory."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split(maxsplit=5)[5] for line in lines if ".so" in line}


def heavy(pid: int) -> set[str]:
    words = ("torch", "annoy", "numpy", "/PIL/", "pillow")
    return {name for name in shared_objects(pid) if any(word in name for word in words)}


def test_the_web_processes_map_neither_torch_nor_a_codec(stack: Stack) -> None:
    for _ in range(8):  # so that each of them has had its turn
        assert stack.client.get("/").status_code == 200
        assert stack.ask(encoded(scene(), "JPEG")).status_code == 202
    stack.ask(encoded(noise(2000, 1500), "PNG"))  # large enough for the disk
    web = stack.pids("gunicorn")
    assert len(web) >= 2, stack.output()  # the master and a worker
    assert all(shared_objects(pid) for pid in web)
    assert {pid: heavy(pid) for pid in web if heavy(pid)} == {}


def test_the_search_workers_do_map_them(stack: Stack) -> None:  # or the test above could not fail
    assert any(heavy(pid) for pid in stack.pids("--queues search"))
