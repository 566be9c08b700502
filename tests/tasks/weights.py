"""Weights of other models than the default one, made here: nothing is downloaded."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from engine.networks import registry


def retrained(path: Path, seed: int = 1) -> Path:
    """Write the default model's weights as another training might have left them: every matrix a bit different."""
    tensors = torch.load(registry.packaged_weights(registry.get(registry.DEFAULT)), weights_only=True)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in tensors.items():
        tensors[name] = tensor.contiguous()
        if tensor.ndim > 1:
            tensors[name] += torch.randn(tensor.shape, generator=generator) * tensor.std() / 20
    save_file(tensors, path)
    return path
