"""Image datasets in memory: embedded in the project, or `<root>/<name>.npz` (arrays and their meaning: `read_npz`)."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsos.paths import DATA, ROOT


class ImageDataset(NamedTuple):
    """Images uint8 (N, C, H, W) and labels int64 (N,), split into three parts; mean and std of `x_train` in [0, 1]."""

    name: str
    x_train: Tensor
    y_train: Tensor
    x_valid: Tensor
    y_valid: Tensor
    x_test: Tensor
    y_test: Tensor
    n_classes: int
    class_names: tuple[str, ...]
    mean: Tensor  # (C,) float32
    std: Tensor  # (C,) float32

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) in pixels."""
        return tuple(self.x_train.shape[1:])


class Source(NamedTuple):
    """Images uint8 (N, H, W, C) and labels int64 (N,) as they came; the test part is None where there is none."""

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.uint8] | None
    y_test: NDArray[np.int64] | None
    class_names: tuple[str, ...]


def read_npz(path: Path) -> Source:
    """A dataset from an archive with x_train, y_train, x_test, y_test (uint8 N,H,W,C and integers) and class_names.

    Raises ValueError, naming the file, when it is damaged or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("x_train", "y_train", "x_test", "y_test")}
            class_names = tuple(str(name) for name in archive["class_names"])
    except KeyError as error:
        raise ValueError(f"{path} is no dataset: {error.args[0]}") from error
    except (zipfile.BadZipFile, zipfile.zlib.error, ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}); remove it and get it again") from error
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.ndim != 4 or x.shape[-1] not in (1, 3) or y.shape != x.shape[:1]:
            raise ValueError(
                f"{path}: x_{part} must be uint8 (N, H, W, 1 or 3) with one label an image, "
                f"not {x.dtype} {x.shape} with labels {y.shape}"
            )
        if y.dtype.kind not in "iu":
            raise ValueError(f"{path}: y_{part} must be integers, not {y.dtype}")
        if x.shape[1:] != arrays["x_train"].shape[1:]:
            raise ValueError(f"{path}: x_{part} has images of {x.shape[1:]}, x_train of {arrays['x_train'].shape[1:]}")
        if len(y) and not (0 <= y.min() and y.max() < len(class_names)):
            raise ValueError(f"{path}: y_{part} has labels outside of 0..{len(class_names) - 1}")
        arrays[f"y_{part}"] = y.astype(np.int64)
    if not len(arrays["y_test"]):
        arrays |= {"x_test": None, "y_test": None}
    return Source(**arrays, class_names=class_names)


def _digits() -> Source:
    from sklearn.datasets import load_digits  # a second of imports that no worker process needs

    digits = load_digits()
    images = np.rint(digits.images[..., None] * (255 / 16)).astype(np.uint8)  # they come as 0..16
    return Source(images, digits.target.astype(np.int64), None, None, tuple(str(i) for i in range(10)))


EMBEDDED: dict[str, Callable[[], Source]] = {
    "digits": _digits,
    "fashion_mnist_sample": lambda: read_npz(DATA / "embedded" / "fashion_mnist_sample.npz"),
}


def _root(root: str | Path | None) -> Path:
    return Path(root or os.environ.get("GSOS_DATA") or ROOT / "data" / "raw")


def available(root: str | Path | None = None) -> list[str]:
    """Names that `load` accepts: the embedded datasets, then the `.npz` files of `root` (default $GSOS_DATA)."""
    return [*EMBEDDED, *sorted(path.stem for path in _root(root).glob("*.npz") if path.stem not in EMBEDDED)]


def load(
    name: str,
    *,
    root: str | Path | None = None,
    n_train: int | None = None,
    valid_fraction: float = 0.2,
    size: int | None = None,
    channels: int | None = None,
    seed: int = 0,
) -> ImageDataset:
    """A dataset, split. Stratified by class; `seed` decides every drawing.

    The validation part is `valid_fraction` of the training images. The test part is the dataset's own; where it has
    none, `valid_fraction` of all images are the test part and as many the validation part (60/20/20, GSOS 5.3).
    n_train: at most so many images to train on, a validation part in proportion to them, and at most n_train test
    images. size: images larger than size x size pixels are reduced to it. What is smaller stays as it is, and None
    sets no limit. channels: 1 (grey, by Rec. 601 luma) or 3.

    Raises ValueError for an unknown name, a damaged file, a single class, or a limit that is not positive.
    """
    source = _read(name, _root(root))
    if seed < 0:
        raise ValueError(f"seed must not be negative, but is {seed}")
    if not 0 < valid_fraction < 0.5:
        raise ValueError(f"valid_fraction must lie between 0 and 0.5, not {valid_fraction}")
    x, y, x_test, y_test, class_names = source
    if len(np.unique(y)) < 2:
        raise ValueError(f"{name} has images of one class only; a classifier needs two")
    order = _stratified_order(y, seed)
    share = valid_fraction
    if x_test is None:
        n_test = round(valid_fraction * len(y))
        x_test, y_test, order = x[order[:n_test]], y[order[:n_test]], order[n_test:]
        share = valid_fraction / (1 - valid_fraction)
    n_valid = round(valid_fraction * len(y))
    if n_train is not None:
        if n_train < 2:
            raise ValueError(f"n_train must be at least 2, not {n_train}")
        if n_train < len(y_test):
            test_rows = _stratified_order(y_test, seed)[:n_train]
            x_test, y_test = x_test[test_rows], y_test[test_rows]
        if n_train < len(order) - n_valid:
            order = order[: round(n_train / (1 - share))]
            n_valid = len(order) - n_train
    if not 0 < n_valid < len(order) or not len(y_test):
        raise ValueError(f"{name} has too few images ({len(y)}) to have some in each part")
    parts = [(x[order[n_valid:]], y[order[n_valid:]]), (x[order[:n_valid]], y[order[:n_valid]]), (x_test, y_test)]
    tensors = [tensor for x, y in parts for tensor in (_to_tensor(x, size, channels), torch.from_numpy(y))]
    mean, std = _mean_std(tensors[0])
    return ImageDataset(name, *tensors, len(class_names), class_names, mean, std)


def _read(name: str, root: Path) -> Source:
    if name in EMBEDDED:
        return EMBEDDED[name]()
    path = root / f"{name}.npz"
    if not path.is_file():
        raise ValueError(
            f"unknown dataset {name!r}; there are {', '.join(available(root))}. "
            f"A dataset of your own goes to {path} (or set GSOS_DATA to its folder)"
        )
    return read_npz(path)


def _stratified_order(y: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A random order of the images in which every run of them, wherever cut, has each class in its proportion."""
    rng = np.random.default_rng(seed)
    place = np.empty(len(y))
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        place[rows] = (rng.permutation(len(rows)) + rng.random()) / len(rows)
    return np.argsort(place, kind="stable")


