"""Each picture a little different each time it is seen, so that the network learns what does not matter."""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor


def augment(x: Tensor) -> Tensor:
    """[n, 3, h, w] normalised pictures -> the same shape: one draw per picture of crop, flip and colours.

    Draws from torch's global generator on the pictures' device.
    """
    return recolour(crop_and_flip(x))


def crop_and_flip(x: Tensor) -> Tensor:
    """Cut out 45 to 100 % of the area, at most a quarter wider or taller than it was, and mirror half."""
    n, device = len(x), x.device
    side = torch.empty(n, device=device).uniform_(0.45, 1).sqrt()
    stretch = torch.empty(n, device=device).uniform_(math.log(0.8), math.log(1.25)).exp().sqrt()
    sx, sy = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0] = sx * torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = sy
    theta[:, 0, 2] = (torch.rand(n, device=device) * 2 - 1) * (1 - sx)
    theta[:, 1, 2] = (torch.rand(n, device=device) * 2 - 1) * (1 - sy)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def recolour(x: Tensor) -> Tensor:
    """Change contrast (by up to 30 %), saturation (40 %) and the level of each channel (0.15)."""
    each = torch.empty(len(x), 1, 1, 1, device=x.device)
    mean, grey = x.mean((2, 3), keepdim=True), x.mean(1, keepdim=True)
    x = (x - mean) * each.uniform_(0.7, 1.3) + mean
    shift = torch.empty(len(x), 3, 1, 1, device=x.device).uniform_(-0.15, 0.15)
    return (x - grey) * each.uniform_(0.6, 1.4) + grey + shift
