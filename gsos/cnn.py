"""The papers' CNN, built from a configuration (HIA 4.3, GSOS 5.2, HGD 5).

Each convolution is followed by ReLU and a 2x2 max-pool; then twice a dropout layer and a fully connected one, the first
with ReLU. The softmax is in the loss. HGD has two hidden fully connected layers instead of one.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import prod
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gsos.space import is_active


class ConvLayer(NamedTuple):
    """What one convolution and its pooling do to a feature map; pairs are (vertical, horizontal)."""

    channels: tuple[int, int]  # in, out
    kernel: tuple[int, int]
    stride: int
    padding: tuple[tuple[int, int], tuple[int, int]]  # pixels (before, after)
    conv_size: tuple[int, int]
    pool: tuple[int, int]
    size: tuple[int, int]  # after pooling
    clipped: bool


def conv_layers(config: Mapping[str, object], image_shape: tuple[int, int, int]) -> list[ConvLayer]:
    """The convolutional part of the network for images of (channels, height, width) pixels.

    What no longer fits is clipped to what is there: the kernel to the size of the map, and no pooling at 1 pixel.
    """
    channels, *size = image_shape
    layers = []
    for filters in _filters(config):
        extents = [_conv_extent(pixels, config["kernel"], config["stride"], config["padding"]) for pixels in size]
        kernel, padding, conv_size = zip(*extents, strict=True)
        pool = tuple(min(2, pixels) for pixels in conv_size)
        size = tuple(pixels // p for pixels, p in zip(conv_size, pool, strict=True))
        clipped = pool != (2, 2) or kernel != (config["kernel"],) * 2
        layers.append(ConvLayer((channels, filters), kernel, config["stride"], padding, conv_size, pool, size, clipped))
        channels = filters
    return layers


def _filters(config: Mapping[str, object]) -> list[int]:
    names = [f"num_filters_{i}" for i in range(1, config["num_conv_layers"] + 1)]
    if missing := [name for name in names if name not in config]:
        raise ValueError(f"the configuration has num_conv_layers = {len(names)} but lacks {missing}")
    return [config[name] for name in names if is_active(name, config)]


def _conv_extent(pixels: int, kernel: int, stride: int, padding: int | str) -> tuple[int, tuple[int, int], int]:
    """(kernel, (pixels padded before, after), output size) along one axis; "same" pads as TensorFlow does."""
    if padding == "same":
        out = -(-pixels // stride)
        total = max((out - 1) * stride + kernel - pixels, 0)
        return kernel, (total // 2, total - total // 2), out
    if padding != "valid" and not (isinstance(padding, Integral) and padding >= 0):
        raise ValueError(f"padding must be 'same', 'valid' or a number of pixels, not {padding!r}")
    pad = 0 if padding == "valid" else padding
    kernel = kernel if kernel <= pixels + 2 * pad else pixels
    return kernel, (pad, pad), (pixels + 2 * pad - kernel) // stride + 1


def _fc_sizes(config: Mapping[str, object], layers: list[ConvLayer], n_classes: int) -> list[int]:
    hidden = [config[name] for name in ("num_fc_units", "num_fc_units_1", "num_fc_units_2") if name in config]
    return [layers[-1].channels[1] * prod(layers[-1].size), *hidden, n_classes]


def build_cnn(config: Mapping[str, object], image_shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """The network for images (N, C, H, W) float32, giving (N, n_classes) logits.

    config: the keys of one of `space.DEFAULTS`; image_shape: (channels, height, width).
    ReLU stands behind the pooling, not before it: max and ReLU commute, and the map is then four times smaller.
    """
    layers = conv_layers(config, image_shape)
    modules: list[nn.Module] = []
    for layer in layers:
        (top, bottom), (left, right) = layer.padding
        symmetric = top == bottom and left == right
        if not symmetric:
            modules.append(nn.ZeroPad2d((left, right, top, bottom)))
        padding = (top, left) if symmetric else 0
        modules.append(nn.Conv2d(*layer.channels, layer.kernel, layer.stride, padding))
        if layer.pool != (1, 1):
            modules.append(nn.MaxPool2d(layer.pool))
        modules.append(nn.ReLU())
    modules.append(nn.Flatten())
    for n_in, n_out in pairwise(_fc_sizes(config, layers, n_classes)):
        modules += [Dropout(config["dropout_rate"]), nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*modules[:-1])  # the last layer gives the logits


class Dropout(nn.Module):
    """nn.Dropout, ten times as fast on a CPU: 16 random bits decide over a unit, so `rate` is kept to within 2^-17."""

    def __init__(self, rate: float):
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"the dropout rate must lie in [0, 1), not {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)  # uniform on -2^15 .. 2^15 - 1
        kept = bits >= round(self.rate * 2**16) - 2**15
        return x * kept.to(x.dtype).mul_(1 / (1 - self.rate))


def is_clipped(config: Mapping[str, object], image_shape: tuple[int, int, int]) -> bool:
    """Whether an operation did not fit the feature map and was clipped to it."""
    return any(layer.clipped for layer in conv_layers(config, image_shape))


def multiply_adds(config: Mapping[str, object], image_shape: tuple[int, int, int], n_classes: int = 10) -> int:
    """Multiply-adds of one image's forward pass through the convolutions and the fully connected layers."""
    layers = conv_layers(config, image_shape)
    convolutions = sum(prod(layer.channels) * prod(layer.kernel) * prod(layer.conv_size) for layer in layers)
    return convolutions + sum(n_in * n_out for n_in, n_out in pairwise(_fc_sizes(config, layers, n_classes)))
