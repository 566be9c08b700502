"""Training on pictures that are drawn here: it learns, it repeats itself, and the engine opens what it wrote."""

import datetime
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors import safe_open

from engine.compact import Blueprint
from engine.embedder import Embedder
from training.__main__ import main
from training.learning import Plan, Step, fresh, rate_at, train
from training.objective import similarity_loss
from training.pictures import FolderError, Pictures, embeddings, read, split
from training.precision import precision_at
from training.weights_file import save

SMALL = Blueprint(widths=(8, 16, 32), blocks=(1, 1, 1), input_px=32)
TODAY = datetime.date(2026, 1, 1)


def _disc(pen: ImageDraw.ImageDraw, at: tuple[int, int], size: int, colour: str) -> None:
    pen.ellipse((at[0], at[1], at[0] + size, at[1] + size), fill=colour)


def _cross(pen: ImageDraw.ImageDraw, at: tuple[int, int], size: int, colour: str) -> None:
    pen.line((at[0], at[1], at[0] + size, at[1] + size), fill=colour, width=5)
    pen.line((at[0], at[1] + size, at[0] + size, at[1]), fill=colour, width=5)


def _bars(pen: ImageDraw.ImageDraw, at: tuple[int, int], size: int, colour: str) -> None:
    for x in range(at[0], at[0] + size, 8):
        pen.line((x, at[1], x, at[1] + size), fill=colour, width=4)


def _rungs(pen: ImageDraw.ImageDraw, at: tuple[int, int], size: int, colour: str) -> None:
    for y in range(at[1], at[1] + size, 8):
        pen.line((at[0], y, at[0] + size, y), fill=colour, width=4)


