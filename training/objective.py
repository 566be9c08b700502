"""What a network is taught: to name the class, and to find alike what a larger network, the teacher, does."""

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from engine.models import EMBEDDING_SIZE


class Objective(nn.Module):
    """The loss, with the linear heads that it needs during training and that are thrown away after it.

    `centre`: the teacher's mean embedding, float32 [4096]; without a teacher only the classes count.
    """

    def __init__(self, classes: int, centre: Tensor | None = None) -> None:
        super().__init__()
        self.to_class = nn.Linear(EMBEDDING_SIZE, classes)
        self.to_teacher = nn.Linear(EMBEDDING_SIZE, EMBEDDING_SIZE) if centre is not None else None
        self.register_buffer("centre", centre)
        self.centre: Tensor | None

    def forward(self, embedding: Tensor, label: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Return the loss of a batch: embedding [n, 4096], label int64 [n], teacher's embedding [n, 4096]."""
        seen = F.dropout(embedding, 0.1)
        class_loss = F.cross_entropy(self.to_class(seen).float(), label, label_smoothing=0.1)
        if self.to_teacher is None or self.centre is None or teacher is None:
            return class_loss
        guess = self.to_teacher(seen).float()
        feature_loss = (1 - F.cosine_similarity(guess, teacher - self.centre)).mean()
        # Most of the teacher's mean is taken off: what all pictures share would make them all alike.
        likeness = similarity_loss(embedding.float(), teacher - 0.7 * self.centre)
        return 2 * feature_loss + 10 * likeness + 0.5 * class_loss


def similarity_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """Compare the cosines between the pictures of a batch, ours [n, a] with the teacher's [n, b], squared.

    Tung and Mori 2019, "Similarity-preserving knowledge distillation", with cosines for their products.
    """
    ours, theirs = F.normalize(ours), F.normalize(theirs)
    off_diagonal = 1 - torch.eye(len(ours), device=ours.device)
    return ((ours @ ours.T - theirs @ theirs.T) * off_diagonal).pow(2).mean()
