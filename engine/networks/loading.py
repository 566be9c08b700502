"""Load a model by its name: build its modules, read the weights, and check them before they embed anything."""

import socket
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from engine.errors import BadWeights
from engine.networks.efficientnet_lite import ARCHITECTURES, EfficientNetLite, Pooling
from engine.networks.registry import Model, checksum, packaged_weights

CONNECT_TIMEOUT_S = 20

State = dict[str, Tensor]


@dataclass(frozen=True)
class Network:
    """A network on the CPU, in float32, with its weights.

    `features`: normalised pixels -> features; it may run in half precision. `pooling`: features in float32 ->
    [n, 4096]. `sha256` of the weights file, which is at `path`.
    """

    features: nn.Module
    pooling: nn.Module
    sha256: str
    path: Path


def load(model: Model, weights: Path | None = None) -> Network:
    """Build the network with the weights of that file, or else with its package's or torchvision's own.

    Torchvision's weights are downloaded once into torch's cache. Raises BadWeights.
    """
    path = weights or (packaged_weights(model) if model.package else _torchvision_file(model.name))
    sha256 = checksum(path)
    if weights is None and model.sha256 not in ("", sha256):
        raise BadWeights(
            f"The weights of {model.name} in {path} are not the expected ones; install {model.package} 0.1.0 again."
        )
    state = _read_safetensors(path) if _is_safetensors(path) else _read_checkpoint(path)
    module = skeleton(model)
    _fill(module, state, path, model.name)
    if isinstance(module, EfficientNetLite):
        network = Network(module.fold(), Pooling(ARCHITECTURES[model.name].strips), sha256, path)
    else:
        network = Network(cut(module), nn.Identity(), sha256, path)
    _try_out(network, model)
    return network


def cut(module: nn.Module) -> nn.Module:
    """Drop a torchvision network's last linear layer: it then gives the [n, 4096] before it, after ReLU."""
    module.classifier = module.classifier[:-1]  # type: ignore[index]
    return module


def skeleton(model: Model) -> nn.Module:
    """Return the whole network, classifier included, without weights (on the meta device)."""
    with torch.device("meta"):
        if model.name in ARCHITECTURES:
            return EfficientNetLite(ARCHITECTURES[model.name])
        module: nn.Module = _torchvision_models().get_model(model.name, weights=None)
    return module


def _fill(module: nn.Module, state: State, path: Path, name: str) -> None:
    """Load the weights of a file into a skeleton; names and shapes must match exactly."""
    try:
        module.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        detail = textwrap.shorten(str(error).partition("\n")[2], 160, placeholder=" …").rstrip(".")
        raise BadWeights(f"{path} does not hold the weights of {name} ({detail}).") from error
    module.float().eval().requires_grad_(False)


def _try_out(network: Network, model: Model) -> None:
    """Refuse weights that give no finite embedding; one grey picture shows every NaN and infinity."""
    side = model.input_px
    try:
        with torch.inference_mode():
            finite = bool(network.pooling(network.features(torch.zeros(1, 3, side, side))).isfinite().all())
    except RuntimeError:  # complex numbers, say
        finite = False
    if not finite:
        raise BadWeights(f"{network.path} gives no finite embeddings; download or train the weights again.")


def _is_safetensors(path: Path) -> bool:
    """Tell by content: eight bytes of length, then JSON; a torch checkpoint is a ZIP file or a pickle."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> State:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise BadWeights(f"{path} is not a readable safetensors file ({error}).") from error


def _read_checkpoint(path: Path) -> State:
    """Read a state dict without running code of a pickle."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile pickle can fail in any way
        raise BadWeights(f"{path} is not a plain torch checkpoint (damaged, or more than tensors in it).") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise BadWeights(f"{path} is not a state dict; save it with torch.save(network.state_dict(), …).")
    return state


def _torchvision_models() -> ModuleType:
    # A second of a worker's start, which the default model does without.
    import torchvision.models  # type: ignore[import-untyped]

    models: ModuleType = torchvision.models
    return models


def _torchvision_file(name: str) -> Path:
    """Return torchvision's ImageNet weights in torch's cache, downloaded if necessary, and checked."""
    url = _torchvision_models().get_model_weights(name).DEFAULT.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    prefix = path.stem.rpartition("-")[2]  # torchvision's naming: <network>-<start of the sha256>.pth
    if not path.is_file():
        _download(name, url, path, prefix)
    elif not checksum(path).startswith(prefix):
        raise BadWeights(f"{path} is damaged (its checksum is not the known one); delete it and start again.")
    return path


def _download(name: str, url: str, path: Path, prefix: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _time_limit(CONNECT_TIMEOUT_S):
            torch.hub.download_url_to_file(url, str(path), prefix, progress=sys.stderr.isatty())
    except (OSError, HTTPException, RuntimeError) as error:
        raise BadWeights(
            f"The weights of {name} could not be downloaded ({error}); connect this machine to the internet "
            f"once, or download {url} elsewhere and set SIMSEARCH_WEIGHTS to that file."
        ) from error


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Limit each wait of torch's downloader, which has no time-out; behind a firewall it would wait for minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
