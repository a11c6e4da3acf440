"""Every published format, on tiny files that the tests write: pixels and labels come back as they were written."""

import os
import pickle
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_datasets import (
    cifar_tar,
    emnist_zip,
    huge_png,
    libsvm_bz2,
    md5,
    mnist_files,
    npz,
    picture,
    plain,
    publish,
    semeion_text,
    stl10_bin,
    svhn_mat,
    tar_of,
    zip_of,
)

from gsos import catalogue, parsers
from gsos.vision import torchvision

RNG = np.random.default_rng(0)


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def parsed(entry, root, size=None):
    return parsers.parse(entry, catalogue.sources(entry, root), root / entry.folder, size)


def assert_is(source, x_train, y_train, x_test, y_test, class_names=None):
    for found, expected in zip(source[:4], (x_train, y_train, x_test, y_test), strict=True):
        assert np.array_equal(found, expected)
        assert found.shape == np.shape(expected)
    assert source.x_train.dtype == np.uint8 and source.y_train.dtype == source.y_test.dtype == np.int64
    assert class_names is None or source.class_names == tuple(class_names)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kuzushiji_mnist10"])
def test_idx(name, tmp_path, monkeypatch):
    arrays = pixels(6, 5, 4), np.arange(6), pixels(3, 5, 4), np.array([9, 0, 4])
    source = parsed(publish(monkeypatch, tmp_path, name, mnist_files(*arrays)), tmp_path)
    assert_is(source, arrays[0][..., None], arrays[1], arrays[2][..., None], arrays[3])
    ninth = {"mnist": "9", "fashion_mnist": "Ankle boot", "kuzushiji_mnist10": "wo"}
    assert len(source.class_names) == 10 and source.class_names[9] == ninth[name]
    left = {path.name for path in (tmp_path / name).iterdir()}
    assert left == set(mnist_files(*arrays))  # nothing unpacked stays


def test_emnist_is_turned_upright_and_letters_count_from_zero(tmp_path, monkeypatch):
    upright, upright_test = pixels(6, 5, 4), pixels(2, 5, 4)
    stored = upright.transpose(0, 2, 1), upright_test.transpose(0, 2, 1)
    balanced = emnist_zip("balanced", stored[0], [0, 46, 10, 11, 35, 36], stored[1], [1, 2])
    source = parsed(publish(monkeypatch, tmp_path, "emnist", {"gzip.zip": balanced}), tmp_path)
    assert_is(source, upright[..., None], [0, 46, 10, 11, 35, 36], upright_test[..., None], [1, 2])
    assert "".join(source.class_names) == "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
    letters = emnist_zip("letters", stored[0], [1, 26, 2, 3, 4, 5], stored[1], [1, 2])
    entry = publish(monkeypatch, tmp_path, "emnist_letters", {"gzip.zip": letters})
    assert entry.folder == "emnist"  # one download for both
    source = parsed(entry, tmp_path)
    assert_is(
        source, upright[..., None], [0, 25, 1, 2, 3, 4], upright_test[..., None], [0, 1], "abcdefghijklmnopqrstuvwxyz"
    )


