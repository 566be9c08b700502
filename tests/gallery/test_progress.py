import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gallery.curation.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(stream: io.StringIO, *steps: int, total: int = 240) -> list[str]:
    with Progress(total, "Drawing", "picture", stream) as shown:
        for n in steps:
            shown.advance(n)
    return stream.getvalue().splitlines()


def test_a_terminal_sees_a_bar_with_the_count_and_the_rate() -> None:
    last = run(Terminal(), 200, 40)[-1]
    assert "Drawing: 100%" in last
    assert "240/240" in last
    assert "pictures/s" in last


def test_a_log_gets_one_line_at_the_end_of_a_quick_run() -> None:
    assert run(io.StringIO(), *[1] * 240) == ["Drawing: 240 of 240 pictures"]


def test_a_log_gets_a_line_about_every_two_seconds_of_a_slow_run() -> None:
    stream = io.StringIO()
    with Progress(50, "Embedding", "picture", stream) as shown:
        for _ in range(50):
            time.sleep(0.05)
            shown.advance(1)
    lines = stream.getvalue().splitlines()
    assert 2 <= len(lines) <= 5
    assert lines[0].endswith(" a second")
    assert lines[-1].startswith("Embedding: 50 of 50 pictures, ")


def test_batches_count_as_what_they_hold() -> None:
    assert run(io.StringIO(), 32, 32, 8, total=72) == ["Drawing: 72 of 72 pictures"]


def test_a_failed_run_says_last_how_far_it_came() -> None:
    stream = io.StringIO()
    shown = Progress(240, "Drawing", "picture", stream)

    def stopped_early() -> None:
        with shown:
            shown.advance(17)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_early()
    assert stream.getvalue() == "Drawing: 17 of 240 pictures\n"


def test_results_on_stdout_stay_clean(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1, "Drawing") as shown:
        shown.advance(1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "Drawing: 1 of 1 pictures\n"


def test_a_terminal_that_does_not_know_its_size_sees_the_bar() -> None:
    ours, theirs = pty.openpty()  # a fresh one is 0 x 0 large
    program = "from gallery.curation.progress import Progress\nwith Progress(240, 'Drawing') as bar: bar.advance(240)"
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", program], cwd=root, stdout=theirs, stderr=theirs, check=True)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    assert "240/240" in shown
