"""Published files to arrays: a parser for each format. Checksums are verified before anything is unpacked or read."""

import math
import os
import shutil
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gsos.archives import unpack
from gsos.catalogue import Entry

CHUNK_BYTES = 2**22  # of images that are in memory beside the result


class NpzImages:
    """The images of one array in an .npz, (N, H, W, C): read a few at a time, they need no memory of their own."""

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        with np.load(path) as archive, archive.zip.open(f"{name}.npy") as member:
            self.shape, self.in_fortran_order, self.dtype = _read_npy_header(member)

    def chunks(self) -> Iterator[NDArray]:
        """All of them in order. Raises ValueError when the file is damaged."""
        with damage_told(self.path), np.load(self.path) as archive:
            if self.in_fortran_order:  # images are no runs of bytes there
                yield from chunks(archive[self.name])
                return
            with archive.zip.open(f"{self.name}.npy") as member:
                _read_npy_header(member)
                for rows, image_bytes in _chunk_sizes(self.shape):
                    data = np.frombuffer(member.read(rows * image_bytes), np.uint8)
                    yield data.reshape(rows, *self.shape[1:])
                member.read()  # to the end, where zipfile compares the checksum


Images = NDArray[np.uint8] | NpzImages


class Source(NamedTuple):
    """Images uint8 (N, H, W, C) and labels int64 (N,) as they came; the test part is None where there is none."""

    x_train: Images
    y_train: NDArray[np.int64]
    x_test: Images | None
    y_test: NDArray[np.int64] | None
    class_names: tuple[str, ...]


def chunks(images: Images) -> Iterator[NDArray[np.uint8]]:
    """The images in order, about CHUNK_BYTES at a time."""
    if isinstance(images, NpzImages):
        yield from images.chunks()
        return
    start = 0
    for rows, _ in _chunk_sizes(images.shape):
        yield images[start : start + rows]
        start += rows


def _chunk_sizes(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Images of each chunk, and bytes of an image, for an array of that shape."""
    image_bytes = max(1, math.prod(shape[1:]))
    length = max(1, CHUNK_BYTES // image_bytes)
    return ((min(length, shape[0] - start), image_bytes) for start in range(0, shape[0], length))


def _read_npy_header(member) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(member)


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """What fails in reading an .npz becomes a ValueError that names the file."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}); remove it and get it again") from error


def read_npz(path: Path) -> Source:
    """A dataset from an archive with x_train, y_train, x_test, y_test (uint8 N,H,W,C and integers) and class_names.

    Images are read when they are asked for. Raises ValueError, naming the file, when it is damaged or lacks an array.
    """
    try:
        with damage_told(path), np.load(path, allow_pickle=False) as archive:
            labels = {part: archive[f"y_{part}"] for part in ("train", "test")}
            class_names = tuple(str(name) for name in archive["class_names"])
            images = {part: NpzImages(path, f"x_{part}") for part in labels}
    except KeyError as error:
        raise ValueError(f"{path} is no dataset: {error.args[0]}") from error
    for part, x in images.items():
        y = labels[part]
        if x.dtype != np.uint8 or len(x.shape) != 4 or x.shape[-1] not in (1, 3) or y.shape != x.shape[:1]:
            raise ValueError(
                f"{path}: x_{part} must be uint8 (N, H, W, 1 or 3) with one label an image, "
                f"not {x.dtype} {x.shape} with labels {y.shape}"
            )
        if y.dtype.kind not in "iu":
            raise ValueError(f"{path}: y_{part} must be integers, not {y.dtype}")
        if x.shape[1:] != images["train"].shape[1:]:
            raise ValueError(f"{path}: x_{part} has images of {x.shape[1:]}, x_train of {images['train'].shape[1:]}")
        if len(y) and not (0 <= y.min() and y.max() < len(class_names)):
            raise ValueError(f"{path}: y_{part} has labels outside of 0..{len(class_names) - 1}")
    return _source(*((images[part], labels[part]) for part in ("train", "test")), class_names)


def parse(entry: Entry, files: Sequence[Path], folder: Path, size: int | None = None) -> Source:
    """A dataset from what was published: `files` as `gsos.catalogue.sources` found them.

    folder: where archives are unpacked while they are read; the system's temporary folder where it cannot be written.
    size: images in class folders are reduced to size x size pixels where one is larger than that.

    Raises ValueError for a wrong checksum, a refused archive, and images of many sizes when size is None.
    """
    for path, file in zip(files, entry.files, strict=False):
        if path.name == file.name:
            _verify(path, file.checksum)
    with _workplace(folder) as work:
        if entry.class_folders:
            return _class_folders(entry, files, work, size)
        return PARSERS[entry.name](files, work)