@pytest.mark.parametrize(
    ("name", "kind", "folder", "labels", "names", "meta"),
    [
        ("cifar10", "CIFAR10", "cifar-10-batches-py", "labels", "label_names", "batches.meta"),
        ("cifar100", "CIFAR100", "cifar-100-python", "fine_labels", "fine_label_names", "meta"),
    ],
)
def test_cifar(name, kind, folder, labels, names, meta, tmp_path, monkeypatch):
    kind = getattr(torchvision.datasets, kind)
    parts = {file: (pixels(2, 32, 32, 3), [i % 10, 3]) for i, (file, _) in enumerate(kind.train_list + kind.test_list)}
    batches = {f: {"data": x.transpose(0, 3, 1, 2).reshape(2, -1), labels: y} for f, (x, y) in parts.items()}
    tar, files = cifar_tar(folder, batches, {meta: {names: ["cat", "dog"]}})
    for which in ("train_list", "test_list"):
        monkeypatch.setattr(kind, which, [[file, md5(files[file])] for file, _ in getattr(kind, which)])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(files[meta])})
    entry = publish(monkeypatch, tmp_path, name, {kind.filename: tar})
    *train, test = parts.values()
    x_train, y_train = np.concatenate([x for x, _ in train]), np.concatenate([y for _, y in train])
    assert_is(parsed(entry, tmp_path), x_train, y_train, *test, ("cat", "dog"))


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_whose_archive_has_another_checksum_is_not_read(tmp_path, monkeypatch):
    trap = tmp_path / "sprung"
    names = [file for file, _ in torchvision.datasets.CIFAR10.train_list + torchvision.datasets.CIFAR10.test_list]
    tar = tar_of({f"cifar-10-batches-py/{file}": pickle.dumps(Trap(str(trap))) for file in names})
    entry = publish(monkeypatch, tmp_path, "cifar10", {"cifar-10-python.tar.gz": tar})
    real = entry._replace(files=(entry.files[0]._replace(checksum="md5:c58f30108f718f92721af3b95e74349a"),))
    with pytest.raises(
        ValueError, match=r"cifar-10-python.tar.gz has the md5 \w+, not c58f.*; remove it and get it again"
    ):
        parsed(real, tmp_path)
    assert not trap.exists() and not list((tmp_path / "cifar10").glob(".unpacked*"))


def test_svhn(tmp_path, monkeypatch):
    arrays = pixels(5, 32, 32, 3), [1, 0, 9, 5, 0], pixels(2, 32, 32, 3), [0, 7]
    files = {"train_32x32.mat": svhn_mat(*arrays[:2]), "test_32x32.mat": svhn_mat(*arrays[2:])}
    changed = {k: [url, file, md5(files[file])] for k, (url, file, _) in torchvision.datasets.SVHN.split_list.items()
               if file in files}  # fmt: skip
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", changed)
    assert_is(parsed(publish(monkeypatch, tmp_path, "svhn", files), tmp_path), *arrays, "0123456789")


def test_stl10_without_its_unlabelled_images(tmp_path, monkeypatch):
    kind = torchvision.datasets.STL10
    x_train, x_test, names = pixels(3, 96, 96, 3), pixels(2, 96, 96, 3), ["airplane", "bird", "car"]
    files = {"train_X.bin": stl10_bin(x_train), "train_y.bin": bytes([1, 3, 2])}
    files |= {
        "test_X.bin": stl10_bin(x_test),
        "test_y.bin": bytes([2, 1]),
        "class_names.txt": "\n".join(names).encode(),
    }
    for which in ("train_list", "test_list"):
        known = [[file, md5(files.get(file, b""))] for file, _ in getattr(kind, which)]
        monkeypatch.setattr(kind, which, known)
    tar = tar_of({f"stl10_binary/{name}": content for name, content in files.items()})
    entry = publish(monkeypatch, tmp_path, "stl10", {"stl10_binary.tar.gz": tar})
    assert_is(parsed(entry, tmp_path), x_train, [0, 2, 1], x_test, [1, 0], names)


def test_usps(tmp_path, monkeypatch):
    levels = pixels(5, 16, 16, 1)
    levels[0, 0, 0, 0], levels[0, 0, 1, 0] = 0, 255
    values = (levels.reshape(5, 256) + 0.5) / 127.5 - 1  # in the middle, since torchvision rounds down
    values[0, :2] = -1, 1
    files = {"usps.bz2": libsvm_bz2(values[:3], [0, 9, 4]), "usps.t.bz2": libsvm_bz2(values[3:], [1, 2])}
    entry = publish(monkeypatch, tmp_path, "usps", files)
    assert_is(parsed(entry, tmp_path), levels[:3], [0, 9, 4], levels[3:], [1, 2], "0123456789")


def test_semeion(tmp_path, monkeypatch):
    binary = RNG.integers(0, 2, (4, 256))
    text = semeion_text(binary, [3, 0, 9, 3])
    monkeypatch.setattr(torchvision.datasets.SEMEION, "md5_checksum", md5(text))
    source = parsed(publish(monkeypatch, tmp_path, "semeion", {"semeion.data": text}), tmp_path)
    assert np.array_equal(source.x_train, 255 * binary.reshape(4, 16, 16, 1)) and source.x_train.dtype == np.uint8
    assert source.y_train.tolist() == [3, 0, 9, 3] and source.x_test is source.y_test is None


