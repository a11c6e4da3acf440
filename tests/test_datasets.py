"""Loading and splitting images."""

import errno
import hashlib
import os
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_datasets import mnist_files, npz, plain, publish

from gsos import catalogue, datasets, parsers
from gsos.paths import DATA
from gsos.space import DEFAULTS
from gsos.training import train

EMBEDDED_SHA256 = "61a4254a3c444c8ee4c74dc7b733e4a576164ded4b759ed5a1a6be6a9edae97c"  # as in data/embedded/README.md


def write_npz(path, y_train, y_test=(0, 1), shape=(6, 5, 3), **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (len(y_train), *shape), dtype=np.uint8),
        "y_train": np.asarray(y_train),
        "x_test": rng.integers(0, 256, (len(y_test), *shape), dtype=np.uint8),
        "y_test": np.asarray(y_test, dtype=np.int64),
        "class_names": np.array([f"class {i}" for i in range(int(max(y_train)) + 1)]),
    }
    np.savez(path, **(arrays | changes))
    return path


def test_embedded_file_is_the_one_described():
    path = DATA / "embedded" / "fashion_mnist_sample.npz"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == EMBEDDED_SHA256
    assert EMBEDDED_SHA256 in (DATA / "embedded" / "README.md").read_text()


def test_embedded_datasets():
    digits = datasets.load("digits")
    assert [len(y) for y in (digits.y_train, digits.y_valid, digits.y_test)] == [1079, 359, 359]  # 60/20/20 of 1797
    assert digits.image_shape == (1, 8, 8) and digits.n_classes == 10
    assert digits.x_train.dtype == torch.uint8 and digits.x_train.max() == 255
    fashion = datasets.load("fashion_mnist_sample")
    assert [len(y) for y in (fashion.y_train, fashion.y_valid, fashion.y_test)] == [4800, 1200, 1000]
    assert fashion.class_names[1] == "Trouser" and fashion.image_shape == (1, 28, 28)
    for y in (fashion.y_train, fashion.y_valid, fashion.y_test):
        counts = torch.bincount(y)
        assert counts.max() - counts.min() <= 1


