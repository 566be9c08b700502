"""Imports run one way, and the web process stays free of the heavy libraries."""

import json
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests import fresh

HEAVY = ["torch", "torchvision", "annoy", "numpy", "safetensors", "scipy", "sklearn", "openTSNE", "pymilvus", "grpc"]
TEST_FRAMEWORK = "django.test"  # 4 MB of a process; a library loaded it once

ANSWER_TWO_REQUESTS = (
    fresh.SITE
    + """
page = visitor.get("/")
assert page.status_code == 200, page.text
form = {"csrfmiddlewaretoken": visitor.cookies["csrftoken"]}
statuses = [visitor.post("/", data=form, files=picture).status_code]
statuses += [visitor.post("/api/queries", files=picture).status_code]
"""
)


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    finished = subprocess.run([linter, "--no-cache"], cwd=fresh.ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout


def test_the_contract_leaves_gallery_three_parts_of_the_engine() -> None:
    setup = ConfigParser()
    setup.read(fresh.ROOT / "setup.cfg")
    forbidden = setup["importlinter:contract:gallery"]["forbidden_modules"].split()
    engine = fresh.ROOT / "engine"
    parts = {f"engine.{path.stem}" for path in engine.iterdir() if not path.stem.startswith("__")}
    assert parts - set(forbidden) == {"engine.decoders", "engine.errors", "engine.images"}


@pytest.mark.parametrize("code", ["import simsearch.wsgi", ANSWER_TWO_REQUESTS], ids=["loaded", "after two uploads"])
def test_a_web_process_never_loads_the_heavy_libraries(code: str, tmp_path: Path) -> None:
    code += "\nimport json, sys\nprint(json.dumps([globals().get('statuses'), sorted(sys.modules)]))"
    fresh.migrate(tmp_path)
    statuses, modules = json.loads(fresh.run(code, tmp_path, DEBUG="on").splitlines()[-1])
    assert statuses in (None, [303, 202])
    assert [name for name in (*HEAVY, TEST_FRAMEWORK) if name in modules] == []


def test_the_engine_needs_no_django(tmp_path: Path) -> None:
    code = "import engine.networks.embedder, engine.index.annoy_index, sys; print(*sys.modules)"
    modules = fresh.run(code, tmp_path).split()
    assert {"torch", "annoy"} <= set(modules)  # so that it was loaded in earnest
    assert [name for name in ("django", "celery", "gallery", "simsearch", "tasks") if name in modules] == []