def _verify(path: Path, checksum: str) -> None:
    import pooch

    algorithm, _, expected = checksum.partition(":")
    if (found := pooch.file_hash(path, alg=algorithm)) != expected:
        raise ValueError(f"{path} has the {algorithm} {found}, not {expected}; remove it and get it again")


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    for left in folder.glob(".unpacked-*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        work = tempfile.TemporaryDirectory(prefix=".unpacked-", dir=folder)
    except OSError:
        work = tempfile.TemporaryDirectory(prefix="gsos-")
    with work as name:
        yield Path(name)


def _source(train: tuple, test: tuple | None, class_names: Iterable[str]) -> Source:
    """From (images, labels) of each part."""
    parts = [train, test if test is not None and len(test[1]) else (None, None)]
    (x_train, y_train), (x_test, y_test) = [(x, None if y is None else np.asarray(y, np.int64)) for x, y in parts]
    return Source(x_train, y_train, x_test, y_test, tuple(str(name) for name in class_names))


def _grey(images: ArrayLike) -> NDArray[np.uint8]:
    """(N, H, W) as (N, H, W, 1)."""
    return np.asarray(images)[..., None]


DIGITS = tuple("0123456789")


def _cifar(kind: str) -> Callable:
    def parse_cifar(files: Sequence[Path], work: Path) -> Source:
        from gsos.vision import torchvision

        unpack(files[0], work / "files")
        train, test = (getattr(torchvision.datasets, kind)(work / "files", train=part) for part in (True, False))
        return _source((train.data, train.targets), (test.data, test.targets), train.classes)

    return parse_cifar


def _idx(kind: str, class_names: Sequence[str] | None = None) -> Callable:
    """MNIST and what came in its format; names of classes are torchvision's where there are none."""

    def parse_idx(files: Sequence[Path], work: Path) -> Source:
        from gsos.vision import torchvision

        _unpack_together(files, work, work / kind / "raw")
        train, test = (getattr(torchvision.datasets, kind)(work, train=part) for part in (True, False))
        return _source(
            (_grey(train.data), train.targets), (_grey(test.data), test.targets), class_names or train.classes
        )

    return parse_idx


def _unpack_together(archives: Iterable[Path], work: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for archive in archives:
        for path in unpack(archive, work / archive.name):
            path.rename(folder / path.name)


def _emnist(split: str, first_label: int = 0) -> Callable:
    """A split of EMNIST, whose images are stored transposed and whose letters count from 1."""

    def parse_emnist(files: Sequence[Path], work: Path) -> Source:
        from gsos.vision import torchvision

        archives = [path for path in unpack(files[0], work / "all") if path.name.startswith(f"emnist-{split}-")]
        _unpack_together(archives, work, work / "EMNIST" / "raw")
        train, test = (torchvision.datasets.EMNIST(work, split, train=part) for part in (True, False))
        parts = ((_grey(part.data.transpose(1, 2)), part.targets - first_label) for part in (train, test))
        return _source(*parts, train.classes[first_label:])

    return parse_emnist


def _semeion(files: Sequence[Path], work: Path) -> Source:
    from gsos.vision import torchvision

    whole = torchvision.datasets.SEMEION(files[0].parent, download=False)
    return _source((_grey(whole.data), whole.labels), None, DIGITS)


def _stl10(files: Sequence[Path], work: Path) -> Source:
    from gsos.vision import torchvision

    class Labelled(torchvision.datasets.STL10):
        train_list = torchvision.datasets.STL10.train_list[:2]  # without 100,000 images that have no labels

    unpack(files[0], work / "files")
    train, test = (Labelled(work / "files", split=part) for part in ("train", "test"))
    parts = ((part.data.transpose(0, 2, 3, 1), part.labels) for part in (train, test))
    return _source(*parts, train.classes)


def _svhn(files: Sequence[Path], work: Path) -> Source:
    from gsos.vision import torchvision

    parts = [torchvision.datasets.SVHN(files[0].parent, split=part) for part in ("train", "test")]
    return _source(*((part.data.transpose(0, 2, 3, 1), part.labels) for part in parts), DIGITS)


def _usps(files: Sequence[Path], work: Path) -> Source:
    from gsos.vision import torchvision

    parts = [torchvision.datasets.USPS(files[0].parent, train=part) for part in (True, False)]
    return _source(*((_grey(part.data), part.targets) for part in parts), DIGITS)


HIRAGANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわゐゑをんゝ"


def _kuzushiji49(files: Sequence[Path], work: Path) -> Source:
    arrays = []
    for path in files:
        with damage_told(path), np.load(path, allow_pickle=False) as archive:
            arrays.append(archive["arr_0"])
    x_train, y_train, x_test, y_test = arrays
    return _source((_grey(x_train), y_train), (_grey(x_test), y_test), HIRAGANA)


PARSERS: dict[str, Callable[[Sequence[Path], Path], Source]] = {
    "cifar10": _cifar("CIFAR10"),
    "cifar100": _cifar("CIFAR100"),
    "mnist": _idx("MNIST", DIGITS),
    "emnist": _emnist("balanced"),
    "emnist_letters": _emnist("letters", first_label=1),
    "fashion_mnist": _idx("FashionMNIST"),
    "kuzushiji_mnist10": _idx("KMNIST"),
    "semeion": _semeion,
    "stl10": _stl10,
    "svhn": _svhn,
    "usps": _usps,
    "kuzushiji49": _kuzushiji49,
}

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)  # what Pillow raises


class ImageFile(NamedTuple):
    """An image in a class folder; `depth` counts the folders above it."""

    path: Path
    label: int
    in_test: bool
    depth: int


def image_files(folder: Path, class_folders: Sequence[str]) -> list[ImageFile]:
    """The images below `folder` in folders named as classes: those for training, then those for testing, by name.

    For testing are those that lie below a folder with "test" in its name. Where class folders lie in different depths,
    the highest count: an older archive of Flowers has all images a second time in flowers/flowers.
    """
    found = []
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        place = Path(path).relative_to(folder)
        if place.name in class_folders:
            in_test = any("test" in name.lower() for name in place.parts[:-1])
            images = (name for name in sorted(names) if name.lower().endswith(SUFFIXES) and not name.startswith("."))
            label, depth = class_folders.index(place.name), len(place.parts)
            found += [ImageFile(Path(path, name), label, in_test, depth) for name in images]
    highest = {part: min((file.depth for file in found if file.in_test == part), default=0) for part in (False, True)}
    return sorted((f for f in found if f.depth == highest[f.in_test]), key=lambda f: (f.in_test, f.label))


def _class_folders(entry: Entry, files: Sequence[Path], work: Path, size: int | None) -> Source:
    folder = files[0]
    if not folder.is_dir():
        folder = work
        for archive in files:
            unpack(archive, work / archive.stem)
    found = image_files(folder, entry.class_folders)
    if not found:
        raise ValueError(f"{entry.title}: no images in folders named {', '.join(entry.class_folders)} in {files[0]}")
    images, readable = _decode(found, entry.title, size)
    y = np.array([file.label for file in found])[readable]
    n_train = int(sum(not file.in_test for file, kept in zip(found, readable, strict=True) if kept))
    return _source((images[:n_train], y[:n_train]), (images[n_train:], y[n_train:]), entry.class_folders)


def _decode(files: Sequence[ImageFile], title: str, size: int | None) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Images (N, H, W, 3) of those files that can be read, and which these are; one warning names the others."""
    from tqdm import tqdm

    sizes = _sizes(files)
    known = sorted({s for s in sizes if s is not None})
    if size is None and len(known) > 1:
        raise ValueError(
            f"{title} has images of {len(known)} sizes, from {known[0]} to {known[-1]} pixels: "
            "say to which they are to be brought, such as size=64"
        )
    same = len(known) == 1 and (size is None or max(known[0]) <= size)
    width, height = known[0] if same else (size, size)
    images, readable = np.empty((len(files), height, width, 3), np.uint8), np.zeros(len(files), bool)

    def decode(i: int) -> None:
        if sizes[i] is not None:
            readable[i] = _read_image(files[i].path, images[i])

    with ThreadPoolExecutor() as threads:
        list(tqdm(threads.map(decode, range(len(files))), f"{title}: reading images", len(files), disable=None))
    if left_out := [file.path for file, kept in zip(files, readable, strict=True) if not kept]:
        names = ", ".join(f"{path.parent.name}/{path.name}" for path in left_out[:5])
        more = ", ..." if len(left_out) > 5 else ""
        warnings.warn(
            f"{title}: {len(left_out)} of {len(files)} images cannot be read and are left out: {names}{more}",
            stacklevel=2,
        )
    if not readable.any():
        raise ValueError(f"{title}: none of {len(files)} images can be read")
    return images if readable.all() else images[readable], readable


def _sizes(files: Sequence[ImageFile]) -> list[tuple[int, int] | None]:
    """(width, height) of each image; None for one that Pillow cannot open, or takes for a decompression bomb."""
    from PIL import Image

    sizes = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for file in files:
            try:
                with Image.open(file.path) as image:
                    sizes.append(image.size)
            except (*UNREADABLE, Image.DecompressionBombError, Image.DecompressionBombWarning):
                sizes.append(None)
    return sizes


def _read_image(path: Path, out: NDArray[np.uint8]) -> bool:
    """The image as RGB in `out` (H, W, 3), resized to fit (antialiased, without regard to aspect); whether it was read.

    Transparency is flattened on white, 16 bits a pixel are scaled to 8. A turn that EXIF tells of is not made.
    """
    from PIL import Image

    size = (out.shape[1], out.shape[0])
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):
                grey = np.clip(np.rint(np.asarray(image) / 257), 0, 255)
                image = Image.fromarray(grey.astype(np.uint8))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB")
            out[:] = np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BILINEAR))
    except UNREADABLE:
        return False
    return True
