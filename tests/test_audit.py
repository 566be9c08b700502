"""`make audit`: what pip-audit says becomes one line for each finding, and silence is not taken for good news."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools import audit


def answer(*packages: dict[str, Any]) -> str:
    """Return what pip-audit writes when the service knows what it should."""
    return silent_about_the_canary(*packages, CANARY)


def silent_about_the_canary(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


CANARY = {
    "name": "pycrypto",
    "version": "2.6.1",
    "vulns": [{"id": "PYSEC-2018-97", "fix_versions": [], "aliases": [], "description": "…"}],
}


GOOD = {"name": "django", "version": "5.2.19", "vulns": []}
BAD = {
    "name": "pillow",
    "version": "8.0.0",
    "vulns": [{"id": "PYSEC-2021-1", "fix_versions": ["8.1.0"], "aliases": [], "description": "…"}],
}
UNKNOWN = {"name": "ours", "skip_reason": "Dependency not found on PyPI"}


def test_no_known_vulnerability_is_good_news() -> None:
    assert audit.judge(answer(GOOD)) == (0, ["no known vulnerability in 1 of 1 packages."])


def test_a_vulnerability_is_named_with_its_cure() -> None:
    status, lines = audit.judge(answer(GOOD, BAD))
    assert (status, lines[0]) == (1, "pillow 8.0.0: PYSEC-2021-1, fixed in 8.1.0")
    assert "docs/operations.md" in lines[-1]


def test_what_could_not_be_requested_is_named() -> None:
    status, lines = audit.judge(answer(GOOD, UNKNOWN))
    assert (status, lines[0]) == (0, "not audited: ours, which the service does not know")
    assert lines[-1] == "no known vulnerability in 1 of 2 packages."


def test_a_service_that_knows_nothing_or_does_not_answer_is_no_good_news() -> None:
    for said in ("", "Traceback", "[]", answer(UNKNOWN, UNKNOWN), answer()):
        status, lines = audit.judge(said)
        assert (status, len(lines)) == (2, 1)
        assert lines[0].startswith("not audited: ")


def test_a_service_that_answers_without_its_vulnerabilities_is_no_good_news() -> None:
    for canary in ([], [CANARY | {"vulns": []}], [{"name": "pycrypto", "skip_reason": "not found"}]):
        status, [line] = audit.judge(silent_about_the_canary(GOOD, GOOD, *canary))
        assert (status, line.partition(":")[0]) == (2, "not audited")


def test_the_canary_is_requested_and_none_of_our_pins(tmp_path: Path) -> None:
    (tmp_path / "canary.txt").write_text(audit.CANARY_PIN)
    command = audit.command(audit.PINS, tmp_path / "canary.txt")
    assert command.count("--requirement") == 2
    assert not re.search(r"^pycrypto\b", audit.PINS.read_text(), re.MULTILINE)


def test_without_a_network_it_says_so_in_one_line() -> None:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    options = subprocess.run(
        [sys.executable, "-m", "tools.audit"],
        cwd=audit.ROOT,
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
    )
    assert (options.returncode, options.stdout) == (2, "")
    assert options.stderr.count("\n") == 1
    assert options.stderr.startswith("simsearch: not audited: ")
