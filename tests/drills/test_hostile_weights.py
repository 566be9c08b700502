"""Weights and index files are data: a program in one is refused, and no upload pays for it."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BadIndex
from engine.index import manifest as manifests
from engine.index.annoy_index import Index
from tests.drills.test_clear_starts import start_worker
from tests.engine.galleries import MODEL_ID, build, make_vectors
from tests.sites import Site

ASK = """
from tests.gallery.rows import ask
from gallery.models import Query
ask()
print(json.dumps(Query.objects.count()))
"""
LOOK = """
from gallery.models import Query
print(json.dumps(list(Query.objects.values_list("state", "attempts"))))
"""


class Bomb:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_worker_with_a_bomb_for_weights_says_so_runs_nothing_and_takes_no_query(tmp_path: Path, name: str) -> None:
    site, mark, weights = Site(tmp_path / "data"), tmp_path / "it-ran", tmp_path / name
    weights.write_bytes(pickle.dumps(Bomb(mark)))
    assert site.run(ASK) == 1
    ended = start_worker(site.data_dir, SIMSEARCH_WEIGHTS=str(weights))
    output = ended.stdout + ended.stderr
    assert any(str(weights) in line for line in output.splitlines() if "cannot start" in line)
    assert "Traceback" not in output
    assert not mark.exists()
    assert site.run(LOOK) == [["waiting", 0]]


def test_the_bomb_would_go_off(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "it-ran")))
    assert (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("name", ["ids.npy", "vectors.npy", "pca.npy"])
def test_an_index_file_with_a_bomb_and_the_right_checksum_is_refused(tmp_path: Path, name: str) -> None:
    directory, mark = tmp_path / "1", tmp_path / "it-ran"
    build(directory, np.arange(900), make_vectors(900), MODEL_ID)
    bomb = np.array([Bomb(mark)], object)
    np.save(directory / name, bomb, allow_pickle=True)
    made = manifests.read(directory)
    files = made.files | {name: manifests.describe_file(directory / name)}
    (directory / manifests.NAME).write_bytes(manifests.encode(replace(made, files=files)))
    with pytest.raises(BadIndex) as refusal:
        Index.open(directory, MODEL_ID)
    assert "\n" not in str(refusal.value)
    assert not mark.exists()


def test_a_manifest_is_json_and_nothing_else(tmp_path: Path) -> None:
    build(tmp_path / "1", np.arange(9), make_vectors(9), MODEL_ID)
    (tmp_path / "1" / manifests.NAME).write_bytes(pickle.dumps(Bomb(tmp_path / "it-ran")))
    with pytest.raises(BadIndex, match="damaged"):
        Index.open(tmp_path / "1", MODEL_ID)
    assert not (tmp_path / "it-ran").exists()
