"""A gallery of known vectors: rows and embeddings without pictures, whose cosines can be computed by hand."""

import math

import numpy as np
from numpy.typing import NDArray

from engine.networks.registry import EMBEDDING_SIZE
from gallery.models import Embedding, Image
from tests.engine.galleries import MODEL_ID


def at(degrees: float) -> NDArray[np.float32]:
    """Return the vector [4096] at that angle in a plane: two of them have the cosine of the angle between them."""
    vector = np.zeros(EMBEDDING_SIZE, np.float32)
    vector[:2] = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return vector


def add_at(degrees: float, label: str = "", title: str = "", *, is_hidden: bool = False) -> Image:
    """Return a picture with the embedding at that angle."""
    content_hash = f"{Image.objects.count():064x}"
    image = Image.objects.create(
        content_hash=content_hash, label=label, title=title, is_hidden=is_hidden, width_px=1, height_px=1
    )
    vector = at(degrees).astype("<f2").tobytes()
    Embedding.objects.create(image_id=content_hash, model_id=MODEL_ID, vector=vector)
    return image


def add_vectors(model_id: str, vectors: NDArray[np.float32]) -> list[Image]:
    """Pictures as rows alone: titles count up, no files."""
    start = Image.objects.count()
    images = [
        Image(content_hash=f"{start + n:064x}", title=str(start + n), width_px=1, height_px=1)
        for n in range(len(vectors))
    ]
    Image.objects.bulk_create(images)
    Embedding.objects.bulk_create(
        Embedding(image_id=image.content_hash, model_id=model_id, vector=vector.astype("<f2").tobytes())
        for image, vector in zip(images, vectors, strict=True)
    )
    return images
