"""The bundled network: a small residual network whose widths and depth come from its weights file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engine.models import EMBEDDING_SIZE, IMAGENET_MEAN, IMAGENET_STD, Preprocessing, Triple

FORMAT = "simsearch-compact/1"
RESIZE = "centre square, bicubic"
# Far beyond what a plain CPU can use, and small enough that a hostile file costs nothing to refuse.
MAX_STAGES, MAX_WIDTH, MAX_BLOCKS = 8, 2048, 32
MIN_INPUT_PX, MAX_INPUT_PX = 16, 512


@dataclass(frozen=True)
class Blueprint:
    """What the metadata of a weights file says: the network's form and its preprocessing.

    `widths`: channels of each stage (each but the first halves the picture); `blocks`: its residual blocks.
    """

    widths: tuple[int, ...] = (24, 48, 96, 192)
    blocks: tuple[int, ...] = (1, 2, 2, 2)
    input_px: int = 80
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD

    def __post_init__(self) -> None:
        """Raise ValueError with a clause for a person when the form is unreasonable."""
        _demand(1 <= len(self.widths) <= MAX_STAGES, f"widths must name 1 to {MAX_STAGES} stages")
        _demand(len(self.widths) == len(self.blocks), "widths and blocks must name as many stages")
        _demand(all(1 <= w <= MAX_WIDTH for w in self.widths), f"each width must be 1 to {MAX_WIDTH}")
        _demand(all(1 <= b <= MAX_BLOCKS for b in self.blocks), f"blocks must be 1 to {MAX_BLOCKS} a stage")
        sides = f"input_px must be {MIN_INPUT_PX} to {MAX_INPUT_PX}"
        _demand(MIN_INPUT_PX <= self.input_px <= MAX_INPUT_PX, sides)
        _demand(all(map(math.isfinite, self.mean)), "mean must be finite")
        _demand(all(math.isfinite(s) and s > 0 for s in self.std), "std must be finite and above 0")

    @property
    def preprocessing(self) -> Preprocessing:
        """The centre square, resized to what the network sees."""
        return Preprocessing(self.input_px, self.input_px, "bicubic", self.mean, self.std)

    def metadata(self) -> dict[str, str]:
        """Return the entries of a weights file's metadata that say all this."""
        return {
            "format": FORMAT,
            "widths": _joined(self.widths),
            "blocks": _joined(self.blocks),
            "embedding": str(EMBEDDING_SIZE),
            "input_px": str(self.input_px),
            "mean": _joined(self.mean),
            "std": _joined(self.std),
            "resize": RESIZE,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Read what `metadata` wrote; raises ValueError with a clause for a person (`widths must be …`)."""
        missing = sorted((cls().metadata().keys() | {"version"}) - metadata.keys())
        _demand(not missing, f"its metadata lacks {', '.join(missing)}")
        _demand(metadata["format"] == FORMAT, f"its format is not {FORMAT}")
        _demand(metadata["embedding"] == str(EMBEDDING_SIZE), f"embedding must be {EMBEDDING_SIZE}")
        _demand(metadata["resize"] == RESIZE, f"resize must be {RESIZE!r}")
        return cls(
            widths=_whole_numbers(metadata, "widths"),
            blocks=_whole_numbers(metadata, "blocks"),
            input_px=_whole_number(metadata, "input_px"),
            mean=_triple(metadata, "mean"),
            std=_triple(metadata, "std"),
        )


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016, basic block); named as in the weights file."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.b1: nn.Module = nn.BatchNorm2d(width)
        self.c2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.b2: nn.Module = nn.BatchNorm2d(width)
        self.sc: nn.Module = nn.Identity()
        if width_in != width or stride != 1:
            projection = nn.Conv2d(width_in, width, 1, stride, bias=False)
            self.sc = nn.Sequential(projection, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """[n, width_in, h, w] -> [n, width, h / stride, w / stride]."""
        residual = self.b2(self.c2(F.relu(self.b1(self.c1(x)))))
        return F.relu(residual + self.sc(x))

    def fuse(self) -> None:
        """Fold each batch normalisation into the convolution before it."""
        self.c1, self.b1 = _folded(self.c1, self.b1), nn.Identity()
        self.c2, self.b2 = _folded(self.c2, self.b2), nn.Identity()
        if isinstance(self.sc, nn.Sequential):
            self.sc = _folded(*self.sc)


class Compact(nn.Module):
    """[n, 3, h, w] normalised pictures -> [n, 4096] non-negative embeddings, not yet of unit length."""

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__()
        self.blueprint = blueprint
        width = blueprint.widths[0]
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.body = nn.Sequential(*_blocks(blueprint))
        self.fc7 = nn.Linear(blueprint.widths[-1], EMBEDDING_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        """Stem, residual blocks, mean over the places, one linear layer, ReLU."""
        return F.relu(self.fc7(self.body(self.stem(x)).mean((2, 3))))

    def fuse(self) -> Self:
        """Fold the batch normalisations away, in place: the same numbers in a tenth less time."""
        self.stem = nn.Sequential(_folded(*self.stem[:2]), nn.ReLU())
        for block in self.body:
            cast(Block, block).fuse()
        return self


def skeleton(blueprint: Blueprint) -> Compact:
    """Return the network without numbers (on torch's meta device), ready to be given those of a file."""
    with torch.device("meta"):
        return Compact(blueprint)


def _blocks(blueprint: Blueprint) -> list[Block]:
    blocks, width_in = [], blueprint.widths[0]
    for stage, (width, count) in enumerate(zip(blueprint.widths, blueprint.blocks, strict=True)):
        for n in range(count):
            blocks.append(Block(width_in, width, 2 if n == 0 and stage > 0 else 1))
            width_in = width
    return blocks


def _folded(convolution: nn.Module, norm: nn.Module) -> nn.Conv2d:
    return fuse_conv_bn_eval(cast(nn.Conv2d, convolution), cast(nn.BatchNorm2d, norm))


def _demand(holds: bool, clause: str) -> None:
    if not holds:
        raise ValueError(clause)


def _joined(numbers: tuple[float, ...]) -> str:
    return ",".join(map(str, numbers))


def _whole_numbers(metadata: Mapping[str, str], key: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in metadata[key].split(","))
    except ValueError:
        raise ValueError(f"{key} must be whole numbers") from None


def _whole_number(metadata: Mapping[str, str], key: str) -> int:
    numbers = _whole_numbers(metadata, key)
    _demand(len(numbers) == 1, f"{key} must be one whole number")
    return numbers[0]


def _triple(metadata: Mapping[str, str], key: str) -> Triple:
    try:
        red, green, blue = map(float, metadata[key].split(","))
    except ValueError:
        raise ValueError(f"{key} must be three numbers") from None
    return red, green, blue
