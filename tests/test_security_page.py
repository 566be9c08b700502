"""docs/security.md names tests that exist."""

import re

from tests.stack import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()


def test_every_test_that_the_threat_model_names_is_there() -> None:
    files = set(re.findall(r"`(tests/[\w/.]+)`", PAGE))
    names = set(re.findall(r"`(test_\w+)`", PAGE))
    written = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert files
    assert [name for name in sorted(files) if not (ROOT / name).is_file()] == []
    assert sorted(names - written) == []


def test_every_row_of_a_hostile_party_names_a_test_or_says_that_there_is_none() -> None:
    table = PAGE.partition("## What a hostile party can reach")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert [row for row in rows if "`test" not in row and "see below" not in row] == []
