"""`manifest.json`: the content and search parameters of an index generation; written once, validated on each read."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from engine.errors import BadIndex, OldIndex

FORMAT = 3
METRIC = "cosine"
NAME = "manifest.json"
LARGEST_BYTES = 1 << 20  # a real one has about 1,000
FILES = frozenset({"ids.npy", "vectors.npy", "fingerprints.npy", "pca.npy", "index.ann"})


@dataclass(frozen=True)
class StoredFile:
    """One file of a generation: its length and the SHA-256 of its bytes."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class SearchParameters:
    """How ten results are found: `candidates` by Annoy, then ranked by their exact cosines.

    `dimension`: numbers that PCA (`pca.npy`) reduces the 4096 to; `trees` and `search_k`: Annoy's own.
    """

    dimension: int
    trees: int
    search_k: int
    candidates: int


@dataclass(frozen=True)
class Manifest:
    """A generation: the model that made its vectors, how it is searched, its files.

    `dimension`: of the stored vectors. `recall`: the share of the exact top ten that `recall_sample` queries found
    when the index was built (1.0 of 0 queries where every picture is a candidate); `recall_target`: the share
    that the parameters were chosen for. `created_at`: ISO 8601, UTC.
    """

    model_id: str
    dimension: int
    count: int
    created_at: str
    parameters: SearchParameters
    recall: float
    recall_sample: int
    recall_target: float
    files: dict[str, StoredFile]
    metric: str = METRIC
    format: int = FORMAT

    @property
    def is_exact(self) -> bool:
        """Tell whether every picture is a candidate, so that no search can miss one."""
        return self.parameters.candidates >= self.count


def refuse(directory: Path, reason: str, kind: type[BadIndex] = BadIndex) -> NoReturn:
    """Raise BadIndex with one sentence: what is wrong and what to do."""
    raise kind(f"The index {directory} cannot be used: {reason}; run manage.py build_index.")


def encode(manifest: Manifest) -> bytes:
    """Return `manifest` as bytes, with a checksum of itself. The file calls the model `network`."""
    fields = asdict(manifest)
    fields["network"] = fields.pop("model_id")
    return _sealed(fields)


def read(directory: Path) -> Manifest:
    """Read the manifest of the generation in `directory`.

    Raises BadIndex if a single byte is not as written, and OldIndex if all are, by a version with another format.
    """
    path = directory / NAME
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES)
    except OSError as error:
        refuse(directory, f"{NAME} cannot be read ({error.strerror})")
    try:
        fields = json.loads(raw)
        del fields["checksum"]
        if _sealed(fields) != raw:
            refuse(directory, f"{NAME} is damaged")
        if fields["format"] != FORMAT:
            refuse(directory, f"it has format {fields['format']}, this version reads {FORMAT}", OldIndex)
        files = {name: StoredFile(**stored) for name, stored in fields.pop("files").items()}
        parameters, model_id = SearchParameters(**fields.pop("parameters")), fields.pop("network")
        manifest = Manifest(model_id=model_id, parameters=parameters, files=files, **fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        refuse(directory, f"{NAME} is damaged")
    if encode(manifest) != raw:
        refuse(directory, f"{NAME} is damaged")
    return manifest


def describe_file(path: Path) -> StoredFile:
    """Return the length and checksum of a file. Raises OSError."""
    with path.open("rb") as file:
        return StoredFile(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def verify_files(directory: Path, manifest: Manifest) -> None:
    """Check that the files are the ones the manifest names, every byte of them. Raises BadIndex."""
    if set(manifest.files) != FILES:
        refuse(directory, f"{NAME} names other files than a generation has")
    if extra := sorted({path.name for path in directory.iterdir()} - FILES - {NAME}):
        refuse(directory, f"{extra[0]} does not belong there")
    # Lengths first: a truncated file is found without reading gigabytes.
    for name, stored in sorted(manifest.files.items()):
        path = directory / name
        if not path.is_file():
            refuse(directory, f"{name} is missing")
        if path.stat().st_size != stored.size_bytes:
            refuse(directory, f"{name} has {path.stat().st_size} bytes instead of {stored.size_bytes}")
    for name, stored in sorted(manifest.files.items()):
        if describe_file(directory / name) != stored:
            refuse(directory, f"{name} is damaged")


def _canonical(fields: dict[str, Any]) -> bytes:
    return (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode()


def _sealed(fields: dict[str, Any]) -> bytes:
    return _canonical(fields | {"checksum": hashlib.sha256(_canonical(fields)).hexdigest()})
