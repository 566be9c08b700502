"""Which networks there are, and which weights files are believed."""

import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import get_model_weights  # type: ignore[import-untyped]

from engine import models, networks
from engine.compact import Blueprint, Compact
from engine.errors import BadWeights, UnknownModel

TORCHVISION = [name for name in models.MODELS if name != "compact"]
SMALL = Blueprint(widths=(4, 8), blocks=(1, 1), input_px=32)


def weights_file(
    path: Path, metadata: dict[str, str | None] | None = None, tensors: dict[str, Tensor] | None = None
) -> Path:
    """Write a small compact network; metadata given as None is left out."""
    said = SMALL.metadata() | {"version": "1", "trained": "2026-01-01"} | (metadata or {})
    state = Compact(SMALL).state_dict() | (tensors or {})
    save_file(state, path, {key: value for key, value in said.items() if value is not None})
    return path


def refusal(name: str, path: Path) -> str:
    """Load a file that must be refused, at once and in one sentence; return the sentence."""
    started_s = time.monotonic()
    with pytest.raises(BadWeights) as caught:
        networks.load(models.get(name), path)
    assert time.monotonic() - started_s < 2
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert text.endswith(".")
    assert len(text) < 400
    return text


def test_names_are_looked_up_without_torch() -> None:
    code = "import sys, engine.models; sys.exit(bool({'torch', 'numpy', 'PIL'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_the_default_is_the_bundled_network() -> None:
    model = models.get(models.DEFAULT)
    assert (model.name, model.resize_px, model.input_px) == ("compact", 80, 80)
    assert model.bundled is not None
    assert model.bundled.is_file()


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(UnknownModel) as caught:
        models.get("resnet50")
    assert "'resnet50'" in str(caught.value)
    assert all(name in str(caught.value) for name in models.MODELS)


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_torchvision_network_is_cut_at_the_4096_after_their_relu(name: str) -> None:
    whole = networks.skeleton(name)
    layers = list(networks.cut(whole).classifier)  # type: ignore[arg-type]
    kinds = [type(layer).__name__ for layer in layers if not isinstance(layer, torch.nn.Dropout)]
    assert kinds == ["Linear", "ReLU", "Linear", "ReLU"]
    assert whole(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, models.EMBEDDING_SIZE)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_networks_see_what_their_weights_were_made_for(name: str) -> None:
    reference = get_model_weights(name).DEFAULT.transforms()
    ours = models.get(name).preprocessing
    assert [ours.resize_px] == reference.resize_size
    assert [ours.input_px] == reference.crop_size
    assert ours.filter == reference.interpolation.value
    assert (list(ours.mean), list(ours.std)) == (reference.mean, reference.std)


def test_the_bundled_file_says_what_its_name_promises() -> None:
    network = networks.load(models.get("compact"))
    assert network.preprocessing == models.get("compact").preprocessing
    assert network.sha256 == models.get("compact").sha256


def test_one_changed_byte_in_the_bundled_file_is_refused(tmp_path: Path) -> None:
    model = models.get("compact")
    assert model.bundled is not None
    data = bytearray(model.bundled.read_bytes())
    data[-1000] ^= 1
    changed = tmp_path / "compact.safetensors"
    changed.write_bytes(data)
    with pytest.raises(BadWeights, match="damaged"):
        networks.load(replace(model, bundled=changed))
    assert networks.load(model, changed).sha256 != model.sha256  # a file of one's own is not pinned


def test_a_compact_file_brings_its_own_form_and_input(tmp_path: Path) -> None:
    network = networks.load(models.get("compact"), weights_file(tmp_path / "small.safetensors"))
    assert network.preprocessing.input_px == 32
    assert network.module(torch.zeros(2, 3, 32, 32)).shape == (2, models.EMBEDDING_SIZE)


