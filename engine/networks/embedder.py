"""Turn pictures into embeddings with one model on one device."""

import ctypes
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.errors import BadDevice
from engine.images import decoding
from engine.networks import loading, registry
from engine.networks.registry import EMBEDDING_SIZE, Model, Preprocessing

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# mallopt(3). By default glibc gives large blocks back to the kernel and asks for them again in every pass, which costs
# AlexNet in batches of 32 a tenth of its time in page faults.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 2**30
# Of a GPU's memory, for each picture of a batch. VGG takes 22 MB of it in half precision (measured, in batches of 256);
# the rest is for the model, small batches' workspace, and the gallery's worker, which has the same GPU.
MEMORY_EACH_BYTES = 2**27
CPU_BATCH, GPU_BATCH = 32, (8, 256)
# Pictures of one forward pass on the CPU: 32 at once are no quicker (5.0 ms each), and take 250 MB more.
CPU_PASS = 8
# Threads of a process that decode for a GPU: 16 cores decoded 970, 1,780, 2,410, 1,860 and 1,440 photographs a second
# with 1, 2, 4, 8 and 16 threads, which share Python's lock.
MOST_DECODERS = 4


class Embedder:
    """A model that is ready to embed. It is thread-safe; passes side by side take memory each.

    `name`, `model_id` (all that the numbers depend on: name, weights, preprocessing), `weights` (the file they came
    from), `device` ("cpu", "cuda:0"), `precision` ("fp32", "bf16", "fp16"), `at_least_px` (the shorter side that a
    picture must keep when it is decoded at a reduced scale), `batch` (how many pictures suit the device),
    `pass_size` (how many of them go through in one forward pass),
    `decoders` (how many threads of a process keep it busy: on the CPU each also embeds, so one per core).
    """

    def __init__(
        self, model: Model, network: loading.Network, device: torch.device, precision: str, batch: int = 0
    ) -> None:
        self.name = model.name
        self.model_id = registry.model_id(model.name, network.sha256)
        self.weights = network.path
        self.device = str(device)
        on_device = gpu_batch(torch.cuda.mem_get_info(device)[1]) if device.type == "cuda" else CPU_BATCH
        self.batch = batch or on_device
        self.precision = precision
        cores = os.cpu_count() or 1
        self.decoders = cores if device.type == "cpu" else min(MOST_DECODERS, cores)
        self.at_least_px = 2 * model.resize_px
        self.pass_size = min(CPU_PASS, self.batch) if device.type == "cpu" else self.batch
        self._preprocessing = model.preprocessing
        self._device = device
        self._dtype = DTYPES[precision]
        # Converted weights rather than autocast, which would convert them again in every pass.
        self._features = network.features.to(device, self._dtype).to(memory_format=torch.channels_last)
        self._pooling = network.pooling.to(device)
        self._scale, self._shift = _normalisation(model.preprocessing, device)

    @classmethod
    def load(
        cls,
        name: str,
        device: str = "auto",
        weights: Path | None = None,
        threads: int | None = None,
        batch: int = 0,
    ) -> Self:
        """Load a model by name onto `device` ("auto", "cpu", "cuda:N"), with `threads` torch threads.

        `weights`: a file to use instead of the model's own. `batch`: 0 for what suits the device.
        Raises UnknownModel, BadDevice, BadWeights.
        """
        model, where = registry.get(name), pick_device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        network = loading.load(model, weights)
        embedder = cls(model, network, where, _pick_precision(where), batch)
        _keep_memory()  # only after loading, so the memory for loading is given back
        return embedder

    def read(self, data: bytes, part: decoding.Crop | None = None) -> Tensor:
        """Decode an untrusted file and return what the model sees of it, or of a part of it. Raises BadImage."""
        whole = decoding.decode(data, at_least_px=self.at_least_px if part is None else None)
        return self.prepare(whole if part is None else decoding.crop(whole, part))

    def prepare(self, picture: Image.Image) -> Tensor:
        """Return what the model sees of an upright picture: uint8 [3, input_px, input_px]."""
        return prepare(picture, self._preprocessing)

    @property
    def square(self) -> tuple[int, int]:
        """Return what a decoder makes for the model (`decoders.pool.Request`)."""
        return self._preprocessing.input_px, self._preprocessing.resize_px

    def prepare_decoded(self, pixels: bytes) -> Tensor:
        """Do the same as `prepare` with the rows of RGB that a decoder made of `square`."""
        return _as_tensor(pixels, self._preprocessing.input_px)

    def embed(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return float32 [n, 4096] of unit length, in the order of the pictures."""
        return self.embed_prepared([self.prepare(picture) for picture in pictures])

    def embed_prepared(self, prepared: Sequence[Tensor]) -> NDArray[np.float32]:
        """Do the same for what `prepare` returned: in one forward pass on a GPU, in passes of CPU_PASS on the CPU.

        Where memory runs out a pass is repeated in halves.
        """
        rows = [np.empty((0, EMBEDDING_SIZE), np.float32)]
        for start in range(0, len(prepared), self.pass_size):
            # Stacked as rows of pixels, as `prepare` left them: channels-last without a copy.
            stacked = torch.stack([pixels.permute(1, 2, 0) for pixels in prepared[start : start + self.pass_size]])
            rows.append(self._embed_batch(stacked.permute(0, 3, 1, 2)).numpy())
        return np.concatenate(rows)

    def warm_up(self, *sizes: int) -> None:
        """Run batches of these sizes (default: one picture, and a whole batch), so no query has to."""
        side = self._preprocessing.input_px
        for n in sizes or sorted({1, self.batch}):
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
        """Embed uint8 [n, 3, h, w] -> float32 [n, 4096] of unit length, back on the CPU."""
        if self._device.type == "cuda":
            batch = batch.pin_memory().to(self._device, non_blocking=True)
        normalised = torch.addcmul(self._shift, batch.float(), self._scale)
        return _unit_length(self._pooling(self._features(normalised.to(self._dtype)).float())).cpu()


def prepare(picture: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """Cut the centre square out of an upright picture and resize it: uint8 [3, input_px, input_px].

    Pillow does both in one step; other threads run during that step.
    """
    side = preprocessing.input_px
    source = picture if picture.mode == "RGB" else picture.convert("RGB")
    return _as_tensor(decoding.square(source, side, preprocessing.resize_px).tobytes(), side)


def _as_tensor(pixels: bytes, side_px: int) -> Tensor:
    """Rows of RGB as uint8 [3, side, side]."""
    return torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(side_px, side_px, 3).permute(2, 0, 1)


def picture(prepared: Tensor) -> Image.Image:
    """Return what the model sees (from `prepare`) as a picture."""
    return Image.fromarray(prepared.permute(1, 2, 0).numpy())


def pick_device(name: str) -> torch.device:
    """Turn "auto", "cpu" or "cuda:N" into a device; raises BadDevice where this machine has none such."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device(name)
    number = re.fullmatch(r"cuda:(\d{1,3})", name)
    if number is None:
        raise BadDevice(f"{name!r} is not a device; choose auto, cpu, or cuda:N for the GPU number N.")
    if int(number[1]) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        gpus = f"it has cuda:0 to cuda:{count - 1}" if count else "it has none that torch can use"
        raise BadDevice(f"This machine has no GPU {name} ({gpus}); choose auto or cpu.")
    return torch.device(name)


def gpu_batch(memory_bytes: int) -> int:
    """Return how many pictures a GPU with that much memory takes at once, a power of two."""
    fewest, most = GPU_BATCH
    fitting = max(1, memory_bytes // MEMORY_EACH_BYTES)
    return min(most, max(fewest, 1 << (fitting.bit_length() - 1)))


def _keep_memory() -> None:
    """Give free memory back once, then keep that of each forward pass for the next one. It needs glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
        libc.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def has_bf16(device: torch.device) -> bool:
    """Tell whether the processor calculates with bfloat16 itself (NVIDIA: since Ampere)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _pick_precision(device: torch.device) -> str:
    """Choose half precision where the device calculates in it.

    An embedding in bfloat16 has a cosine of 0.999 to the one in float32 (median of photographs; 0.995 at the least),
    and the same precision@10.
    """
    if has_bf16(device):
        return "bf16"
    # Tensor cores take float16 since Volta; before it, half precision is slower than float32.
    return "fp16" if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0) else "fp32"


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
