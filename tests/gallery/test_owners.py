"""Which process holds something, and whether it still runs."""

import os
import subprocess
import sys

import pytest

from gallery import owners
from tests.gallery.rows import gone_process


def test_this_process_runs() -> None:
    assert not owners.is_gone(owners.me())


def test_a_process_names_itself() -> None:
    code = "from gallery import owners; print(owners.me())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert told != owners.me()
    assert owners.is_gone(told)


def test_a_killed_process_is_gone() -> None:
    assert owners.is_gone(gone_process())


@pytest.mark.parametrize("owner", ["", "another-host:1", f"another-host:{os.getpid()}", "nonsense", "host:pid"])
def test_of_strangers_nothing_is_known(owner: str) -> None:
    assert not owners.is_gone(owner)