@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({"format": "simsearch-compact/2"}, "format"),
        ({"format": None}, "lacks format"),
        ({"version": None, "std": None}, "lacks std, version"),
        ({"widths": "4,x"}, "widths must be whole numbers"),
        ({"widths": "4,999999999"}, "each width"),
        ({"widths": "9" * 5000}, "widths"),
        ({"widths": ",".join("4" * 1000)}, "stages"),
        ({"widths": "4"}, "as many stages"),
        ({"blocks": "1,100000"}, "blocks must be 1 to 32"),
        ({"blocks": "1,0"}, "blocks must be 1 to 32"),
        ({"embedding": "512"}, "embedding must be 4096"),
        ({"input_px": "4"}, "input_px must be 16 to 512"),
        ({"input_px": "100000"}, "input_px must be 16 to 512"),
        ({"input_px": "32,32"}, "input_px must be one whole number"),
        ({"mean": "0.5,0.5"}, "mean must be three numbers"),
        ({"mean": "nan,0.5,0.5"}, "mean must be finite"),
        ({"std": "0.2,0,0.2"}, "std must be finite and above 0"),
        ({"resize": "stretch"}, "resize must be"),
    ],
)
def test_unreasonable_metadata_is_refused(tmp_path: Path, changes: dict[str, str | None], clause: str) -> None:
    assert clause in refusal("compact", weights_file(tmp_path / "w.safetensors", changes))


@pytest.mark.parametrize(
    ("tensors", "clause"),
    [
        ({"fc7.weight": torch.zeros(4096, 9)}, "size mismatch for fc7.weight"),
        ({"extra": torch.zeros(1)}, "extra"),
        ({"fc7.weight": torch.zeros(4096, 8, dtype=torch.int32)}, "fc7.weight"),
        ({"fc7.weight": torch.zeros(4096, 8, dtype=torch.complex64)}, "no finite embeddings"),
        ({"stem.0.weight": torch.full((4, 3, 3, 3), float("nan"))}, "no finite embeddings"),
        ({"stem.1.running_var": torch.full((4,), -1.0)}, "no finite embeddings"),
    ],
)
def test_numbers_of_another_network_are_refused(tmp_path: Path, tensors: dict[str, Tensor], clause: str) -> None:
    assert clause in refusal("compact", weights_file(tmp_path / "w.safetensors", tensors=tensors))


@pytest.mark.parametrize("name", ["compact", "vgg16_bn"])
@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda _: b"not weights at all", lambda d: d[:-1], lambda d: d[:40], lambda d: d[9:]]
)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    path = weights_file(tmp_path / "w.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    refusal(name, path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "no weights file" in refusal("compact", tmp_path / "nowhere.safetensors")
    assert "no weights file" in refusal("alexnet", tmp_path)


def test_a_file_too_large_for_any_network_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.pth"
    with path.open("wb") as file:
        file.truncate(models.MAX_FILE_BYTES + 1)
    assert "larger than 1 GiB" in refusal("vgg19", path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    assert "weights of vgg11" in refusal("vgg11", weights_file(tmp_path / "w.safetensors"))


class Bomb:
    """A pickle that makes a file when it is opened carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, save: Callable[[object, Path], object]) -> None:
    save({"features.0.weight": Bomb(tmp_path / "boom")}, tmp_path / "bomb.pth")
    assert "no plain torch checkpoint" in refusal("alexnet", tmp_path / "bomb.pth")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, {1: torch.zeros(1)}])
def test_a_checkpoint_that_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    assert "no state dict" in refusal("alexnet", tmp_path / "w.pth")


def test_without_internet_a_person_learns_which_file_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(BadWeights) as caught:
        networks.load(models.get("vgg16"))
    assert re.search(r"download https://\S+/vgg16-\w+\.pth elsewhere and set SIMSEARCH_WEIGHTS", str(caught.value))
    assert not list(tmp_path.rglob("*.p*"))


def test_a_damaged_file_in_torchs_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half a download")
    with pytest.raises(BadWeights, match=re.escape(f"{cached} is damaged")):
        networks.load(models.get("alexnet"))


def test_compact_does_without_torchvision() -> None:  # which would take two seconds of every worker's start
    script = "import sys; from engine.embedder import Embedder; Embedder.load('compact', 'cpu'); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True
    ).stdout
    assert "torch" in loaded.split()
    assert "torchvision" not in loaded.split()