def _to_tensor(images: NDArray[np.uint8], size: int | None, channels: int | None) -> Tensor:
    """(N, H, W, C) array to (N, C, H, W) tensor, resized (antialiased) and with the number of channels asked for."""
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 or 3, not {channels}")
    if channels == 1 and x.shape[1] == 3:
        luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        x = (x * luma).sum(1, keepdim=True).round_().to(torch.uint8)
    elif channels == 3 and x.shape[1] == 1:
        x = x.expand(-1, 3, -1, -1).contiguous()
    if size is not None and size < 1:
        raise ValueError(f"size must be a positive number of pixels, not {size}")
    if size is not None and max(x.shape[2:]) > size:
        resized = torch.nn.functional.interpolate(x.float(), (size, size), mode="bilinear", antialias=True)
        x = resized.round_().clamp_(0, 255).to(torch.uint8)
    return x


def _mean_std(images: Tensor) -> tuple[Tensor, Tensor]:
    """Per channel, of pixels in [0, 1]; exact, by counting: there are only 256 values."""
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)]).double()
    levels = torch.linspace(0, 1, 256, dtype=torch.float64)
    weights = counts / counts.sum(1, keepdim=True)
    mean = weights @ levels
    std = (weights @ levels**2 - mean**2).clamp_min(1e-8).sqrt()
    return mean.float(), std.float()
