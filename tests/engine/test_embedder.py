"""Pictures in, embeddings out."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from engine.errors import BadDevice, UnknownModel
from engine.networks import embedder, loading, registry
from engine.networks.efficientnet_lite import ARCHITECTURES, EfficientNetLite, Pooling
from engine.networks.embedder import Embedder

CPU = torch.device("cpu")


def noise(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """Draw soft random blotches, different for each seed."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((a * b).sum(1), np.float32)


def made_of(module: nn.Module, batch: int = 0) -> Embedder:
    """Return an embedder of 224 px around a module of the test's own."""
    network = loading.Network(module, nn.Identity(), "0" * 64, Path())
    return Embedder(registry.get(registry.DEFAULT), network, CPU, "fp32", batch)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads that wait for each other on a busy machine take twenty times as long as one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def lite0() -> Embedder:
    return Embedder.load("efficientnet_lite0", "cpu")


def test_embeddings_are_4096_float32_numbers_of_unit_length(lite0: Embedder) -> None:
    rows = lite0.embed([noise(1), noise(2, 30, 500), noise(3, 224, 224)])
    assert rows.shape == (3, 4096)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_no_pictures_give_no_rows(lite0: Embedder) -> None:
    rows = lite0.embed([])
    assert rows.shape == (0, 4096)
    assert rows.dtype == np.float32


def test_a_picture_has_the_same_embedding_alone_and_in_a_batch_in_its_place(lite0: Embedder) -> None:
    pictures = [noise(seed) for seed in range(9)]
    together = lite0.embed(pictures)
    alone = np.concatenate([lite0.embed([picture]) for picture in pictures])
    assert cosines(together, alone).min() > 0.999
    assert ((together @ alone.T).argmax(1) == np.arange(9)).all()


def test_prepared_in_threads_or_not_it_is_the_same(lite0: Embedder) -> None:
    pictures = [noise(seed, 300, 200) for seed in range(9)]
    with ThreadPoolExecutor(8) as threads:
        prepared = list(threads.map(lite0.prepare, pictures))
    assert all(pixels.shape == (3, 224, 224) and pixels.dtype == torch.uint8 for pixels in prepared)
    np.testing.assert_array_equal(lite0.embed_prepared(prepared), lite0.embed(pictures))


def test_pixels_of_any_layout_in_memory_are_taken(lite0: Embedder) -> None:
    pixels = lite0.prepare(noise(1))
    np.testing.assert_array_equal(lite0.embed_prepared([pixels.contiguous()]), lite0.embed_prepared([pixels]))


@pytest.mark.parametrize(("mode", "size"), [("RGB", (1, 1)), ("RGB", (3000, 1)), ("P", (50, 40)), ("L", (9, 9))])
def test_odd_pictures_have_an_embedding_too(lite0: Embedder, mode: str, size: tuple[int, int]) -> None:
    assert np.isfinite(lite0.embed([Image.new(mode, size)])).all()


def test_the_centre_square_is_what_counts(lite0: Embedder) -> None:
    wide = Image.new("RGB", (900, 224), "red")
    wide.paste(noise(1, 224, 224), (338, 0))
    # The filter looks two pixels beyond the cut where there are some.
    inside = slice(3, -3)
    cut, alone = lite0.prepare(wide), lite0.prepare(noise(1, 224, 224))
    assert torch.equal(cut[:, :, inside], alone[:, :, inside])


def test_the_numbers_are_those_of_the_published_network() -> None:
    model = registry.get("efficientnet_lite0")
    network = EfficientNetLite(ARCHITECTURES[model.name]).eval()
    network.load_state_dict(torch.load(registry.packaged_weights(model), weights_only=True))
    pictures = [noise(seed, 224, 224) for seed in range(4)]
    pixels = [torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures]
    with torch.inference_mode():
        features = network(torch.stack([(p.float() - 127) / 128 for p in pixels]))
        reference = nn.functional.normalize(Pooling(ARCHITECTURES[model.name].strips)(features)).numpy()
    for precision, least in (("fp32", 0.99999), ("bf16", 0.995)):
        ours = Embedder(model, loading.load(model), CPU, precision).embed(pictures)
        assert cosines(ours, reference).min() > least


def test_preparing_for_torchvision_networks_is_their_reference_transform() -> None:
    reference = torchvision.models.get_model_weights("vgg16").DEFAULT.transforms()
    preprocessing = registry.get("vgg16").preprocessing
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
    """A model that has memory for so many pictures, and remembers how many it was given."""

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


