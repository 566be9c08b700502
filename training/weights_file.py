"""The file that training ends in, and that `engine.networks` opens."""

import datetime
from pathlib import Path

import torch
from safetensors.torch import save_file

from engine.compact import Compact


def save(network: Compact, path: Path, version: str, trained: datetime.date) -> None:
    """Write the network with its metadata: matrices as float16, the rest as it is.

    Written beside and renamed, so that `path` is never half a file.
    """
    tensors = {
        name: (value.to(torch.float16) if value.ndim > 1 else value).contiguous()
        for name, value in network.state_dict().items()
    }
    metadata = network.blueprint.metadata() | {"version": version, "trained": trained.isoformat()}
    beside = path.with_name(f"{path.name}.partial")
    save_file(tensors, beside, metadata)
    beside.replace(path)
