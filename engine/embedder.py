"""Pictures in, embeddings out: one network on one device, in the precision that is fastest there."""

import copy
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from engine import models, networks
from engine.errors import BadDevice
from engine.models import EMBEDDING_SIZE, Preprocessing

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
PROBE_PIXELS = 8 * 80 * 80  # enough work to tell precisions apart: some 20 ms of compact, one picture of a vgg


class Embedder:
    """A network that is ready to answer. `prepare` is thread-safe; `embed` is for one thread at a time.

    `name`, `network` (the identity of what makes the numbers: name, weights, preprocessing), `weights` (the file
    they came from), `device` ("cpu", "cuda:0"), `precision` ("fp32", "bf16", "fp16"), `at_least_px` (the shorter
    side that a picture must keep when it is decoded at a reduced scale).
    """

    def __init__(self, name: str, network: networks.Network, device: torch.device, precision: str) -> None:
        self.name = name
        self.network = models.identity(name, network.sha256)
        self.weights = network.path
        self.device = str(device)
        self.precision = precision
        self.at_least_px = 2 * network.preprocessing.resize_px
        self._preprocessing = network.preprocessing
        self._device = device
        self._dtype = DTYPES[precision]
        self._module = _in(network.module, self._dtype).to(device)
        self._scale, self._shift = _normalisation(network.preprocessing, device)

    @classmethod
    def load(cls, model: str, device: str = "auto", weights: Path | None = None, threads: int | None = None) -> Self:
        """Load a network by name onto `device` ("auto", "cpu", "cuda:N"), with `threads` torch threads.

        `weights`: a file to use instead of the bundled or torchvision's weights.
        Raises UnknownModel, BadDevice, BadWeights.
        """
        known, where = models.get(model), pick_device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        network = networks.load(known, weights)
        return cls(known.name, network, where, _pick_precision(network, where))

    def prepare(self, picture: Image.Image) -> Tensor:
        """Return what the network sees of an upright picture: uint8 [3, input_px, input_px]."""
        return prepare(picture, self._preprocessing)

    def embed(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return float32 [n, 4096] of unit length, in the order of the pictures."""
        return self.embed_prepared([self.prepare(picture) for picture in pictures])

    def embed_prepared(self, prepared: Sequence[Tensor]) -> NDArray[np.float32]:
        """Do the same for what `prepare` returned, in one forward pass (in halves where memory runs out)."""
        if not prepared:
            return np.empty((0, EMBEDDING_SIZE), np.float32)
        # Stacked as rows of pixels, as `prepare` left them: channels-last without a copy.
        batch = torch.stack([pixels.permute(1, 2, 0) for pixels in prepared]).permute(0, 3, 1, 2)
        embeddings: NDArray[np.float32] = self._embed_batch(batch).numpy()
        return embeddings

    def warm_up(self, batch: int) -> None:
        """Run one picture and `batch` pictures through, so that no query pays for the first time."""
        side = self._preprocessing.input_px
        for n in sorted({1, batch}):
            self.embed_prepared([torch.zeros(3, side, side, dtype=torch.uint8)] * n)

    def _embed_batch(self, batch: Tensor) -> Tensor:
        try:
            return self._forward(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        # Outside the handler: its traceback would keep the failed pass's memory alive.
        torch.cuda.empty_cache()
        half = len(batch) // 2
        return torch.cat((self._embed_batch(batch[:half]), self._embed_batch(batch[half:])))

    @torch.inference_mode()
    def _forward(self, batch: Tensor) -> Tensor:
        """Uint8 [n, 3, h, w] -> float32 [n, 4096] of unit length, back on the CPU."""
        if self._device.type == "cuda":
            batch = batch.pin_memory().to(self._device, non_blocking=True)
        normalised = torch.addcmul(self._shift, batch.float(), self._scale)
        return _unit_length(self._module(normalised.to(self._dtype)).float()).cpu()


def prepare(picture: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """Cut the centre square out of an upright picture and resize it: uint8 [3, input_px, input_px].

    Pillow does both in one step; it lets other threads run meanwhile.
    """
    side = preprocessing.input_px
    source = picture if picture.mode == "RGB" else picture.convert("RGB")
    square = source.resize(
        (side, side),
        FILTERS[preprocessing.filter],
        box=_centre_square(source.size, side / preprocessing.resize_px),
        reducing_gap=3.0,
    )
    return torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).view(side, side, 3).permute(2, 0, 1)


def pick_device(name: str) -> torch.device:
    """Turn "auto", "cpu" or "cuda:N" into a device; raises BadDevice where this machine has none such."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device(name)
    number = re.fullmatch(r"cuda:(\d{1,3})", name)
    if number is None:
        raise BadDevice(f"{name!r} is no device; choose auto, cpu, or cuda:N for the GPU number N.")
    if int(number[1]) >= torch.cuda.device_count():
        raise BadDevice(f"This machine has no GPU {name} ({_gpus()}); choose auto or cpu.")
    return torch.device(name)


def has_bf16(device: torch.device) -> bool:
    """Tell whether the processor calculates with bfloat16 itself (NVIDIA: since Ampere)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _gpus() -> str:
    count = torch.cuda.device_count()
    return f"it has cuda:0 to cuda:{count - 1}" if count else "it has none that torch can use"


def _pick_precision(network: networks.Network, device: torch.device) -> str:
    """Choose the fastest of those that agree to a cosine of 0.999; on the CPU by trying them out."""
    if device.type == "cuda":
        # Tensor cores take float16 since Volta; before it, half precision is slower than float32.
        half = "fp16" if torch.cuda.get_device_capability(device) >= (7, 0) else "fp32"
        return "bf16" if has_bf16(device) else half
    return min(("bf16", "fp32"), key=lambda p: _pass_s(network, DTYPES[p])) if has_bf16(device) else "fp32"


@torch.inference_mode()
def _pass_s(network: networks.Network, dtype: torch.dtype) -> float:
    """Time one forward pass on the CPU: the better of two, after one that sets things up."""
    side = network.preprocessing.input_px
    module = _in(copy.deepcopy(network.module), dtype)
    pixels = torch.zeros(max(1, PROBE_PIXELS // side**2), 3, side, side, dtype=dtype)
    batch = pixels.to(memory_format=torch.channels_last)
    times_s = []
    for _ in range(3):
        started_s = time.perf_counter()
        module(batch)
        times_s.append(time.perf_counter() - started_s)
    return min(times_s[1:])


def _in(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    # Converted weights rather than autocast, which would convert them again in every pass.
    return module.to(dtype=dtype).to(memory_format=torch.channels_last)


def _normalisation(preprocessing: Preprocessing, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (value / 255 - mean) / std as one multiplication and one addition, each [1, 3, 1, 1]."""
    mean = torch.tensor(preprocessing.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=device).view(1, 3, 1, 1)
    return 1 / (255 * std), -mean / std


def _unit_length(embeddings: Tensor) -> Tensor:
    """Divide each row by its length; a row of zeros, which points nowhere, becomes equal entries."""
    length = embeddings.norm(dim=1, keepdim=True)
    nowhere = torch.full_like(embeddings, EMBEDDING_SIZE**-0.5)
    return torch.where(length > 0, embeddings / length, nowhere)


def _centre_square(size: tuple[int, int], share: float) -> tuple[float, float, float, float]:
    """Return the box in the middle whose side is that share of the shorter side."""
    width, height = size
    side = min(size) * share
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side
