"""Image datasets in memory, split: embedded ones, those of the registry (`gsos.catalogue`), and `<root>/<name>.npz`."""

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from gsos import catalogue, parsers
from gsos.parsers import Images, Source, read_npz
from gsos.paths import DATA


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


def _digits() -> Source:
    from sklearn.datasets import load_digits  # a second of imports that no worker process needs

    digits = load_digits()
    images = np.rint(digits.images[..., None] * (255 / 16)).astype(np.uint8)  # they come as 0..16
    return Source(images, digits.target.astype(np.int64), None, None, tuple(str(i) for i in range(10)))


EMBEDDED: dict[str, Callable[[], Source]] = {
    "digits": _digits,
    "fashion_mnist_sample": lambda: read_npz(DATA / "embedded" / "fashion_mnist_sample.npz"),
}


def available(root: str | Path | None = None) -> list[str]:
    """Names that `load` accepts: the embedded datasets, then what is in `root` (default $GSOS_DATA, else data/raw)."""
    folder = catalogue.data_root(root)
    arrays = {path.stem for path in folder.glob("*.npz")}
    published = {name for name, entry in catalogue.entries().items() if catalogue.where(entry, folder)}
    return [*EMBEDDED, *sorted((arrays | published) - EMBEDDED.keys())]


def load(
    name: str,
    *,
    root: str | Path | None = None,
    n_train: int | None = None,
    n_valid: int | None = None,
    valid_fraction: float = 0.2,
    size: int | None = None,
    channels: int | None = None,
    seed: int = 0,
) -> ImageDataset:
    """A dataset, split. Stratified by class; `seed` decides every drawing.

    It is embedded, or <root>/<name>.npz (`gsos.parsers.read_npz`), or one of the registry whose published files are in
    <root>/<name>; these are parsed once for each size and channels, and kept in <root>/cache.

    The validation part is `valid_fraction` of the training images. The test part is the dataset's own; where it has
    none, `valid_fraction` of all images are the test part and as many the validation part (60/20/20, GSOS 5.3).
    n_train: at most so many images to train on, a validation part in proportion to them (or of n_valid images), and at
    most n_train test images. size: images larger than size x size pixels are reduced to it. What is smaller stays as it
    is, and None sets no limit. channels: 1 (grey, by Rec. 601 luma) or 3.

    Raises ValueError for an unknown name, one that is not here (and says how to get it), a damaged file, a single
    class, a limit that is not positive, or n_valid without n_train or more than there are images for.
    """
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 or 3, not {channels}")
    if size is not None and size < 1:
        raise ValueError(f"size must be a positive number of pixels, not {size}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, but is {seed}")
    if not 0 < valid_fraction < 0.5:
        raise ValueError(f"valid_fraction must lie between 0 and 0.5, not {valid_fraction}")
    if n_train is not None and n_train < 2:
        raise ValueError(f"n_train must be at least 2, not {n_train}")
    if n_valid is not None and (n_train is None or n_valid < 1):
        raise ValueError(f"n_valid must be positive and needs n_train, not {n_valid} with n_train {n_train}")
    x, y, x_test, y_test, class_names = _find(name, catalogue.data_root(root), size, channels)
    if len(np.unique(y)) < 2:
        raise ValueError(f"{name} has images of one class only; a classifier needs two")
    train, valid, test = _split(y, y_test, n_train, n_valid, valid_fraction, seed)
    if not (len(train) and len(valid) and len(test)):
        raise ValueError(f"{name} has too few images ({len(y)}) to have some in each part")
    if x_test is None:
        images, y_test = _take(x, [train, valid, test], size, channels), y
    else:
        images = _take(x, [train, valid], size, channels) + _take(x_test, [test], size, channels)
    labels = y[train], y[valid], y_test[test]
    tensors = [torch.from_numpy(array) for pair in zip(images, labels, strict=True) for array in pair]
    return ImageDataset(name, *tensors, len(class_names), class_names, *_mean_std(tensors[0]))