def test_a_picture_too_large_for_the_memory_is_reported() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        made_of(Narrow(room=0)).embed([noise(1), noise(2)])


def test_warming_up_runs_one_picture_and_a_whole_batch() -> None:
    narrow = Narrow(room=8)
    made_of(narrow, batch=8).warm_up()
    assert narrow.seen == [1, 8]


def test_the_processor_takes_32_at_once_and_a_gpu_what_fits_its_memory(lite0: Embedder) -> None:
    assert lite0.batch == 32
    assert Embedder.load("efficientnet_lite0", "cpu", batch=5).batch == 5
    memory_gib = {0.5: 8, 4: 32, 8: 64, 11: 64, 24: 128, 80: 256, 141: 256}
    assert {gib: embedder.gpu_batch(int(gib * 2**30)) for gib in memory_gib} == memory_gib


def test_a_processor_with_bfloat16_calculates_in_it() -> None:
    expected = "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"
    assert Embedder.load("efficientnet_lite0", "cpu").precision == expected


def test_the_id_names_model_weights_and_preprocessing(lite0: Embedder) -> None:
    assert lite0.model_id == "efficientnet_lite0-579344248a93-p1"
    assert (lite0.name, lite0.device, lite0.at_least_px) == ("efficientnet_lite0", "cpu", 448)
    assert lite0.precision in {"fp32", "bf16"}


def test_loading_sets_the_threads() -> None:
    torch.set_num_threads(2)
    Embedder.load("efficientnet_lite0", "cpu", threads=1)
    assert torch.get_num_threads() == 1


def test_auto_takes_the_first_gpu_or_the_cpu() -> None:
    assert str(embedder.pick_device("auto")) == ("cuda:0" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda:99", "cuda", "cuda:-1", "cuda:1x", "gpu", "mps", "", "CPU"])
def test_a_device_that_is_not_there_is_reported(name: str) -> None:
    with pytest.raises(BadDevice, match=r"^[^\n]+choose auto[^\n]+\.$"):
        Embedder.load("efficientnet_lite0", name)


def test_an_unknown_name_is_reported_first() -> None:
    with pytest.raises(UnknownModel):
        Embedder.load("resnet50", "nowhere")


def test_alexnet_answers_with_weights_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = torchvision.models.alexnet(weights=None).eval()
    torch.save(whole.state_dict(), tmp_path / "alexnet.pth")
    ours = Embedder.load("alexnet", "cpu", tmp_path / "alexnet.pth")
    assert ours.model_id.startswith("alexnet-")
    assert (ours.at_least_px, ours.prepare(noise(1)).shape) == (512, (3, 224, 224))
    features: list[Tensor] = []
    whole.classifier[-1].register_forward_pre_hook(lambda _, given: features.append(given[0]))
    with torch.inference_mode():
        whole(torchvision.models.AlexNet_Weights.DEFAULT.transforms()(noise(1, 256, 256))[None])
    reference = nn.functional.normalize(features[0]).numpy()
    assert cosines(ours.embed([noise(1, 256, 256)]), reference)[0] > 0.999


@pytest.fixture(scope="module")
def photographs(lite0: Embedder, shared_photos: Path) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Return the cosines of 240 photographs to each other, -1 to themselves [n, n], and their labels."""
    paths = sorted(path for folder in shared_photos.iterdir() for path in sorted(folder.iterdir())[:12])
    rows = lite0.embed_prepared([lite0.read(path.read_bytes()) for path in paths])
    similarities = rows @ rows.T
    np.fill_diagonal(similarities, -1)
    return similarities, np.array([path.parent.name for path in paths])


def test_photographs_of_the_same_kind_are_found(photographs: tuple[NDArray[np.float32], NDArray[np.str_]]) -> None:
    similarities, labels = photographs
    nearest = np.argsort(-similarities, axis=1)[:, :10]
    assert (labels[nearest] == labels[:, None]).mean() > 0.88  # 0.92 when this was written; of 11 others at most


def test_what_a_gallery_has_nothing_of_is_called_weak(
    lite0: Embedder, photographs: tuple[NDArray[np.float32], NDArray[np.str_]]
) -> None:
    similarities, labels = photographs
    similar = registry.get(lite0.name).thresholds.similar
    is_same = labels[:, None] == labels
    of_others, of_its_own = (np.where(keep, similarities, -1).max(axis=1) for keep in (~is_same, is_same))
    assert (of_others < similar).mean() > 0.8  # the kind is missing: even the best match is weak
    assert (of_its_own < similar).mean() < 0.06  # 0.006 in the whole of the photographs
