"""Loading and splitting images."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gsos import datasets
from gsos.paths import DATA

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
