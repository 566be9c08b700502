"""`python -m training DIR`: pictures in sub-folders by class -> a weights file for `SIMSEARCH_WEIGHTS`."""

import argparse
import datetime
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import torch
from tqdm import tqdm

from engine import models
from engine.compact import Blueprint
from engine.embedder import Embedder, pick_device
from engine.errors import EngineError
from training.learning import Plan, Step, train
from training.pictures import Pictures, embeddings, read, split
from training.precision import precision_at
from training.weights_file import save


def main(argv: Sequence[str] | None = None) -> int:
    """Read, train, save and test; returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        _run(options)
    except (EngineError, ValueError) as error:
        print(f"python -m training: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    if not options.out.parent.is_dir():
        raise ValueError(f"There is no folder {options.out.parent} to write to.")
    blueprint = Blueprint(options.widths, options.blocks, options.input_px)
    device = pick_device(options.device)
    teacher = _teacher(options)  # first: better told now than after reading that its weights are missing
    pictures, left_out = read(options.directory, options.train_px or blueprint.input_px * 4 // 5, _bar)
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    learn, test = split(pictures, options.held_out, options.seed)
    print(f"{len(learn)} pictures of {len(learn.classes)} classes to learn from, {len(test)} held out.")
    plan = Plan(_steps(options, len(learn)), options.minutes, options.batch, options.rate, options.seed, device)
    features = torch.from_numpy(embeddings(teacher, learn.paths)) if teacher else None
    with closing(Progress()) as progress:
        network = train(blueprint, learn, plan, features, progress.show)
    save(network, options.out, options.version, datetime.datetime.now(datetime.UTC).date())
    print(f"Wrote {options.out}.")
    _test(options, test)


def _test(options: argparse.Namespace, test: Pictures) -> None:
    """Test the file as the site would use it, not the network that is still in memory."""
    if not len(test):
        print("No class has four pictures, so none was held out to test with.")
        return
    embedder = Embedder.load("compact", options.device, options.out)
    precision = precision_at(embeddings(embedder, test.paths), test.labels.numpy())
    print(f"Leave-one-out precision@10 on the {len(test)} held-out pictures: {precision:.3f}")


def _teacher(options: argparse.Namespace) -> Embedder | None:
    if options.teacher == "none":
        return None
    return Embedder.load(options.teacher, options.device, options.teacher_weights)


def _steps(options: argparse.Namespace, pictures: int) -> int | None:
    """Return the limit in steps: as given, by passes over the pictures, or none where minutes limit it."""
    if options.minutes is not None:
        return None
    in_epochs: int = options.epochs * (pictures // min(options.batch, pictures))
    return options.steps or in_epochs


def _bar(paths: Iterable[Path]) -> Iterable[Path]:
    bar: Iterable[Path] = tqdm(paths, desc="reading", unit=" pictures", disable=None)  # None: terminals only
    return bar


class Progress:
    """A bar on a terminal; elsewhere a plain line at every twentieth."""

    def __init__(self) -> None:
        self._bar = tqdm(desc="training", total=100, bar_format="{l_bar}{bar}| {postfix}", disable=None)
        self._told = -1

    def show(self, step: Step) -> None:
        """Tell how far the training is."""
        percent = int(100 * step.progress)
        self._bar.set_postfix_str(f"step {step.number}, loss {step.loss:.3f}", refresh=False)
        self._bar.update(percent - self._bar.n)
        if self._bar.disable and percent // 5 > self._told:
            self._told = percent // 5
            print(f"{percent} %, step {step.number}, loss {step.loss:.3f}", flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("directory", type=Path, help="pictures, one sub-folder for each class")
    parser.add_argument("--out", type=Path, default=Path("weights.safetensors"), help="the file to write")
    parser.add_argument("--version", default="1", help="a name for these weights, kept in the file")
    _add_duration(parser)
    _add_network(parser)
    _add_learning(parser)
    return parser


def _add_duration(parser: argparse.ArgumentParser) -> None:
    duration = parser.add_mutually_exclusive_group()
    duration.add_argument("--epochs", type=_positive, default=30, help="passes over the pictures (30)")
    duration.add_argument("--steps", type=_positive, help="batches")
    duration.add_argument("--minutes", type=float, help="the same seed then gives other weights each time")


def _add_network(parser: argparse.ArgumentParser) -> None:
    form = Blueprint()
    parser.add_argument("--widths", type=_numbers, default=form.widths, help="channels by stage: 24,48,96,192")
    parser.add_argument("--blocks", type=_numbers, default=form.blocks, help="blocks by stage: 1,2,2,2")
    parser.add_argument("--input-px", type=_positive, default=form.input_px, help="what the site shows it (80)")
    parser.add_argument("--train-px", type=_positive, help="what it learns from (four fifths of that)")


def _add_learning(parser: argparse.ArgumentParser) -> None:
    teachers = ["none", *models.MODELS]
    parser.add_argument("--teacher", choices=teachers, default="none", help="a network to imitate")
    parser.add_argument("--teacher-weights", type=Path, help="its weights (else torchvision's download)")
    parser.add_argument("--batch", type=_positive, default=256, help="pictures in a step (256)")
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate (0.002)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", type=float, default=0.1, help="share of each class to test with (0.1)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N")
    parser.add_argument("--threads", type=_positive, help="torch threads on the CPU")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
