"""On a GPU: the same embeddings as on the processor, in the memory that there is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision  # type: ignore[import-untyped]

from engine.networks import embedder, loading, registry
from engine.networks.embedder import Embedder
from tests.engine.test_embedder import cosines, noise

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]
GPU = torch.device("cuda:0")


@pytest.fixture(autouse=True)
def _all_memory() -> Iterator[None]:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def untrained(name: str) -> Embedder:
    """Return one of torchvision's networks with random weights, on the GPU."""
    torch.manual_seed(0)
    module = loading.cut(torchvision.models.get_model(name, weights=None)).eval().requires_grad_(False)
    return Embedder(registry.get(name), loading.Network(module, torch.nn.Identity(), "0" * 64, Path()), GPU, "bf16")


def test_the_gpu_is_chosen_by_itself_and_agrees_with_the_processor() -> None:
    pictures = [noise(seed) for seed in range(33)]
    on_cpu, on_gpu = Embedder.load("efficientnet_lite0", "cpu"), Embedder.load("efficientnet_lite0", "auto")
    on_gpu.warm_up()
    assert (on_gpu.device, on_gpu.model_id) == ("cuda:0", on_cpu.model_id)
    assert on_gpu.precision == ("bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16")
    assert cosines(on_gpu.embed(pictures), on_cpu.embed(pictures)).min() > 0.999


@pytest.mark.parametrize("name", ["efficientnet_lite0", "alexnet", "vgg11", "vgg16", "vgg19_bn"])
def test_a_batch_needs_the_memory_that_was_reckoned_with(name: str) -> None:
    on_gpu = Embedder.load("efficientnet_lite0", "cuda:0") if name == "efficientnet_lite0" else untrained(name)
    on_gpu.warm_up()
    assert on_gpu.batch == embedder.gpu_batch(torch.cuda.mem_get_info(GPU)[1])
    assert torch.cuda.max_memory_reserved() < on_gpu.batch * embedder.MEMORY_EACH_BYTES


def test_a_batch_too_large_for_the_memory_is_answered_in_halves() -> None:
    on_gpu, pictures = untrained("vgg16"), [noise(seed) for seed in range(128)]
    on_gpu.embed(pictures[:32])
    room = 1.1 * torch.cuda.max_memory_reserved() / torch.cuda.mem_get_info(GPU)[1]
    expected = on_gpu.embed(pictures)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(room)
    passes: list[int] = []
    on_gpu._features.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
    in_halves = on_gpu.embed(pictures)
    assert passes[0] == 128
    assert min(passes) < 128
    assert cosines(in_halves, expected).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(in_halves, axis=1), 1, rtol=1e-5)
