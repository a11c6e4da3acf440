"""Make data/embedded/fashion_mnist_sample.npz from the original Fashion-MNIST IDX files.

    python scripts/make_fashion_mnist_sample.py FOLDER

FOLDER holds the four `*-ubyte.gz` files of https://github.com/zalandoresearch/fashion-mnist; the Debian package
dataset-fashion-mnist installs them in /usr/share/datasets/fashion-mnist. The result is the same byte for byte.
"""

import gzip
import hashlib
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np

SEED = 0
N_PER_CLASS = {"train": 600, "t10k": 100}
CLASS_NAMES = ("T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle-boot").split()
TARGET = Path(__file__).resolve().parents[1] / "data" / "embedded" / "fashion_mnist_sample.npz"


def read_idx(path: Path) -> np.ndarray:
    data = gzip.decompress(path.read_bytes())
    n_dimensions = data[3]
    shape = np.frombuffer(data, ">i4", n_dimensions, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * n_dimensions).reshape(shape)


def balanced(labels: np.ndarray, n_per_class: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) indices: as many of each class, shuffled."""
    chosen = [rng.choice(np.flatnonzero(labels == c), n_per_class, replace=False) for c in range(len(CLASS_NAMES))]
    return rng.permutation(np.concatenate(chosen))


def main(folder: Path) -> None:
    rng = np.random.default_rng(SEED)
    arrays = {"class_names": np.array(CLASS_NAMES)}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        rows = balanced(labels, N_PER_CLASS[prefix], rng)
        arrays |= {f"x_{part}": images[rows, :, :, None], f"y_{part}": labels[rows].astype(np.int64)}
    # np.savez_compressed stamps the time into the archive; this does not, so that the checksum can be reproduced.
    with zipfile.ZipFile(TARGET, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in sorted(arrays.items()):
            buffer = BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED)
    print(TARGET, TARGET.stat().st_size, "bytes, sha256", hashlib.sha256(TARGET.read_bytes()).hexdigest())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
