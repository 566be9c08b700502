"""Which networks there are, what they see and where their 4096 numbers come out.

Importable without torch: the web process and the system checks only look names up.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import BadWeights, UnknownModel

EMBEDDING_SIZE = 4096
PREPROCESSING_VERSION = 1
DEFAULT = "compact"
MAX_FILE_BYTES = 1 << 30  # the largest of them, vgg19_bn, has 575 MB

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """How an upright RGB picture becomes what a network sees.

    The shorter side is resized to `resize_px`, the centre square of `input_px` is cut out, and each channel
    (0 to 1) has `mean` taken off and is divided by `std`.
    """

    resize_px: int
    input_px: int
    filter: Literal["bicubic", "bilinear"]
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD


@dataclass(frozen=True)
class Model:
    """One network by name. A `compact` file given by path may bring a preprocessing of its own."""

    name: str
    preprocessing: Preprocessing
    embedding_layer: str
    bundled: Path | None = None
    sha256: str | None = None  # of the bundled file

    @property
    def resize_px(self) -> int:
        """To what the shorter side of a picture is resized."""
        return self.preprocessing.resize_px

    @property
    def input_px(self) -> int:
        """The side of the square that the network sees."""
        return self.preprocessing.input_px


def get(name: str) -> Model:
    """Return the network of that name; raises UnknownModel, whose text lists the names."""
    if name not in MODELS:
        raise UnknownModel(f"There is no network called {name!r}; choose one of {', '.join(MODELS)}.")
    return MODELS[name]


def identity(name: str, sha256: str) -> str:
    """What makes the numbers: the network's name, the start of its weights' checksum, how pictures are prepared."""
    return f"{name}-{sha256[:12]}-p{PREPROCESSING_VERSION}"


def identified(network: str) -> Model:
    """Return the network that an identity (or a plain name) begins with; raises UnknownModel."""
    return get(network.partition("-")[0])


def checksum(weights: Path) -> str:
    """Return the SHA-256 of a weights file in hex. Raises BadWeights (missing, unreadable, too large)."""
    if not weights.is_file():
        raise BadWeights(f"There is no weights file at {weights}; check the path (SIMSEARCH_WEIGHTS, --weights).")
    if weights.stat().st_size > MAX_FILE_BYTES:
        raise BadWeights(f"{weights} is larger than 1 GiB, which no network here needs.")
    try:
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadWeights(f"{weights} cannot be read ({error.strerror}); check its permissions.") from error


def _compact() -> Model:
    return Model(
        name="compact",
        preprocessing=Preprocessing(resize_px=80, input_px=80, filter="bicubic"),
        embedding_layer="fc7: the linear layer after the pooling, after its ReLU",
        bundled=Path(__file__).parent / "weights" / "compact.safetensors",
        sha256="81dc946c96cf44729a5a1e79373faa2d0080f63191d59a11f7bda6b93e8a4c71",
    )


def _torchvision(name: str) -> Model:
    # Krizhevsky 2014 (alexnet), Simonyan and Zisserman 2015 (vgg); the reference transform of their weights.
    return Model(
        name=name,
        preprocessing=Preprocessing(resize_px=256, input_px=224, filter="bilinear"),
        embedding_layer="fc7: the layer before the classifier's last linear layer, after its ReLU",
    )


_TORCHVISION = ("alexnet", *(f"vgg{depth}{norm}" for norm in ("", "_bn") for depth in (11, 13, 16, 19)))

MODELS = {model.name: model for model in (_compact(), *map(_torchvision, _TORCHVISION))}
