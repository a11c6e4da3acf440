"""Tiny files in the formats in which the datasets are published, put in the place of the real ones."""

import bz2
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
import zlib

import numpy as np
from PIL import Image
from scipy.io import savemat

from gsos import catalogue


def publish(monkeypatch, root, name, files):
    """Writes `files` (name -> bytes) to a dataset's folder; the row of the registry, which knows them now."""
    entry = catalogue.entries()[name]
    folder = root / entry.folder
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    known = [file._replace(checksum=f"md5:{md5(files[file.name])}") for file in entry.files if file.name in files]
    entry = entry._replace(files=tuple(known) or entry.files)
    registry = catalogue.entries() | {name: entry}
    monkeypatch.setattr(catalogue, "entries", lambda: registry)
    return entry


def md5(content):
    return hashlib.md5(content).hexdigest()


def idx(array):
    """As on MNIST's page: two zeros, 8 for uint8, the number of dimensions, their sizes, the values."""
    array = np.asarray(array, np.uint8)
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist_files(x_train, y_train, x_test, y_test):
    arrays = {"train-images-idx3": x_train, "train-labels-idx1": y_train, "t10k-images-idx3": x_test}
    arrays |= {"t10k-labels-idx1": y_test}
    return {f"{name}-ubyte.gz": gzip.compress(idx(array)) for name, array in arrays.items()}


def emnist_zip(split, x_train, y_train, x_test, y_test):
    arrays = {"train-images-idx3": x_train, "train-labels-idx1": y_train, "test-images-idx3": x_test}
    arrays |= {"test-labels-idx1": y_test}
    return zip_of({f"gzip/emnist-{split}-{name}-ubyte.gz": gzip.compress(idx(a)) for name, a in arrays.items()})


def cifar_tar(folder, batches, meta):
    """batches and meta: file name -> what is pickled there."""
    files = {name: pickle.dumps(content, protocol=2) for name, content in (batches | meta).items()}
    return tar_of({f"{folder}/{name}": content for name, content in files.items()}), files


def svhn_mat(images, labels):
    """Images (N, 32, 32, 3) as MATLAB keeps them, (32, 32, 3, N), and zeros as tens."""
    labels = np.where(np.asarray(labels) == 0, 10, labels)[:, None].astype(np.uint8)
    savemat(content := io.BytesIO(), {"X": np.moveaxis(images, 0, -1), "y": labels})
    return content.getvalue()


def stl10_bin(images):
    """Images (N, 96, 96, 3), by channels and then by columns."""
    return images.transpose(0, 3, 2, 1).tobytes()


def libsvm_bz2(values, labels):
    """Pixel values (N, 256) in [-1, 1], labels from 1."""
    lines = (
        f"{y + 1} " + " ".join(f"{i}:{v:g}" for i, v in enumerate(x, 1)) for x, y in zip(values, labels, strict=True)
    )
    return bz2.compress("".join(f"{line} \n" for line in lines).encode())


def semeion_text(images, labels):
    """Images (N, 256) of 0 and 1, and the label as ten columns."""
    rows = (" ".join(f"{v:.4f}" for v in x) + " " + " ".join("01"[y == i] for i in range(10))
            for x, y in zip(images, labels, strict=True))  # fmt: skip
    return "".join(f"{row} \n" for row in rows).encode()


def npz(**arrays):
    np.savez_compressed(content := io.BytesIO(), **arrays)
    return content.getvalue()


def zip_of(files):
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def tar_of(files):
    with tarfile.open(fileobj=(content := io.BytesIO()), mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def picture(array, kind="PNG", mode=None):
    Image.fromarray(np.asarray(array), mode).save(
        content := io.BytesIO(), kind, **({"quality": 95} if kind == "JPEG" else {})
    )
    return content.getvalue()


def plain(colour, size=(8, 8), kind="PNG"):
    """An image of one colour; size is (height, width)."""
    return picture(np.full((*size, 3), colour, np.uint8), kind)


def huge_png(side=30_000):
    """A PNG whose head promises side x side pixels; there are none in it."""

    def block(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + block(b"IHDR", head) + block(b"IDAT", zlib.compress(b"")) + block(b"IEND", b"")