@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=6),
    fraction=st.floats(0.05, 0.45),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_a_cut_of_the_stratified_order_has_every_class_in_proportion(counts, fraction, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    order = datasets._stratified_order(y, seed)
    assert sorted(order) == list(range(len(y)))
    cut = round(fraction * len(y))
    chosen = np.bincount(y[order[:cut]], minlength=len(counts))
    assert np.abs(chosen - cut * np.array(counts) / len(y)).max() <= 2


@given(
    counts=st.lists(st.integers(8, 40), min_size=2, max_size=5),
    test_counts=st.none() | st.lists(st.integers(8, 40), min_size=5, max_size=5),
    fraction=st.floats(0.1, 0.4),
    n_train=st.none() | st.integers(2, 200),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_splits_are_disjoint_exhaustive_and_stratified(counts, test_counts, fraction, n_train, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    y_test = None if test_counts is None else np.repeat(np.arange(len(counts)), test_counts[: len(counts)])
    rows = datasets._split(y, y_test, n_train, None, fraction, seed)
    of_y = rows[: 3 if y_test is None else 2]
    together = np.concatenate(of_y)
    assert len(set(together)) == len(together)
    if y_test is not None:
        assert len(set(rows[2])) == len(rows[2]) and (
            n_train is not None or sorted(rows[2]) == list(range(len(y_test)))
        )
    if n_train is None:
        assert sorted(together) == list(range(len(y)))
        assert len(rows[1]) == round(fraction * len(y))
    else:
        assert len(rows[0]) <= n_train and len(rows[2]) <= max(n_train, 1)
    for part in of_y:
        expected = len(part) * np.array(counts) / len(y)
        assert np.abs(np.bincount(y[part], minlength=len(counts)) - expected).max() <= 4


def test_parts_are_disjoint_and_exhaustive(tmp_path):
    y = np.arange(100) % 4
    x = np.zeros((100, 4, 4, 1), np.uint8)
    x[:, 0, 0, 0] = np.arange(100)  # each image knows its number
    empty = {"x_test": np.zeros((0, 4, 4, 1), np.uint8), "y_test": np.zeros(0, np.int64)}
    write_npz(tmp_path / "own.npz", y, x_train=x, **empty)
    own = datasets.load("own", root=tmp_path)
    numbers = [part[:, 0, 0, 0].tolist() for part in (own.x_train, own.x_valid, own.x_test)]
    assert sorted(sum(numbers, [])) == list(range(100))
    assert [len(part) for part in numbers] == [60, 20, 20]
    assert all((torch.tensor(rows) % 4 == y).all() for rows, y in zip(numbers, own[2:7:2], strict=True))
    again, other = datasets.load("own", root=tmp_path), datasets.load("own", root=tmp_path, seed=1)
    assert torch.equal(again.x_train, own.x_train) and not torch.equal(other.x_train, own.x_train)


def test_n_train_cuts_all_parts():
    small = datasets.load("fashion_mnist_sample", n_train=400)
    assert [len(y) for y in (small.y_train, small.y_valid, small.y_test)] == [400, 100, 400]
    assert torch.bincount(small.y_train).tolist() == [40] * 10
    whole, more = datasets.load("fashion_mnist_sample"), datasets.load("fashion_mnist_sample", n_train=5000)
    assert all(torch.equal(a, b) for a, b in zip(whole[1:7], more[1:7], strict=True))
    for n_train in (2, 100, 1077, 1078, 1079):
        assert len(datasets.load("digits", n_train=n_train).y_train) == n_train
    with pytest.raises(ValueError, match="n_train must be at least 2, not 0"):
        datasets.load("digits", n_train=0)


def test_n_valid_says_how_many_validate():
    images = datasets.load("fashion_mnist_sample", n_train=300, n_valid=100)
    assert [len(y) for y in (images.y_train, images.y_valid, images.y_test)] == [300, 100, 300]
    assert torch.bincount(images.y_train).tolist() == [30] * 10 and torch.bincount(images.y_valid).tolist() == [10] * 10
    few = datasets.load("digits", n_train=1400, n_valid=400)  # 1,438 are not test images
    assert [len(y) for y in (few.y_train, few.y_valid, few.y_test)] == [1038, 400, 359]
    for options in ({"n_valid": 100}, {"n_train": 100, "n_valid": 0}):
        with pytest.raises(ValueError, match="n_valid must be positive and needs n_train"):
            datasets.load("digits", **options)
    with pytest.raises(ValueError, match="digits has too few images"):
        datasets.load("digits", n_train=100, n_valid=1438)


def test_normalisation_constants_are_those_of_the_training_images():
    digits = datasets.load("digits")
    pixels = digits.x_train.double() / 255
    assert digits.mean.item() == pytest.approx(pixels.mean().item(), rel=1e-6)
    assert digits.std.item() == pytest.approx(pixels.std(correction=0).item(), rel=1e-6)


def test_size_and_channels(tmp_path):
    write_npz(tmp_path / "own.npz", np.arange(20) % 2)
    assert datasets.load("own", root=tmp_path, size=4).image_shape == (3, 4, 4)
    assert datasets.load("own", root=tmp_path, size=9).image_shape == (3, 6, 5)  # never enlarged
    with pytest.raises(ValueError, match="size must be a positive number of pixels, not 0"):
        datasets.load("own", root=tmp_path, size=0)
    grey = datasets.load("own", root=tmp_path, channels=1)
    colour = datasets.load("own", root=tmp_path)
    r, g, b = colour.x_train[0, :, 0, 0].tolist()
    assert grey.x_train[0, 0, 0, 0].item() == pytest.approx(0.299 * r + 0.587 * g + 0.114 * b, abs=0.51)
    assert torch.equal(datasets.load("digits", channels=3).x_train[:, 2], datasets.load("digits").x_train[:, 0])


def test_root_defaults_to_gsos_data(tmp_path, monkeypatch):
    write_npz(tmp_path / "mine.npz", np.arange(20) % 2)
    monkeypatch.setenv("GSOS_DATA", str(tmp_path))
    assert datasets.available() == ["digits", "fashion_mnist_sample", "mine"]
    assert datasets.load("mine").name == "mine"


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="unknown dataset 'mnits'; there are digits, fashion_mnist_sample"):
        datasets.load("mnits", root=tmp_path)
    write_npz(tmp_path / "one.npz", np.zeros(20, int), y_test=[0])
    with pytest.raises(ValueError, match="one has images of one class only"):
        datasets.load("one", root=tmp_path)
    whole = write_npz(tmp_path / "cut.npz", np.arange(20) % 2).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.npz is damaged .* remove it and get it again"):
        datasets.load("cut", root=tmp_path)
    write_npz(tmp_path / "flipped.npz", np.arange(20) % 2)
    flipped = bytearray((tmp_path / "flipped.npz").read_bytes())
    flipped[300] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(flipped)
    with pytest.raises(ValueError, match="flipped.npz is damaged"):
        datasets.load("flipped", root=tmp_path)
    np.savez(tmp_path / "lacks.npz", x_train=np.zeros((2, 4, 4, 1), np.uint8))
    with pytest.raises(ValueError, match="lacks.npz is no dataset.*y_train"):
        datasets.load("lacks", root=tmp_path)
    write_npz(tmp_path / "float.npz", np.arange(20) % 2, x_train=np.zeros((20, 4, 4, 1)))
    with pytest.raises(ValueError, match=r"x_train must be uint8 \(N, H, W, 1 or 3\).*not float64"):
        datasets.load("float", root=tmp_path)
    write_npz(tmp_path / "label.npz", np.arange(20) % 2, y_test=[0, 9])
    with pytest.raises(ValueError, match="labels outside of 0..1"):
        datasets.load("label", root=tmp_path)
    write_npz(tmp_path / "label.npz", np.arange(20) % 2 + 0.5)
    with pytest.raises(ValueError, match="y_train must be integers, not float64"):
        datasets.load("label", root=tmp_path)
    write_npz(tmp_path / "shape.npz", np.arange(20) % 2, x_test=np.zeros((2, 9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r"x_test has images of \(9, 9, 3\), x_train of \(6, 5, 3\)"):
        datasets.load("shape", root=tmp_path)
    np.savez(tmp_path / "pickle.npz", x_train=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="pickle.npz"):
        datasets.load("pickle", root=tmp_path)
    write_npz(tmp_path / "tiny.npz", [0, 1])
    with pytest.raises(ValueError, match=r"tiny has too few images \(2\) to have some in each part"):
        datasets.load("tiny", root=tmp_path)
    with pytest.raises(ValueError, match="valid_fraction must lie between"):
        datasets.load("digits", valid_fraction=1.0)
    with pytest.raises(ValueError, match="channels must be 1 or 3, not 2"):
        datasets.load("digits", channels=2)


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """The root of a tiny MNIST in its published files, and its images (40 and 10, of 12 x 10 pixels)."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (n, 12, 10), dtype=np.uint8) for n in (40, 10)]
    files = mnist_files(images[0], np.arange(40) % 10, images[1], np.arange(10))
    publish(monkeypatch, tmp_path, "mnist", files)
    return tmp_path, images


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a[1:7], b[1:7], strict=True)) and a.class_names == b.class_names


def no_parsing(*arguments):
    raise AssertionError("parsed, though it is in the cache")


def kept(root):
    return sorted((root / "cache").glob("*"))


def test_published_files_are_loaded_and_kept(mnist, monkeypatch):
    root, (x_train, x_test) = mnist
    assert "mnist" in datasets.available(root)
    first = datasets.load("mnist", root=root)
    seen = sorted(image.tobytes() for image in torch.cat([first.x_train, first.x_valid]).numpy())
    assert seen == sorted(image.tobytes() for image in x_train)
    assert np.array_equal(first.x_test[:, 0], x_test) and first.y_test.tolist() == list(range(10))
    assert first.image_shape == (1, 12, 10) and first.name == "mnist" and first.class_names == tuple("0123456789")
    monkeypatch.setattr(parsers, "parse", no_parsing)
    assert same(datasets.load("mnist", root=root), first)
    (path,) = kept(root)  # and no unfinished file
    path.rename(root / "copy.npz")  # what is kept has the layout of a dataset of one's own
    assert same(datasets.load("copy", root=root), first)


def test_the_npz_of_a_name_wins_over_its_published_files(mnist):
    root, _ = mnist
    write_npz(root / "mnist.npz", np.arange(20) % 2)
    assert datasets.load("mnist", root=root).image_shape == (3, 6, 5)


def test_what_is_kept_depends_on_size_channels_and_checksum(mnist, monkeypatch):
    root, (x_train, _) = mnist
    plain_one = datasets.load("mnist", root=root)
    small = datasets.load("mnist", root=root, size=6)
    colour = datasets.load("mnist", root=root, size=6, channels=3)
    assert (small.image_shape, colour.image_shape) == ((1, 6, 6), (3, 6, 6)) and len(kept(root)) == 3
    assert all(torch.equal(colour.x_train[:, i], small.x_train[:, 0]) for i in range(3))
    whole = plain_one.x_train.float()
    expected = torch.nn.functional.interpolate(whole, (6, 6), mode="bilinear", antialias=True)
    assert (small.x_train - expected).abs().max() <= 0.5
    again = [datasets.load("mnist", root=root, size=6), datasets.load("mnist", root=root, size=6, channels=3)]
    assert same(again[0], small) and same(again[1], colour) and len(kept(root)) == 3
    publish(monkeypatch, root, "mnist", mnist_files(255 - x_train, np.arange(40) % 10, x_train[:10], np.arange(10)))
    other = datasets.load("mnist", root=root)
    assert torch.equal(other.x_train, 255 - plain_one.x_train) and len(kept(root)) == 4


def test_a_folder_of_images_is_read_again_when_it_changes(tmp_path):
    for name in ("daisy", "rose"):
        (tmp_path / "flowers" / name).mkdir(parents=True)
        for i in range(10):
            (tmp_path / "flowers" / name / f"{i}.png").write_bytes(plain((i, i, i)))
    first = datasets.load("flowers", root=tmp_path, size=4)
    assert first.x_train.max() == 9 and same(datasets.load("flowers", root=tmp_path, size=4), first)
    assert len(kept(tmp_path)) == 1
    (tmp_path / "flowers" / "rose" / "11.png").write_bytes(plain((99, 99, 99)))
    second = datasets.load("flowers", root=tmp_path, size=4)
    assert sum(len(y) for y in second[2:7:2]) == 21 and max(x.max() for x in second[1:7:2]) == 99


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_file_of_the_cache_is_made_again(mnist, damage):
    root, _ = mnist
    first = datasets.load("mnist", root=root)
    (path,) = kept(root)
    content = bytearray(path.read_bytes())
    content[-2000] ^= 0xFF
    path.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    assert not datasets._is_whole(path)
    assert same(datasets.load("mnist", root=root), first) and datasets._is_whole(path)


@pytest.mark.parametrize("reason", ["read-only", "full"])
def test_where_nothing_can_be_kept_it_is_loaded_with_a_warning(mnist, monkeypatch, reason):
    root, (x_train, _) = mnist
    if reason == "read-only":
        (root / "cache").write_text("in the way, as root may write to a folder that is read-only")
        (root / "mnist" / ".lock").mkdir()
    else:

        def write_half(member, *arguments):
            member.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(datasets, "_write_images", write_half)
    for _ in range(2):
        with pytest.warns(UserWarning, match="MNIST cannot be kept in .*cache .*: parsed again next time") as told:
            found = datasets.load("mnist", root=root, size=6)
        assert len(told) == 1 and found.image_shape == (1, 6, 6)
    assert reason == "read-only" or not kept(root)
    whole = datasets._convert(x_train[..., None], 6, None)
    seen = torch.cat([found.x_train, found.x_valid]).numpy()
    assert sorted(map(bytes, seen.reshape(40, -1))) == sorted(map(bytes, whole.reshape(40, -1)))


PROCESS = """
import sys, time
from pathlib import Path
import pooch
from gsos import catalogue, datasets, parsers

root, entry = Path({root!r}), catalogue.entries()["kuzushiji49"]
hashes = ["md5:" + pooch.file_hash(root / "kuzushiji49" / file.name, "md5") for file in entry.files]
files = tuple(file._replace(checksum=hash) for file, hash in zip(entry.files, hashes))
catalogue.entries()["kuzushiji49"] = entry._replace(files=files)
parse = parsers.parse

def slow(*arguments):
    with open(root / "parsed", "a") as file:
        file.write("once ")
    time.sleep(0.5)
    return parse(*arguments)

parsers.parse = slow
(root / sys.argv[1]).touch()
while len(list(root.glob("ready*"))) < 2:
    time.sleep(0.01)
print(datasets.load("kuzushiji49", root=root).x_train.sum().item())
"""


def test_of_two_processes_one_parses(tmp_path, monkeypatch):
    x, y = np.random.default_rng(0).integers(0, 256, (98, 28, 28), dtype=np.uint8), np.arange(98) % 49
    arrays = {"train-imgs": x, "train-labels": y, "test-imgs": x, "test-labels": y}
    publish(monkeypatch, tmp_path, "kuzushiji49", {f"k49-{k}.npz": npz(arr_0=v) for k, v in arrays.items()})
    start = [[sys.executable, "-c", PROCESS.format(root=str(tmp_path)), f"ready{i}"] for i in range(2)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in start]
    said = [process.communicate()[0].strip() for process in running]
    assert said[0] == said[1] == str(datasets.load("kuzushiji49", root=tmp_path).x_train.sum().item())
    assert (tmp_path / "parsed").read_text() == "once "


def test_what_is_kept_takes_little_more_memory_than_it_has_bytes(tmp_path):
    x = np.zeros((3000, 64, 64, 3), np.uint8)
    source = parsers.Source(x, np.arange(3000) % 10, None, None, tuple("abcdefghij"))
    datasets._keep(source, tmp_path / "own.npz", None, None)
    tracemalloc.start()
    try:
        loaded = datasets.load("own", root=tmp_path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(part.nbytes for part in loaded[1:7:2]) == x.nbytes
    assert x.nbytes < most < 2 * x.nbytes


def test_what_is_not_here_is_told_with_the_way_to_get_it(tmp_path):
    with pytest.raises(ValueError) as error:
        datasets.load("mnist", root=tmp_path)
    files = (
        "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz"
    )
    assert str(error.value) == (
        f"MNIST is not here: `gsos data fetch mnist` gets it (12 MB), or put {files} "
        f"from http://yann.lecun.com/exdb/mnist/ into {tmp_path / 'mnist'}"
    )
    with pytest.raises(
        ValueError, match="put archive.zip from https://www.kaggle.com/datasets/alxmamaev/.* into .*flow"
    ):
        datasets.load("flowers", root=tmp_path)
    with pytest.raises(
        ValueError, match="`gsos data fetch` gets cifar10, cifar100, mnist, .*A dataset of your own goes"
    ):
        datasets.load("mnits", root=tmp_path)


def test_a_file_with_another_checksum_is_told(tmp_path):
    (tmp_path / "semeion").mkdir()
    (tmp_path / "semeion" / "semeion.data").write_text("0 1\n")
    with pytest.raises(ValueError, match=r"semeion.data has the md5 \w+, not cb545d37\w+; remove it and get it again"):
        datasets.load("semeion", root=tmp_path)


REAL = catalogue.data_root()


@pytest.mark.parametrize("name", [name for name, e in catalogue.entries().items() if e.obtained != "embedded"])
def test_a_network_learns_something_from_real_images(name):
    if name not in datasets.available(REAL):
        pytest.skip(f"{name} is not in {os.environ.get('GSOS_DATA') or 'data/raw'}, the folder of GSOS_DATA")
    entry = catalogue.entries()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of images that cannot be read, and of a folder that cannot be written
        images = datasets.load(name, root=REAL, n_train=6000, size=32)
    assert images.n_classes == entry.n_classes and images.image_shape[0] == entry.channels
    config = DEFAULTS["hia"] | {"epoch": 2, "lr": 1e-3, "dropout_rate": 0.0}
    record = train(config, images, seed=0, device="cpu")
    chance = torch.bincount(images.y_test).max().item() / len(images.y_test)
    three_standard_errors = 3 * (chance * (1 - chance) / len(images.y_test)) ** 0.5
    assert record.state == "complete" and record.test_accuracy > chance + three_standard_errors
