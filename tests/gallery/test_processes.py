"""Which process holds something, and whether it still runs."""

import os
import subprocess
import sys
import time

import pytest

from gallery.operations import processes
from tests.gallery.rows import gone_process


def test_this_process_runs() -> None:
    assert not processes.is_gone(processes.current())


def test_a_process_names_itself() -> None:
    code = "from gallery.operations import processes; print(processes.current())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert output != processes.current()
    assert processes.is_gone(output)


def test_a_killed_process_is_gone() -> None:
    assert processes.is_gone(gone_process())


def test_a_process_is_gone_though_no_parent_has_waited_for_it() -> None:
    zombie = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert zombie.stdout is not None
    with zombie.stdout:
        zombie.stdout.read()  # until it ends
    owner = processes.current().replace(str(os.getpid()), str(zombie.pid))
    deadline = time.monotonic() + 20
    while not processes.is_gone(owner):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert zombie.wait() == 0


@pytest.mark.parametrize("owner", ["", "another-host:1", "nonsense", "host:pid"])
def test_of_strangers_nothing_is_known(owner: str) -> None:
    assert not processes.is_gone(owner)


def test_a_process_of_another_host_may_have_the_number_of_one_that_is_gone_here() -> None:
    number = gone_process().rpartition(":")[2]
    assert not processes.is_gone(f"another-host:{number}")
