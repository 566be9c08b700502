"""What all rivals do with a picture: decode, embed, compare with every picture of the gallery."""

from pathlib import Path

import numpy as np
from torch import Tensor

from engine.networks.embedder import Embedder
from engine.ranking import Vectors

K = 10


class Plain:
    """The same network and decoding as the system, and a linear scan over `gallery` (.npy, float32 [n, 4096])."""

    def __init__(self, network: str, weights: str, gallery: Path | None = None, threads: int | None = 1) -> None:
        self.embedder = Embedder.load(network, "auto", Path(weights) if weights else None, threads)
        self._gallery: Vectors = np.load(gallery) if gallery else np.zeros((K, 4096), np.float32)
        self.embedder.warm_up()

    def decode(self, picture: bytes) -> Tensor:
        """Return what the network sees."""
        return self.embedder.read(picture)

    def answer(self, prepared: list[Tensor]) -> list[list[int]]:
        """Return the rows of the ten nearest for each."""
        return [self._nearest(vector) for vector in self.embedder.embed_prepared(prepared)]

    def _nearest(self, vector: Vectors) -> list[int]:
        cosines = self._gallery @ vector
        best = np.argpartition(cosines, -K)[-K:]
        found: list[int] = best[np.argsort(-cosines[best])].tolist()
        return found
