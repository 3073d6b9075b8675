"""What nano's net is built of. Each `Layer` adds to what comes in, so that a net can grow by it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolution(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    groups: int = 1,
) -> nn.Sequential:
    """A convolution that keeps height and width (at stride 1), and its batch norm."""
    size = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (size[0] // 2, size[1] // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Layer(nn.Module):
    """Adds something to what comes in, and nothing while the weights of its `last` are zero."""

    def silence(self) -> None:
        """Make it pass on what comes in, until it is trained."""
        for parameter in (p for module in self.last() for p in module.parameters()):
            nn.init.zeros_(parameter)

    def last(self) -> list[nn.Module]:
        """The modules that make what is added."""
        raise NotImplementedError


class Residual(Layer):
    """Two 3 x 3 convolutions beside a short cut (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (
            convolution(channels, channels, 3),
            convolution(channels, channels, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))

    def last(self) -> list[nn.Module]:
        return [self.second[1]]


class Mix(Layer):
    """Depthwise then pointwise, as ConvNeXt (Liu et al. 2022), with batch norm and ReLU."""

    def __init__(self, channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.spatial = convolution(channels, channels, kernel, groups=channels)
        self.expand, self.project = (
            convolution(channels, 2 * channels, 1),
            convolution(2 * channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(F.relu(self.expand(self.spatial(x))))

    def last(self) -> list[nn.Module]:
        return [self.project[1]]


class Strip(Layer):
    """Looks along rows and columns, steered by the question (FiLM, Perez et al. 2018)."""

    def __init__(self, channels: int, summary: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        reach = 7 * dilation
        self.near = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.row = nn.Conv2d(
            channels,
            channels,
            (1, 15),
            padding=(0, reach),
            dilation=(1, dilation),
            groups=channels,
            bias=False,
        )
        self.column = nn.Conv2d(
            channels,
            channels,
            (15, 1),
            padding=(reach, 0),
            dilation=(dilation, 1),
            groups=channels,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(channels)
        self.expand, self.project = (
            convolution(channels, 2 * channels, 1),
            convolution(2 * channels, channels, 1),
        )
        self.film = nn.Linear(summary, 4 * channels)

    def forward(self, x: Tensor, summary: Tensor) -> Tensor:
        if self.training:  # the same sums, several times faster to differentiate on a CPU
            along = undilated(x.transpose(2, 3), self.row.weight.transpose(2, 3), self.dilation)
            strips = along.transpose(2, 3) + undilated(x, self.column.weight, self.dilation)
        else:
            strips = self.row(x) + self.column(x)
        y = self.norm(self.near(x) + strips)
        gain, shift = self.film(summary)[:, :, None, None].chunk(2, 1)
        return x + self.project(F.relu(self.expand(y) * (1 + gain) + shift))

    def last(self) -> list[nn.Module]:
        return [self.project[1]]


def undilated(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """A depthwise convolution down dilated columns, as a dense one over every `dilation`-th row.

    oneDNN has no fast backward pass for dilated, nor for horizontal, depthwise kernels.

    Args:
        x: (B, C, H, W).
        weight: (C, 1, K, 1), K odd.
        dilation: rows between two taps.

    Returns:
        (B, C, H, W), as `conv2d` with padding K // 2 * dilation.
    """
    batch, channels, height, width = x.shape
    x = F.pad(x, (0, 0, 0, -height % dilation))
    x = x.reshape(batch, channels, -1, dilation, width).transpose(2, 3).transpose(1, 2)
    x = x.reshape(batch * dilation, channels, -1, width).contiguous(
        memory_format=torch.channels_last
    )
    x = F.conv2d(x, weight, padding=(weight.shape[2] // 2, 0), groups=channels)
    x = x.view(batch, dilation, channels, -1, width).transpose(1, 2).transpose(2, 3)
    return x.reshape(batch, channels, -1, width)[:, :, :height]


class Attention(Layer):
    """A pre-norm transformer layer with four heads, written out so that it exports plainly."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, blocked: Tensor) -> Tensor:
        rows, count, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(rows, count, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) * (width // 4) ** -0.5 + blocked[:, None, None]
        mixed = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(rows, count, width)
        x = x + self.out(mixed)
        return x + self.mlp(self.norm2(x))

    def last(self) -> list[nn.Module]:
        return [self.out, self.mlp[2]]
