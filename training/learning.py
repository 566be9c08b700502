"""The training loop: AdamW, one cycle of the learning rate, and a moving average of the weights."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.compact import Blueprint, Compact
from engine.embedder import has_bf16
from training.augmentation import augment
from training.objective import Objective
from training.pictures import Pictures

WEIGHT_DECAY = 0.03
AVERAGE_EVERY = 10  # steps
CPU = torch.device("cpu")

Batch = tuple[Tensor, Tensor, Tensor | None]  # normalised pixels, labels, the teacher's embeddings


@dataclass(frozen=True)
class Plan:
    """How long and how to learn; with `steps` alone the same seed gives the same weights, with `minutes` not.

    The first limit reached ends it. `rate` is the highest learning rate, `batch` the pictures of a step.
    """

    steps: int | None = None
    minutes: float | None = None
    batch: int = 256
    rate: float = 2e-3
    seed: int = 0
    device: torch.device = CPU

    def __post_init__(self) -> None:
        """Raise ValueError where nothing limits the training."""
        if max(self.steps or 0, self.minutes or 0) <= 0:
            raise ValueError("Say how long to train: steps or minutes above 0.")

    def progress(self, step: int, elapsed_s: float) -> float:
        """Return how much is done, from 0 on; 1 is the end."""
        by_steps = step / self.steps if self.steps else 0.0
        return max(by_steps, elapsed_s / (60 * self.minutes) if self.minutes else 0.0)


@dataclass(frozen=True)
class Step:
    """What is told after each step."""

    number: int
    progress: float
    loss: float


class MovingAverage:
    """The mean of a network over its last steps, batch normalisation's statistics too: calmer than the last.

    Polyak and Juditsky 1992; at first over few looks, later over some 50.
    """

    def __init__(self, network: Compact) -> None:
        self.network = copy.deepcopy(network).eval()
        self.looks = 0

    @torch.no_grad()
    def look(self, network: nn.Module) -> None:
        """Move a little towards the network as it is now."""
        self.looks += 1
        keep = min(0.98, (1 + self.looks) / (10 + self.looks))
        theirs = network.state_dict()
        for name, ours in self.network.state_dict().items():
            if ours.is_floating_point():
                ours.lerp_(theirs[name], 1 - keep)
            else:
                ours.copy_(theirs[name])


def fresh(blueprint: Blueprint, seed: int) -> Compact:
    """Return a network of random numbers, drawn by `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Compact(blueprint)


def train(
    blueprint: Blueprint,
    pictures: Pictures,
    plan: Plan,
    teacher: Tensor | None = None,
    on_step: Callable[[Step], None] = lambda _: None,
) -> Compact:
    """Train a new network on the pictures; `teacher`: another network's embedding of each of them, [n, 4096].

    Returns the moving average of the weights, on the CPU, in evaluation mode.
    """
    network = fresh(blueprint, plan.seed).to(plan.device)
    average = MovingAverage(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        for step in _learn(network, pictures, plan, teacher):
            if step.number % AVERAGE_EVERY == 0:
                average.look(network)
            on_step(step)
    average.look(network)
    return average.network.cpu()


def rate_at(progress: float, highest: float) -> float:
    """Return the learning rate: up from a 25th in the first tenth, then down to nothing, along cosines.

    Smith and Topin 2018, "Super-convergence"; torch's OneCycleLR, but by progress, which minutes can limit.
    """
    if progress < 0.1:
        return highest / 25 + (highest - highest / 25) * (1 - math.cos(math.pi * progress / 0.1)) / 2
    return highest * (1 + math.cos(math.pi * min(1.0, (progress - 0.1) / 0.9))) / 2


def _learn(network: Compact, pictures: Pictures, plan: Plan, teacher: Tensor | None) -> Iterator[Step]:
    """Change the network a step at a time until the plan is done."""
    network.to(memory_format=torch.channels_last).train()
    centre = None if teacher is None else teacher.float().mean(0)
    objective = Objective(len(pictures.classes), centre).to(plan.device)
    optimiser = _optimiser([*network.parameters(), *objective.parameters()], plan.rate)
    started_s = time.monotonic()
    for number, batch in enumerate(_Batches(pictures, teacher, network.blueprint, plan)):
        progress = plan.progress(number, time.monotonic() - started_s)
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate_at(progress, plan.rate)
        loss = _loss(network, objective, batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        yield Step(number + 1, progress, loss.item())


def _loss(network: Compact, objective: Objective, batch: Batch) -> Tensor:
    pixels, label, teacher = batch
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=has_bf16(pixels.device)):
        embedding = network(augment(pixels))
        loss: Tensor = objective(embedding, label, teacher)
    return loss


def _optimiser(parameters: list[nn.Parameter], rate: float) -> torch.optim.AdamW:
    """Decay matrices only: biases and batch normalisation have nothing to forget."""
    matrices = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, fused=True)


@dataclass(frozen=True)
class _Batches:
    """Shuffled batches without end, of whole size only: batch normalisation dislikes a small rest."""

    pictures: Pictures
    teacher: Tensor | None
    blueprint: Blueprint
    plan: Plan

    def __iter__(self) -> Iterator[Batch]:
        size = min(self.plan.batch, len(self.pictures))
        while True:
            order = torch.randperm(len(self.pictures))
            for chosen in order[: len(order) // size * size].view(-1, size):
                yield self._batch(chosen)

    def _batch(self, chosen: Tensor) -> Batch:
        device = self.plan.device
        mean = torch.tensor(self.blueprint.mean, device=device).view(1, 3, 1, 1)
        std = torch.tensor(self.blueprint.std, device=device).view(1, 3, 1, 1)
        pixels = (self.pictures.pixels[chosen].to(device).float() / 255 - mean) / std
        teacher = None if self.teacher is None else self.teacher[chosen].to(device).float()
        return pixels, self.pictures.labels[chosen].to(device), teacher