def _split(
    y: NDArray[np.int64],
    y_test: NDArray[np.int64] | None,
    n_train: int | None,
    n_valid: int | None,
    valid_fraction: float,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows that train, validate and test; those that test are of the test part where there is one."""
    order, share = _stratified_order(y, seed), valid_fraction
    if y_test is None:
        n_test = round(valid_fraction * len(y))
        test, order = order[:n_test], order[n_test:]
        y_test, share = y[test], valid_fraction / (1 - valid_fraction)
    else:
        test = np.arange(len(y_test))
    if n_train is not None and n_train < len(y_test):
        test = test[_stratified_order(y_test, seed)[:n_train]]
    if n_valid is not None:
        order = order[: n_train + n_valid]
        return order[n_valid:], order[:n_valid], test
    n_valid = round(valid_fraction * len(y))
    if n_train is not None and n_train < len(order) - n_valid:
        order = order[: round(n_train / (1 - share))]
        n_valid = len(order) - n_train
    return order[n_valid:], order[:n_valid], test


def _find(name: str, root: Path, size: int | None, channels: int | None) -> Source:
    if name in EMBEDDED:
        return EMBEDDED[name]()
    path = root / f"{name}.npz"
    if path.is_file():
        return read_npz(path)
    registry = catalogue.entries()
    if name not in registry:
        others = ", ".join(other for other in registry if other not in EMBEDDED)
        raise ValueError(
            f"unknown dataset {name!r}; there are {', '.join(available(root))}. `gsos data fetch` gets {others}. "
            f"A dataset of your own goes to {path} (or set GSOS_DATA to its folder)"
        )
    if not (files := catalogue.sources(registry[name], root)):
        raise ValueError(f"{registry[name].title} is not here: {catalogue.how_to_get(registry[name], root)}")
    return _parsed(registry[name], files, root, size, channels)


CACHE_VERSION = 1  # another one makes what older parsers kept be parsed again


def _parsed(
    entry: catalogue.Entry, files: Sequence[Path], root: Path, size: int | None, channels: int | None
) -> Source:
    """From the cache, which is filled where it can be written; one process parses, the others wait for it."""
    limits = [f"{key}{value}" for key, value in (("size", size), ("channels", channels)) if value is not None]
    kept = root / "cache" / f"{'-'.join([entry.name, _fingerprint(entry, files), *limits])}.npz"
    if _is_whole(kept):
        return read_npz(kept)
    folder = root / entry.folder
    with ExitStack() as stack:
        with suppress(OSError, NotImplementedError):  # without a lock, each process works for itself
            stack.enter_context(FileLock(folder / ".lock"))
        if _is_whole(kept):
            return read_npz(kept)
        source = parsers.parse(entry, files, folder, size)
        try:
            _keep(source, kept, size, channels)
        except OSError as error:
            warnings.warn(
                f"{entry.title} cannot be kept in {kept.parent} ({error}): parsed again next time", stacklevel=4
            )
            return source
    return read_npz(kept)


def _fingerprint(entry: catalogue.Entry, files: Sequence[Path]) -> str:
    """Of the published checksums; where there are none, of an archive's, or of names, sizes and times in a folder."""
    said = [(file.name, file.checksum) for file in entry.files]
    if [path.name for path in files] != [name for name, _ in said]:
        said = [line for path in files for line in (_in_folder(path, entry) if path.is_dir() else _in_archive(path))]
    return hashlib.sha256(repr((CACHE_VERSION, said)).encode()).hexdigest()[:12]


def _in_archive(path: Path) -> list[tuple[str, int]]:
    with parsers.damage_told(path), zipfile.ZipFile(path) as archive:
        return [(info.filename, info.CRC) for info in archive.infolist()]


def _in_folder(folder: Path, entry: catalogue.Entry) -> list[tuple[str, int, int]]:
    paths = [file.path for file in parsers.image_files(folder, entry.class_folders)]
    stats = [path.stat() for path in paths]
    return [(str(p.relative_to(folder)), s.st_size, s.st_mtime_ns) for p, s in zip(paths, stats, strict=True)]


def _is_whole(path: Path) -> bool:
    """Whether an archive is there, with the checksums that its parts were written with."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _keep(source: Source, path: Path, size: int | None, channels: int | None) -> None:
    """Writes a dataset as `read_npz` reads it, its images as asked for; the file appears when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    x_test, y_test = (source.x_train[:0], source.y_train[:0]) if source.x_test is None else source[2:4]
    arrays = {"y_train": source.y_train, "y_test": y_test, "class_names": np.array(source.class_names)}
    try:
        with zipfile.ZipFile(unfinished, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array)
            for name, images in (("x_train", source.x_train), ("x_test", x_test)):
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    _write_images(member, images, size, channels)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_images(member: IO[bytes], images: NDArray[np.uint8], size: int | None, channels: int | None) -> None:
    _, n_channels, height, width = _convert(images[:1], size, channels).shape
    shape = (len(images), height, width, n_channels)
    np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": shape})
    for chunk in parsers.chunks(images):
        member.write(np.ascontiguousarray(_convert(chunk, size, channels).transpose(0, 2, 3, 1)))


def _take(
    images: Images, parts: Sequence[NDArray[np.int64]], size: int | None, channels: int | None
) -> list[NDArray[np.uint8]]:
    """The images of each part's rows, converted to (N, C, H, W); no row is in two parts.

    All images pass by once, a chunk at a time, so that there is little in memory besides what is taken.
    """
    part_of, place = np.full(images.shape[0], -1), np.empty(images.shape[0], np.int64)
    for i, rows in enumerate(parts):
        part_of[rows], place[rows] = i, np.arange(len(rows))
    taken, start = [None] * len(parts), 0
    for chunk in parsers.chunks(images):
        rows = start + np.flatnonzero(part_of[start : start + len(chunk)] >= 0)
        if len(rows):
            converted = _convert(chunk[rows - start], size, channels)
            for i in np.unique(part_of[rows]):
                if taken[i] is None:
                    taken[i] = np.empty((len(parts[i]), *converted.shape[1:]), np.uint8)
                mine = part_of[rows] == i
                taken[i][place[rows[mine]]] = converted[mine]
        start += len(chunk)
    return taken


def _stratified_order(y: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A random order of the images in which every run of them, wherever cut, has each class in its proportion."""
    rng = np.random.default_rng(seed)
    place = np.empty(len(y))
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        place[rows] = (rng.permutation(len(rows)) + rng.random()) / len(rows)
    return np.argsort(place, kind="stable")


def _convert(images: NDArray[np.uint8], size: int | None, channels: int | None) -> NDArray[np.uint8]:
    """(N, H, W, C) to (N, C, H, W), with the number of channels asked for, and resized (antialiased)."""
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    if channels == 1 and x.shape[1] == 3:
        luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        x = (x * luma).sum(1, keepdim=True).round_().to(torch.uint8)
    elif channels == 3 and x.shape[1] == 1:
        x = x.expand(-1, 3, -1, -1).contiguous()
    if size is not None and max(x.shape[2:]) > size:
        resized = torch.nn.functional.interpolate(x.float(), (size, size), mode="bilinear", antialias=True)
        x = resized.round_().clamp_(0, 255).to(torch.uint8)
    return x.numpy()


def _mean_std(images: Tensor) -> tuple[Tensor, Tensor]:
    """Per channel, of pixels in [0, 1]; exact, by counting: there are only 256 values."""
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)]).double()
    levels = torch.linspace(0, 1, 256, dtype=torch.float64)
    weights = counts / counts.sum(1, keepdim=True)
    mean = weights @ levels
    std = (weights @ levels**2 - mean**2).clamp_min(1e-8).sqrt()
    return mean.float(), std.float()
