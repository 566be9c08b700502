"""A folder of labelled pictures (one sub-folder per class) as tensors to learn from."""

import os
import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import images
from engine.embedder import Embedder, prepare
from engine.errors import BadImage
from engine.models import EMBEDDING_SIZE, Preprocessing

Follow = Callable[[Iterable[Path]], Iterable[Path]]


class FolderError(ValueError):
    """A folder that nothing can be learned from; its text is one sentence for a person."""


@dataclass(frozen=True)
class Pictures:
    """`pixels` uint8 [n, 3, side, side], `labels` int64 [n] (numbers of `classes`), `paths` [n]."""

    pixels: Tensor
    labels: Tensor
    paths: tuple[Path, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, chosen: Sequence[int]) -> Self:
        """Return only those pictures, in that order."""
        paths = tuple(self.paths[n] for n in chosen)
        return type(self)(self.pixels[chosen], self.labels[chosen], paths, self.classes)


def read(directory: Path, side_px: int, follow: Follow = iter) -> tuple[Pictures, list[str]]:
    """Read every picture as a centre square of `side_px`; also return one line on each file left out.

    `follow` wraps the paths, to show progress. Raises FolderError unless two classes have pictures.
    """
    paths = sorted(path for path in directory.glob("*/*") if path.is_file() and path.parent.name[0] != ".")
    square = Preprocessing(side_px, side_px, "bicubic")
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        results = list(threads.map(lambda path: _read_one(path, square), follow(paths)))
    good = {path: result for path, result in zip(paths, results, strict=True) if isinstance(result, Tensor)}
    classes = tuple(sorted({path.parent.name for path in good}))
    if len(classes) < 2:
        raise FolderError(f"{directory} needs two or more sub-folders with pictures, one for each class.")
    labels = torch.tensor([classes.index(path.parent.name) for path in good])
    left_out = [line for line in results if isinstance(line, str)]
    return Pictures(torch.stack(list(good.values())), labels, tuple(good), classes), left_out


def split(pictures: Pictures, held_out: float, seed: int) -> tuple[Pictures, Pictures]:
    """Hold out that share of each class (two at least), drawn by `seed`: (to learn from, to test with).

    A class of fewer than four pictures is only learned from. Raises FolderError for a share beyond 0 to 1.
    """
    if not 0 < held_out < 1:
        raise FolderError("The share to hold out must be between 0 and 1.")
    draw = random.Random(seed)  # noqa: S311 - no secret
    test: set[int] = set()
    for label in range(len(pictures.classes)):
        members = (pictures.labels == label).nonzero()[:, 0].tolist()
        if len(members) >= 4:
            test.update(draw.sample(members, max(2, round(held_out * len(members)))))
    learn = [n for n in range(len(pictures)) if n not in test]
    return pictures.take(learn), pictures.take(sorted(test))


def embeddings(embedder: Embedder, paths: Sequence[Path], batch: int = 64) -> NDArray[np.float16]:
    """Embed the files, decoded anew at the size that network wants: float16 [n, 4096] of unit length."""
    rows = np.empty((len(paths), EMBEDDING_SIZE), np.float16)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(paths), batch):
            prepared = list(threads.map(lambda p: embedder.read(p.read_bytes()), paths[start : start + batch]))
            rows[start : start + batch] = embedder.embed_prepared(prepared)
    return rows


def _read_one(path: Path, square: Preprocessing) -> Tensor | str:
    try:
        picture = images.decode(path.read_bytes(), at_least_px=2 * square.resize_px)
    except (BadImage, OSError) as error:
        return f"{path}: {error}"
    return prepare(picture, square)
