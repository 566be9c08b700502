"""Pictures in, embeddings out."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from engine import embedder, models, networks
from engine.compact import Blueprint, Compact
from engine.embedder import Embedder
from engine.errors import BadDevice, UnknownModel
from training.pictures import embeddings
from training.precision import precision_at

PHOTOS = Path(__file__).parents[2].parent / "shared" / "photos"
CPU = torch.device("cpu")


def noise(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """Draw soft random blotches, different for each seed."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((a * b).sum(1), np.float32)


def made_of(module: nn.Module, batch: int = 0) -> Embedder:
    """Return an embedder of 80 px around a module of the test's own."""
    network = networks.Network(module, models.get("compact").preprocessing, "0" * 64, Path())
    return Embedder("mine", network, CPU, "fp32", batch)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads that wait for each other on a busy machine take twenty times as long as one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def compact() -> Embedder:
    return Embedder.load("compact", "cpu")


def test_embeddings_are_4096_float32_numbers_of_unit_length(compact: Embedder) -> None:
    rows = compact.embed([noise(1), noise(2, 30, 500), noise(3, 80, 80)])
    assert rows.shape == (3, 4096)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_no_pictures_give_no_rows(compact: Embedder) -> None:
    rows = compact.embed([])
    assert rows.shape == (0, 4096)
    assert rows.dtype == np.float32


def test_a_picture_has_the_same_embedding_alone_and_in_a_batch_in_its_place(compact: Embedder) -> None:
    pictures = [noise(seed) for seed in range(33)]
    together = compact.embed(pictures)
    alone = np.concatenate([compact.embed([picture]) for picture in pictures])
    assert cosines(together, alone).min() > 0.999
    assert ((together @ alone.T).argmax(1) == np.arange(33)).all()


def test_prepared_in_threads_or_not_it_is_the_same(compact: Embedder) -> None:
    pictures = [noise(seed, 300, 200) for seed in range(24)]
    with ThreadPoolExecutor(8) as threads:
        prepared = list(threads.map(compact.prepare, pictures))
    assert all(pixels.shape == (3, 80, 80) and pixels.dtype == torch.uint8 for pixels in prepared)
    np.testing.assert_array_equal(compact.embed_prepared(prepared), compact.embed(pictures))


def test_pixels_of_any_layout_in_memory_are_taken(compact: Embedder) -> None:
    pixels = compact.prepare(noise(1))
    np.testing.assert_array_equal(compact.embed_prepared([pixels.contiguous()]), compact.embed_prepared([pixels]))


@pytest.mark.parametrize(("mode", "size"), [("RGB", (1, 1)), ("RGB", (3000, 1)), ("P", (50, 40)), ("L", (9, 9))])
def test_odd_pictures_have_an_embedding_too(compact: Embedder, mode: str, size: tuple[int, int]) -> None:
    assert np.isfinite(compact.embed([Image.new(mode, size)])).all()


def test_the_centre_square_is_what_counts(compact: Embedder) -> None:
    wide = Image.new("RGB", (400, 100), "red")
    wide.paste(noise(1, 100, 100), (150, 0))
    # The filter looks two pixels beyond the cut where there are some.
    inside = slice(3, -3)
    cut, alone = compact.prepare(wide), compact.prepare(noise(1, 100, 100))
    assert torch.equal(cut[:, :, inside], alone[:, :, inside])


def test_the_numbers_are_those_of_the_plain_network() -> None:
    model = models.get("compact")
    assert model.bundled is not None
    network = Compact(Blueprint()).eval()
    network.load_state_dict({name: value.float() for name, value in load_file(model.bundled).items()})
    mean, std = (torch.tensor(triple).view(3, 1, 1) for triple in (models.IMAGENET_MEAN, models.IMAGENET_STD))
    pictures = [noise(seed, 80, 80) for seed in range(4)]
    pixels = [torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures]
    with torch.inference_mode():
        plain = network(torch.stack([(p / 255 - mean) / std for p in pixels]))
    reference = nn.functional.normalize(plain).numpy()
    for precision in ("fp32", "bf16"):
        ours = Embedder("compact", networks.load(model), CPU, precision).embed(pictures)
        assert cosines(ours, reference).min() > 0.999


