"""The documentation: its links lead somewhere, the tests it names exist, and no setting is missing."""

import re
from pathlib import Path

import pytest

from tests.stack import ROOT

ROOT_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docker/README.md")]
PAGES = [*ROOT_PAGES, *sorted((ROOT / "docs").glob("*.md"))]


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose(page)) if "://" not in link]
    for link in links:
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_promise_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    files, names = set(re.findall(r"`(tests/[\w/.]+)`", text)), set(re.findall(r"`(test_\w+)`", text))
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert files
    assert names
    assert [file for file in sorted(files) if not (ROOT / file).is_file()] == []
    assert [name for name in sorted(names) if f"def {name}(" not in tests] == []


def test_every_file_that_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    files = [name for name in re.findall(r"`([\w./-]+/[\w./-]*)`", text) if not name.startswith(".venv")]
    assert len(files) > 10
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_every_setting_is_described() -> None:
    settings = (ROOT / "simsearch" / "settings.py").read_text()
    read = set(re.findall(r"\benv\.\w+\(\s*\"([A-Z_]+)\"", settings))
    assert len(read) > 20
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert [name for name in sorted(read) if f"`{name}`" not in text] == []
