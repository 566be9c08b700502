"""EfficientNet-Lite 0 to 2 (Tan et al. 2019), and the embedding that is made of their last feature map.

Written in plain torch: importing torchvision would double the start of a worker, and its blocks pad evenly, while
these weights expect TensorFlow's "SAME" padding. Attributes have the names that the weights files use.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad, relu6
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Repeats, kernel, stride, expansion, channels of EfficientNet-B0's stages (Tan and Le 2019, table 1).
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD, CLASSES = 32, 1280, 1000
PART = 1024  # numbers in each of the four parts of an embedding
GEM_POWER = 3.0
STRIP_WEIGHT = 0.55
SEED = 4096


@dataclass(frozen=True)
class Architecture:
    """The scale of one network: `width` of channels, `depth` of stages, `input_px`; `strips`: rows of its map."""

    width: float
    depth: float
    input_px: int
    strips: tuple[tuple[int, int], ...]


ARCHITECTURES = {
    "efficientnet_lite0": Architecture(1.0, 1.0, 224, ((0, 3), (2, 5), (4, 7))),
    "efficientnet_lite1": Architecture(1.0, 1.1, 240, ((0, 4), (2, 6), (4, 8))),
    "efficientnet_lite2": Architecture(1.1, 1.2, 260, ((0, 4), (2, 7), (5, 9))),
}


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding for inputs of one known side: the odd pixel goes bottom right."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, side: int, groups: int = 1) -> None:
        total = max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
        first, last = total // 2, total - total // 2
        super().__init__(
            before, after, kernel, stride, padding=first if first == last else 0, groups=groups, bias=False
        )
        self._pad = [] if first == last else [first, last, first, last]

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [n, c, side, side]."""
        return super().forward(pad(x, self._pad) if self._pad else x)


class Block(nn.Module):
    """An inverted residual (Sandler et al. 2018) without squeeze-and-excitation."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int, side: int) -> None:
        super().__init__()
        wide = before * expansion
        self._expands = expansion > 1
        if self._expands:
            self._expand_conv: nn.Module = nn.Conv2d(before, wide, 1, bias=False)
            self._bn0: nn.Module = _norm(wide)
        self._depthwise_conv: nn.Module = SameConv2d(wide, wide, kernel, stride, side, groups=wide)
        self._bn1: nn.Module = _norm(wide)
        self._project_conv: nn.Module = nn.Conv2d(wide, after, 1, bias=False)
        self._bn2: nn.Module = _norm(after)
        self._is_residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """Run the block: [n, before, h, w] -> [n, after, h / stride, w / stride]."""
        wide = relu6(self._bn0(self._expand_conv(x)), inplace=True) if self._expands else x
        wide = relu6(self._bn1(self._depthwise_conv(wide)), inplace=True)
        narrow: Tensor = self._bn2(self._project_conv(wide))
        return narrow.add_(x) if self._is_residual else narrow


class EfficientNetLite(nn.Module):
    """The whole network: feature map and classifier."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        side = math.ceil(architecture.input_px / 2)
        self._conv_stem: nn.Module = SameConv2d(3, STEM, 3, 2, architecture.input_px)
        self._bn0: nn.Module = _norm(STEM)
        blocks: list[nn.Module] = []
        channels = STEM
        for number, (repeats, kernel, stride, expansion, width) in enumerate(STAGES):
            is_deepened = 0 < number < len(STAGES) - 1
            after = _scaled(width, architecture.width)
            for repeat in range(math.ceil(repeats * architecture.depth) if is_deepened else repeats):
                blocks.append(Block(channels, after, kernel, 1 if repeat else stride, expansion, side))
                side = side if repeat else math.ceil(side / stride)
                channels = after
        self._blocks = nn.ModuleList(blocks)
        self._conv_head: nn.Module = nn.Conv2d(channels, HEAD, 1, bias=False)
        self._bn1: nn.Module = _norm(HEAD)
        self._fc = nn.Linear(HEAD, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised pixels [n, 3, input_px, input_px] into a map [n, 1280, 7, 7] (Lite1: 8 x 8, Lite2: 9 x 9)."""
        x = relu6(self._bn0(self._conv_stem(x)), inplace=True)
        for block in self._blocks:
            x = block(x)
        return relu6(self._bn1(self._conv_head(x)), inplace=True)

    def classify(self, x: Tensor) -> Tensor:
        """Classify [n, 3, input_px, input_px] -> [n, 1000]: ImageNet's classes."""
        scores: Tensor = self._fc(self(x).mean((2, 3)))
        return scores

    def fold(self) -> "EfficientNetLite":
        """Fold each batch norm into the convolution before it, in place; the outputs stay the same."""
        _fold(self, "_conv_stem", "_bn0")
        for block in self._blocks:
            for convolution, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
                if hasattr(block, convolution):
                    _fold(block, convolution, norm)
        _fold(self, "_conv_head", "_bn1")
        return self


class Pooling(nn.Module):
    """Turns a feature map into four parts of 1024 numbers (the recipe of docs/search-quality.md).

    One part is the whole map, by generalized-mean pooling (Radenović et al. 2018). Three are means of overlapping
    horizontal strips, which keep some layout and are the same for a mirrored picture. Each is brought to unit length
    and projected from 1280 to 1024 numbers by one fixed orthonormal matrix.
    """

    _projection: Tensor

    def __init__(self, strips: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        self._strips = strips
        self.register_buffer("_projection", _projection(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Pool float32 [n, 1280, h, w] -> [n, 4096], not yet of unit length."""
        rows = features.mean(3)
        strips = [STRIP_WEIGHT * normalize(rows[:, :, first:end].mean(2)) for first, end in self._strips]
        whole = normalize((features * features * features).mean((2, 3)).pow(1 / GEM_POWER))
        return (torch.stack([whole, *strips], dim=1) @ self._projection).flatten(1)


@functools.cache
def _projection() -> Tensor:
    """Return [1280, 1024] with orthonormal columns: QR of a Gaussian matrix, made unique by the sign of R's diagonal.

    `RandomState` gives the same numbers in every version of numpy. It takes as long as the rest of loading a model, so
    all models of a process share it: nothing changes it.
    """
    gaussian = np.random.RandomState(SEED).standard_normal((HEAD, PART))
    q, r = np.linalg.qr(gaussian)
    return torch.from_numpy((q * np.sign(np.diag(r))).astype(np.float32))


def _scaled(channels: int, width: float) -> int:
    """Round to a multiple of 8 that is not more than a tenth smaller."""
    scaled = max(8, int(channels * width + 4) // 8 * 8)
    return scaled + 8 if scaled < 0.9 * channels * width else scaled


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm)))
    setattr(module, norm, nn.Identity())
