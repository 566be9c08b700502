"""Other networks than the bundled one, made here: nothing is downloaded."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine import models


def retrained(path: Path, seed: int = 1) -> Path:
    """The bundled network as another training might have left it: every matrix a little different."""
    bundled = models.get("compact").bundled
    generator = torch.Generator().manual_seed(seed)
    with safe_open(bundled, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    for name, tensor in tensors.items():
        if tensor.ndim > 1:
            noise = torch.randn(tensor.shape, generator=generator) * tensor.float().std() / 4
            tensors[name] = (tensor.float() + noise).to(tensor.dtype)
    save_file(tensors, path, metadata)
    return path