def test_kuzushiji49(tmp_path, monkeypatch):
    arrays = pixels(4, 28, 28), np.array([0, 48, 44, 2], np.uint8), pixels(2, 28, 28), np.array([1, 0], np.uint8)
    names = ("train-imgs", "train-labels", "test-imgs", "test-labels")
    files = {f"k49-{name}.npz": npz(arr_0=array) for name, array in zip(names, arrays, strict=True)}
    source = parsed(publish(monkeypatch, tmp_path, "kuzushiji49", files), tmp_path)
    assert_is(source, arrays[0][..., None], arrays[1], arrays[2][..., None], arrays[3])
    assert len(set(source.class_names)) == 49
    assert [source.class_names[i] for i in (0, 43, 44, 45, 46, 47, 48)] == list("あわゐゑをんゝ")


def test_kuzushiji49_reads_no_pickles(tmp_path, monkeypatch):
    names = [file.name for file in catalogue.entries()["kuzushiji49"].files]
    trap = np.array([Trap(str(tmp_path / "sprung"))], dtype=object)
    entry = publish(monkeypatch, tmp_path, "kuzushiji49", {name: npz(arr_0=trap) for name in names})
    with pytest.raises(ValueError, match="k49-train-imgs.npz is damaged .*allow_pickle"):
        parsed(entry, tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_eurosat_is_a_zip_of_jpegs_in_class_folders(tmp_path, monkeypatch):
    names = catalogue.entries()["eurosat"].class_folders
    colours = [(20 * i, 200 - 10 * i, 90) for i in range(10)]
    files = {
        f"2750/{n}/{n}_{k}.jpg": plain(c, (64, 64), "JPEG") for n, c in zip(names, colours, strict=True) for k in (1, 2)
    }
    source = parsed(publish(monkeypatch, tmp_path, "eurosat", {"EuroSAT.zip": zip_of(files)}), tmp_path)
    assert source.x_train.shape == (20, 64, 64, 3) and source.x_test is None and source.class_names == names
    assert source.y_train.tolist() == sorted([*range(10), *range(10)])
    expected = np.array(colours)[source.y_train][:, None, None]
    assert np.abs(source.x_train.astype(int) - expected).max() <= 2  # JPEG keeps a plain colour nearly


def rps_zips():
    train = {
        f"rps/{name}/{name}{i}.png": plain((10 * c, i, 0))
        for c, name in enumerate(("rock", "paper", "scissors"))
        for i in (1, 2)
    }
    test = {"rps-test-set/paper/t.png": plain((1, 2, 3)), "rps-test-set/rock/t.png": plain((4, 5, 6))}
    return {"rps.zip": zip_of(train | {"rps/README.txt": b"no image"}), "rps-test-set.zip": zip_of(test)}


def assert_is_rps(source):
    assert source.class_names == ("paper", "rock", "scissors")
    assert source.y_train.tolist() == [0, 0, 1, 1, 2, 2] and source.y_test.tolist() == [0, 1]
    assert source.x_train[:, 0, 0].tolist() == [[10, 1, 0], [10, 2, 0], [0, 1, 0], [0, 2, 0], [20, 1, 0], [20, 2, 0]]
    assert source.x_test[:, 7, 7].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_rock_paper_scissors_as_published_and_unpacked(tmp_path, monkeypatch):
    entry = publish(monkeypatch, tmp_path, "rock_paper_scissors", rps_zips())
    assert_is_rps(parsed(entry, tmp_path))
    for name in rps_zips():
        parsers.unpack(tmp_path / entry.folder / name, tmp_path / "by_hand" / entry.folder / name)
    assert_is_rps(parsed(entry, tmp_path / "by_hand"))


def test_kaggles_archive_and_its_folder(tmp_path):
    files = {"seg_train/seg_train/sea/1.jpg": plain((0, 0, 9)), "seg_train/seg_train/forest/1.jpg": plain((0, 9, 0))}
    files |= {"seg_test/seg_test/sea/2.jpg": plain((0, 0, 8)), "seg_pred/seg_pred/3.jpg": plain((7, 7, 7))}
    files |= {"__MACOSX/seg_train/seg_train/sea/._1.jpg": b"\0\5\x16\7", "seg_train/seg_train/sea/.hidden.jpg": b""}
    entry = catalogue.entries()["intel_natural_scene"]
    folder = tmp_path / entry.folder
    folder.mkdir()
    (folder / "archive.zip").write_bytes(zip_of(files))
    for _ in ("archive", "folder"):
        source = parsed(entry, tmp_path)
        assert source.x_train[:, 0, 0].tolist() == [[0, 9, 0], [0, 0, 9]] and source.y_train.tolist() == [1, 4]
        assert source.x_test[:, 0, 0].tolist() == [[0, 0, 8]] and source.y_test.tolist() == [4]
        if (folder / "archive.zip").exists():
            parsers.unpack(folder / "archive.zip", folder / "kaggle")
            (folder / "archive.zip").unlink()


def test_images_that_an_archive_has_twice_count_once(tmp_path):
    entry = catalogue.entries()["flowers"]
    for place in ("flowers/tulip", "flowers/rose", "flowers/flowers/tulip", "flowers/flowers/rose"):
        (tmp_path / entry.folder / place).mkdir(parents=True)
        (tmp_path / entry.folder / place / "a.png").write_bytes(plain((1, 1, 1)))
    assert parsed(entry, tmp_path).y_train.tolist() == [2, 4]


ODD = {
    "colour": (picture(np.full((8, 8, 3), (200, 100, 50), np.uint8)), (200, 100, 50)),
    "grey": (picture(np.full((8, 8), 77, np.uint8)), (77, 77, 77)),
    "16 bits": (picture(np.full((8, 8), 257 * 99, np.uint16)), (99, 99, 99)),
    "half transparent": (picture(np.full((8, 8, 4), (0, 100, 200, 51), np.uint8)), (204, 224, 244)),  # 1/5 on white
    "transparent": (picture(np.zeros((8, 8, 4), np.uint8)), (255, 255, 255)),
    "bitmap": (picture(np.ones((8, 8), bool)), (255, 255, 255)),
}


def palette_png():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return image


def test_odd_images_become_rgb(tmp_path):
    entry, folder = catalogue.entries()["dog_cat"], tmp_path / "dog_cat" / "PetImages"
    for name in ("Cat", "Dog"):
        (folder / name).mkdir(parents=True)
    for i, (content, _) in enumerate(ODD.values()):
        (folder / "Cat" / f"{i}.png").write_bytes(content)
    palette_png().save(folder / "Dog" / "palette.png")
    palette_png().save(folder / "Dog" / "transparent_palette.png", transparency=1)
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(folder / "Dog" / "cmyk.jpg")
    source = parsed(entry, tmp_path)
    colours = dict(zip((*ODD, "cmyk", "palette", "transparent palette"), source.x_train[:, 3, 3].tolist(), strict=True))
    assert colours == {name: list(colour) for name, (_, colour) in ODD.items()} | {
        "cmyk": [0, 0, 0], "palette": [10, 20, 30], "transparent palette": [255, 255, 255]}  # fmt: skip
    assert source.y_train.tolist() == [0] * 6 + [1] * 3


def test_images_that_cannot_be_read_are_left_out_and_named(tmp_path):
    good = plain((1, 2, 3), (9, 9), "JPEG")
    files = {"PetImages/Cat/0.jpg": good, "PetImages/Cat/666.jpg": b"", "PetImages/Cat/cut.jpg": good[: len(good) // 2]}
    files |= {"PetImages/Dog/0.jpg": good, "PetImages/Dog/huge.png": huge_png(), "PetImages/Dog/Thumbs.db": b"\0"}
    files |= {"PetImages/Dog/large.png": huge_png(11_000), "PetImages/Dog/empty.png": huge_png(9)}
    folder = tmp_path / "dog_cat"
    folder.mkdir()
    (folder / "archive.zip").write_bytes(zip_of(files))
    names = r"Cat/666.jpg, Cat/cut.jpg, Dog/empty.png, Dog/huge.png, Dog/large.png$"
    with pytest.warns(UserWarning, match=rf"5 of 7 images cannot be read and are left out: {names}") as told:
        source = parsed(catalogue.entries()["dog_cat"], tmp_path, size=9)
    assert len(told) == 1 and source.y_train.tolist() == [0, 1]
    assert np.abs(source.x_train.astype(int) - (1, 2, 3)).max() <= 2


def test_many_sizes_are_brought_to_one_antialiased(tmp_path):
    entry, folder = catalogue.entries()["flowers"], tmp_path / "flowers" / "flowers"
    large, small = pixels(40, 24, 3), pixels(6, 10, 3)
    for name, image in (("daisy", large), ("rose", small)):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.png").write_bytes(picture(image))
    with pytest.raises(ValueError, match=r"Flowers .* has images of 2 sizes, from \(10, 6\) to \(24, 40\).* size=64"):
        parsed(entry, tmp_path)
    source = parsed(entry, tmp_path, size=8)
    assert source.x_train.shape == (2, 8, 8, 3)
    for found, image in zip(source.x_train, (large, small), strict=True):
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        expected = torch.nn.functional.interpolate(x, (8, 8), mode="bilinear", antialias=True)[0].permute(1, 2, 0)
        assert np.abs(found - expected.numpy()).max() <= 1  # Pillow rounds after each direction


def test_images_of_one_size_stay_as_they_are_where_size_allows_it(tmp_path):
    image, folder = pixels(6, 10, 3), tmp_path / "flowers" / "rose"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(picture(image))
    entry = catalogue.entries()["flowers"]
    assert np.array_equal(parsed(entry, tmp_path).x_train, image[None])
    assert np.array_equal(parsed(entry, tmp_path, size=10).x_train, image[None])
    assert parsed(entry, tmp_path, size=9).x_train.shape == (1, 9, 9, 3)


def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path, monkeypatch):
    files = {"rps/rock/a.png": plain((1, 1, 1)), "../../../escaped.png": plain((2, 2, 2))}
    zips = {"rps.zip": zip_of(files), "rps-test-set.zip": zip_of({})}
    entry = publish(monkeypatch, tmp_path / "root", "rock_paper_scissors", zips)
    with pytest.raises(ValueError, match=r"rps.zip is refused"):
        parsed(entry, tmp_path / "root")
    assert not list(tmp_path.rglob("escaped.png"))
    assert sorted(os.listdir(tmp_path / "root" / entry.folder)) == ["rps-test-set.zip", "rps.zip"]


def test_folders_without_images_are_named(tmp_path):
    (tmp_path / "flowers" / "rose").mkdir(parents=True)
    entry = catalogue.entries()["flowers"]
    with pytest.raises(ValueError, match="Flowers Recognition: no images in folders named daisy, dandelion, rose"):
        parsed(entry, tmp_path)
    (tmp_path / "flowers" / "rose" / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="none of 1 images can be read"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed(entry, tmp_path, size=8)


def test_what_a_killed_process_left_is_removed_and_a_folder_need_not_be_writable(tmp_path, monkeypatch):
    entry = publish(monkeypatch, tmp_path, "rock_paper_scissors", rps_zips())
    left = tmp_path / entry.folder / ".unpacked-abc" / "rps"
    left.mkdir(parents=True)
    files = catalogue.sources(entry, tmp_path)
    assert_is_rps(parsers.parse(entry, files, tmp_path / entry.folder))
    assert not left.parent.exists()
    assert_is_rps(parsers.parse(entry, files, tmp_path / "is not there"))


def test_an_npz_in_fortran_order_is_read_as_any_other(tmp_path):
    x = np.asfortranarray(pixels(7, 5, 4, 3))
    labels = {"y_train": np.arange(7), "y_test": np.zeros(0, int), "class_names": np.array(list("abcdefg"))}
    np.savez(tmp_path / "own.npz", x_train=x, x_test=x[:0], **labels)
    source = parsers.read_npz(tmp_path / "own.npz")
    assert np.array_equal(np.concatenate(list(parsers.chunks(source.x_train))), x)
