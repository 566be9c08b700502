"""The files of `docker/` as their readers see them."""

import re
import subprocess
import sys
from configparser import ConfigParser, SectionProxy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
BIN = Path(sys.executable).parent
COMPOSE_FILES = sorted(DOCKER.glob("compose*.yaml"))


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    """Return a compose file with its anchors resolved; variables stand as they are written."""
    loaded: dict[str, Any] = YAML(typ="safe").load(DOCKER / name)
    return loaded


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def supervisor(name: str) -> SectionProxy:
    """Return a program of `supervisord.conf`, read by other means than the containers' own."""
    parser = ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    parser.read(DOCKER / "supervisord.conf")
    return parser[f"program:{name}"]


def dockerfile() -> list[str]:
    """Return the instructions, each on one line."""
    text = (DOCKER / "Dockerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def stages() -> dict[str, list[str]]:
    """Return the instructions of each stage by its name, its FROM first."""
    found: dict[str, list[str]] = {}
    for line in dockerfile():
        if line.startswith("FROM "):
            name = line.split(" AS ")[1]
            found[name] = []
        if found:
            found[name].append(line)
    return found


def tool(*command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a checker that is installed beside this Python."""
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=ROOT, input=text, capture_output=True, text=True, timeout=120
    )