DRAWINGS: dict[str, Callable[[ImageDraw.ImageDraw, tuple[int, int], int, str], None]] = {
    "bars": _bars,
    "cross": _cross,
    "disc": _disc,
    "rungs": _rungs,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads that wait for each other on a busy machine take twenty times as long as one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four kinds of drawing, forty of each, in any colour and place: the colours tell nothing."""
    folder = tmp_path_factory.mktemp("drawings")
    draw = random.Random(7)
    for kind, paint in DRAWINGS.items():
        (folder / kind).mkdir()
        for n in range(40):
            picture = Image.new("RGB", (64, 64), f"hsl({draw.randrange(360)}, 60%, 30%)")
            at, size = (draw.randrange(2, 22), draw.randrange(2, 22)), draw.randrange(30, 40)
            paint(ImageDraw.Draw(picture), at, size, f"hsl({draw.randrange(360)}, 80%, 75%)")
            picture.save(folder / kind / f"{n}.png")
    return folder


@pytest.fixture(scope="module")
def pictures(drawings: Path) -> Pictures:
    return read(drawings, side_px=32)[0]


def test_a_damaged_file_is_left_out_and_named(drawings: Path, tmp_path: Path) -> None:
    for kind in ("bars", "disc"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "0.png").write_bytes((drawings / kind / "0.png").read_bytes())
    (tmp_path / "disc" / "1.png").write_bytes(b"no picture")
    found, left_out = read(tmp_path, side_px=32)
    assert found.classes == ("bars", "disc")
    assert (found.pixels.shape, found.labels.tolist()) == ((2, 3, 32, 32), [0, 1])
    assert [line.split(": ")[0] for line in left_out] == [str(tmp_path / "disc" / "1.png")]


def test_a_folder_without_classes_is_told(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="two or more sub-folders"):
        read(tmp_path, side_px=32)


def test_a_tenth_of_each_class_is_held_out_and_the_seed_decides_which(pictures: Pictures) -> None:
    learn, test = split(pictures, 0.1, seed=1)
    assert test.labels.bincount().tolist() == [4, 4, 4, 4]
    assert set(learn.paths) | set(test.paths) == set(pictures.paths)
    assert not set(learn.paths) & set(test.paths)
    assert split(pictures, 0.1, seed=1)[1].paths == test.paths
    assert split(pictures, 0.1, seed=2)[1].paths != test.paths


def test_precision_counts_the_share_of_the_own_class_among_the_nearest_others() -> None:
    angles = np.radians([0, 1, 2, 90, 91, 3])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1)
    labels = np.array([0, 0, 0, 1, 1, 1])
    # Two each: 2/2, 2/2, 1/2 (the intruder at 3 degrees is nearer), 2/2, 2/2, 0/2.
    assert precision_at(vectors, labels, k=2, rows=4) == pytest.approx(4.5 / 6)
    # Three others of the same class do not exist, so two are asked for.
    assert precision_at(vectors, labels, k=10) == pytest.approx(4.5 / 6)


def test_the_learning_rate_rises_and_then_falls_to_nothing() -> None:
    rates = [rate_at(progress, 1.0) for progress in (0, 0.05, 0.1, 0.5, 1)]
    assert rates == pytest.approx([0.04, 0.52, 1, 0.5868, 0], abs=1e-4)


def test_similarities_like_the_teachers_cost_nothing() -> None:
    ours = torch.eye(3)
    assert similarity_loss(ours, 5 * ours) == 0
    assert similarity_loss(ours, torch.ones(3, 3)) == pytest.approx(6 / 9)


def test_training_must_end_some_time() -> None:
    with pytest.raises(ValueError, match="steps or minutes"):
        Plan()
    assert Plan(steps=10).progress(5, elapsed_s=1e9) == 0.5
    assert Plan(steps=10, minutes=2).progress(5, elapsed_s=90) == 0.75


def test_training_learns_what_the_drawings_show(pictures: Pictures, tmp_path: Path) -> None:
    learn, test = split(pictures, 0.25, seed=0)
    labels, steps = test.labels.numpy(), list[Step]()

    def precision(name: str) -> float:
        embedder = Embedder.load("compact", "cpu", tmp_path / name)
        return precision_at(embeddings(embedder, test.paths), labels)

    save(fresh(SMALL, seed=0), tmp_path / "before", "1", TODAY)
    trained = train(SMALL, learn, Plan(steps=150, batch=40, rate=5e-3), on_step=steps.append)
    save(trained, tmp_path / "after", "1", TODAY)
    first, last = (np.mean([step.loss for step in part]) for part in (steps[:10], steps[-10:]))
    assert last < 0.7 * first
    assert precision("after") > precision("before") + 0.2
    assert precision("after") > 0.75


def test_the_same_seed_gives_the_same_weights(pictures: Pictures) -> None:
    def weights(seed: int) -> torch.Tensor:
        return train(SMALL, pictures, Plan(steps=3, batch=16, seed=seed)).fc7.weight

    torch.manual_seed(1)
    first = weights(seed=5)
    torch.manual_seed(2)
    assert torch.equal(weights(seed=5), first)
    assert not torch.equal(weights(seed=6), first)


def test_training_leaves_torchs_own_chance_alone(pictures: Pictures) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    train(SMALL, pictures, Plan(steps=1, batch=16))
    assert torch.equal(torch.rand(4), expected)


def test_a_teacher_is_imitated(pictures: Pictures) -> None:
    """The teacher here sees one thing only, the brightness: no class tells that."""
    bright = pictures.pixels.float().mean((1, 2, 3)).argsort().argsort() < len(pictures) / 2
    teacher = torch.zeros(len(pictures), 4096)
    teacher[bright, 0], teacher[~bright, 1] = 1, 1
    alone, taught = (
        train(SMALL, pictures, Plan(steps=30, batch=40, rate=5e-3), teacher=given) for given in (None, teacher)
    )

    def likeness(network: torch.nn.Module) -> float:
        mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (SMALL.mean, SMALL.std))
        with torch.inference_mode():
            rows = torch.nn.functional.normalize(network((pictures.pixels / 255 - mean) / std))
        return precision_at(rows.numpy(), bright.numpy())

    assert likeness(taught) > likeness(alone) + 0.1


def test_the_command_writes_a_file_that_the_engine_opens(
    drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "weights.safetensors"
    form = ["--widths", "8,16", "--blocks", "1,1", "--input-px", "32"]
    assert main([str(drawings), "--out", str(out), "--steps", "4", "--batch", "32", *form]) == 0
    with safe_open(out, "pt") as file:
        metadata = file.metadata()
        assert file.get_tensor("fc7.weight").dtype == torch.float16
        assert file.get_tensor("fc7.bias").dtype == torch.float32
    bundled = Path(__file__).parents[2] / "engine" / "weights" / "compact.safetensors"
    with safe_open(bundled, "pt") as file:
        assert metadata.keys() == file.metadata().keys()
    assert (metadata["widths"], metadata["input_px"]) == ("8,16", "32")
    embedder = Embedder.load("compact", "cpu", out)
    assert embedder.embed([Image.new("RGB", (50, 50), "teal")]).shape == (1, 4096)
    told = capsys.readouterr().out
    assert "144 pictures of 4 classes to learn from, 16 held out." in told
    assert "Leave-one-out precision@10 on the 16 held-out pictures: 0." in told


def test_the_command_learns_from_a_teacher(drawings: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights.safetensors"
    form = ["--widths", "8", "--blocks", "1", "--input-px", "16", "--teacher", "compact"]
    assert main([str(drawings), "--out", str(out), "--steps", "2", "--batch", "32", *form]) == 0
    assert out.is_file()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--widths", "0,8", "--blocks", "1,1"], "each width must be 1 to 2048"),
        (["--device", "gpu"], "is no device"),
        (["--held-out", "2"], "between 0 and 1"),
        (["--minutes", "0"], "steps or minutes above 0"),
        (["--out", "/nowhere/weights.safetensors"], "There is no folder /nowhere"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    drawings: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert main([str(drawings), *options]) == 1
    assert sentence in capsys.readouterr().err