def test_preparing_for_torchvision_networks_is_their_reference_transform() -> None:
    reference = torchvision.models.get_model_weights("vgg16").DEFAULT.transforms()
    preprocessing = models.get("vgg16").preprocessing
    mean, std = (torch.tensor(triple).view(3, 1, 1) for triple in (preprocessing.mean, preprocessing.std))
    for picture in (noise(1, 640, 480), noise(2, 300, 700), noise(3, 100, 130)):
        ours = embedder.prepare(picture, preprocessing)
        theirs = (reference(picture) * std + mean) * 255
        assert (ours - theirs).abs().mean() < 1


def test_a_row_of_zeros_becomes_a_unit_vector() -> None:
    class Blind(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 4096)

    rows = made_of(Blind()).embed([noise(1)])
    np.testing.assert_array_equal(rows, np.full((1, 4096), 1 / 64, np.float32))


class Narrow(nn.Module):
    """A network that has memory for so many pictures, and remembers how many it was given."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        if len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return x.flatten(1)[:, :4096]


def test_a_batch_too_large_for_the_memory_is_answered_in_halves() -> None:
    pictures = [noise(seed) for seed in range(7)]
    narrow = Narrow(room=2)
    np.testing.assert_array_equal(made_of(narrow).embed(pictures), made_of(Narrow(room=7)).embed(pictures))
    assert narrow.seen == [7, 3, 1, 2, 4, 2, 2]


def test_a_picture_too_large_for_the_memory_is_told() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        made_of(Narrow(room=0)).embed([noise(1), noise(2)])


def test_warming_up_runs_one_picture_and_a_whole_batch() -> None:
    narrow = Narrow(room=8)
    made_of(narrow, batch=8).warm_up()
    assert narrow.seen == [1, 8]


def test_the_processor_takes_32_at_once_and_a_gpu_what_fits_its_memory(compact: Embedder) -> None:
    assert compact.batch == 32
    assert Embedder.load("compact", "cpu", batch=5).batch == 5
    memory_gib = {0.5: 8, 4: 32, 8: 64, 11: 64, 24: 128, 80: 256, 141: 256}
    assert {gib: embedder.gpu_batch(int(gib * 2**30)) for gib in memory_gib} == memory_gib


def test_a_busy_machine_chooses_the_same_precision_every_time() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        assert len({Embedder.load("compact", "cpu", threads=1).precision for _ in range(5)}) == 1
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_the_identity_names_network_weights_and_preprocessing(compact: Embedder) -> None:
    assert compact.network == "compact-81dc946c96cf-p1"
    assert (compact.name, compact.device, compact.at_least_px) == ("compact", "cpu", 160)
    assert compact.precision in {"fp32", "bf16"}


def test_loading_sets_the_threads() -> None:
    torch.set_num_threads(2)
    Embedder.load("compact", "cpu", threads=1)
    assert torch.get_num_threads() == 1


def test_auto_takes_the_first_gpu_or_the_cpu() -> None:
    assert str(embedder.pick_device("auto")) == ("cuda:0" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda:99", "cuda", "cuda:-1", "cuda:1x", "gpu", "mps", "", "CPU"])
def test_a_device_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(BadDevice, match=r"^[^\n]+choose auto[^\n]+\.$"):
        Embedder.load("compact", name)


def test_an_unknown_name_is_told_first() -> None:
    with pytest.raises(UnknownModel):
        Embedder.load("resnet50", "nowhere")


def test_alexnet_answers_with_weights_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = torchvision.models.alexnet(weights=None).eval()
    torch.save(whole.state_dict(), tmp_path / "alexnet.pth")
    ours = Embedder.load("alexnet", "cpu", tmp_path / "alexnet.pth")
    assert ours.network.startswith("alexnet-")
    assert (ours.at_least_px, ours.prepare(noise(1)).shape) == (512, (3, 224, 224))
    features: list[Tensor] = []
    whole.classifier[-1].register_forward_pre_hook(lambda _, given: features.append(given[0]))
    with torch.inference_mode():
        whole(torchvision.models.AlexNet_Weights.DEFAULT.transforms()(noise(1, 256, 256))[None])
    reference = nn.functional.normalize(features[0]).numpy()
    assert cosines(ours.embed([noise(1, 256, 256)]), reference)[0] > 0.999


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the labelled photographs are not on this machine")
def test_compact_finds_photographs_of_the_same_kind(compact: Embedder) -> None:
    paths = sorted(PHOTOS.glob("*/*.jpg"))
    kinds = sorted({path.parent.name for path in paths})
    labels = np.array([kinds.index(path.parent.name) for path in paths])
    assert precision_at(embeddings(compact, paths), labels) >= 0.73
