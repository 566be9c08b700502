"""What a newcomer types first: the targets of make, and the checks before a commit."""

import re
import subprocess
from pathlib import Path

import pytest

from simsearch.launch.supervisor import BIN
from tests.stack import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
ROOT_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docker/README.md")]
PAGES = ROOT_PAGES + sorted((ROOT / "docs").glob("*.md"))
TYPED = re.compile(r"(?:^|`)make ([a-z][a-z-]*)", re.MULTILINE)


def targets() -> set[str]:
    """Return every target of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_make_alone_lists_every_target_with_what_it_does() -> None:
    output = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output == subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = dict(re.findall(r"^make ([a-z-]+) +(\S.*)$", output, re.MULTILINE))
    assert set(listed) == targets()
    assert targets() >= {"help", "run", "test", "drills", "check"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_target_that_a_page_names_is_there(page: Path) -> None:
    assert set(TYPED.findall(page.read_text())) <= targets()


def test_pre_commit_accepts_its_configuration() -> None:
    configuration = ROOT / ".pre-commit-config.yaml"
    subprocess.run([BIN / "pre-commit", "validate-config", configuration], check=True, capture_output=True)
    assert "http" not in configuration.read_text()  # every hook runs the environment's own program
