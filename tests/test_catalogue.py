"""The registry: its facts agree with their sources, and what is not here is fetched, or said how to get."""

import os
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import kagglehub
import numpy as np
import pytest
from kagglehub.exceptions import UnauthenticatedError
from tiny_datasets import md5, npz, plain
from typer.testing import CliRunner

from gsos import catalogue, datasets, download, parsers, published
from gsos.cli import app
from gsos.vision import torchvision

ENTRIES = catalogue.entries()
TORCHVISION = torchvision.datasets


def torchvision_files():
    """dataset -> file -> (addresses, MD5 sum), as torchvision has them."""
    for name, kind in {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "stl10": "STL10"}.items():
        kind = getattr(TORCHVISION, kind)
        yield name, kind.filename, {kind.url}, kind.tgz_md5
    for name, kind in {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kuzushiji_mnist10": "KMNIST"}.items():
        kind = getattr(TORCHVISION, kind)
        for file, known in kind.resources:
            yield name, file, {f"{mirror}{file}" for mirror in kind.mirrors}, known
    for name in ("emnist", "emnist_letters"):
        yield name, "gzip.zip", {TORCHVISION.EMNIST.url}, TORCHVISION.EMNIST.md5
    for name in ("svhn", "usps"):
        for part in ("train", "test"):
            url, file, known = getattr(TORCHVISION, name.upper()).split_list[part]
            yield name, file, {url}, known
    yield "semeion", "semeion.data", {TORCHVISION.SEMEION.url}, TORCHVISION.SEMEION.md5_checksum


def test_addresses_and_checksums_are_those_of_torchvision():
    seen = {}
    for name, file, urls, known in torchvision_files():
        (found,) = [f for f in ENTRIES[name].files if f.name == file]
        assert found.checksum == f"md5:{known}" and found.urls[0] in urls
        seen.setdefault(name, []).append(file)
    for name, files in seen.items():
        assert files == [file.name for file in ENTRIES[name].files]


def test_every_row_is_whole():
    for name, entry in ENTRIES.items():
        assert entry.title and entry.licence and re.search(r"\((19|20)\d\d\)", entry.citation), name
        assert re.match("https?://", entry.page) and entry.channels in (1, 3) and entry.n_classes >= 2
        assert entry.class_folders == tuple(sorted(entry.class_folders))
        assert len(entry.class_folders) in (0, entry.n_classes)
        assert entry.pixels == "various" or entry.pixels in range(8, 301)
        assert [entry.obtained == "embedded", bool(entry.files), bool(entry.kaggle)].count(True) == 1
        assert (name in datasets.EMBEDDED) == (entry.obtained == "embedded")
        assert (name in parsers.PARSERS) + bool(entry.class_folders) + (name in datasets.EMBEDDED) == 1, name
        for file in entry.files:
            assert re.fullmatch("md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.checksum) and file.megabytes > 0
            assert all(url.endswith(f"/{file.name}") for url in file.urls)


@pytest.mark.parametrize("name", datasets.EMBEDDED)
def test_the_embedded_ones_are_as_the_registry_says(name):
    entry, images = ENTRIES[name], datasets.load(name)
    assert images.image_shape == (entry.channels, entry.pixels, entry.pixels) and images.n_classes == entry.n_classes
    n_test = entry.n_test or len(images.y_test)
    assert len(images.y_test) == n_test
    assert sum(map(len, images[2:7:2])) == entry.n_train + entry.n_test


def test_groups_are_the_datasets_of_the_papers_tables():
    for paper in ("hia", "gsos"):
        assert [entry.name for entry in catalogue.choose([paper])] == list(published.table(f"{paper}_table_2").name)
    assert [entry.name for entry in catalogue.choose(["hgd"])] == ["cifar10", "cifar100"]
    assert [entry.name for entry in catalogue.choose(["mnist", "hgd", "cifar10"])] == ["mnist", "cifar10", "cifar100"]
    with pytest.raises(
        ValueError, match="unknown dataset 'mnits'; there are cifar10, .*, and the groups hia, gsos, hgd"
    ):
        catalogue.choose(["mnist", "mnits"])


def test_where_the_papers_tables_differ_from_the_real_numbers():
    differing = {}
    for paper in ("hia", "gsos"):
        real = catalogue.paper_table(paper)
        printed = published.table(f"{paper}_table_2").set_index("name")[list(real.columns)]
        changed = real.astype(str) != printed.astype(str)
        differing |= {name: set(changed.columns[row]) for name, row in changed.iterrows() if row.any()}
    assert differing == {
        "eurosat": {"data_amount"},  # 37,000 printed
        "semeion": {"channel_num"},  # binary images
        "ahe": {"data_points", "image_dimensions", "classes"},  # four of ten classes
        "intel_natural_scene": {"data_points"},  # with the images that have no labels
        "dog_cat": {"image_dimensions"},
        "flowers": {"data_points", "image_dimensions"},
    }
    with pytest.raises(ValueError, match="paper must be hia or gsos, not 'hgd'"):
        catalogue.paper_table("hgd")


def test_the_table_says_what_is_here(tmp_path, monkeypatch):
    (tmp_path / "usps.npz").touch()
    (tmp_path / "semeion").mkdir()
    (tmp_path / "semeion" / "semeion.data").touch()
    (tmp_path / "flowers" / "deeper" / "rose").mkdir(parents=True)
    (tmp_path / "svhn").mkdir()
    (tmp_path / "svhn" / "train_32x32.mat").touch()  # one of two
    (tmp_path / "rock_paper_scissors").mkdir()
    (tmp_path / "rock_paper_scissors" / "rps.zip").touch()  # one of two
    monkeypatch.setenv("GSOS_DATA", str(tmp_path))
    table = catalogue.table()
    here = {"usps": "usps.npz", "semeion": "semeion", "flowers": "flowers"} | dict.fromkeys(
        datasets.EMBEDDED, "embedded"
    )
    assert table.here[table.here != ""].to_dict() == here
    assert table.loc["svhn", ["train", "test", "classes", "pixels"]].tolist() == [73257, 26032, 10, 32]
    assert table.obtained[["svhn", "flowers", "digits"]].tolist() == ["downloaded, 247 MB", "from Kaggle", "embedded"]
    said = CliRunner().invoke(app, ["data", "list"]).output
    for name, entry in ENTRIES.items():
        assert re.search(rf"^{name} .*{re.escape(entry.licence)}", said, re.M), name


@pytest.fixture
def kuzushiji49(tmp_path, monkeypatch):
    """The root for a tiny Kuzushiji-49 that a server on this machine publishes, and its images."""
    site = tmp_path / "site"
    site.mkdir()
    x, y = np.random.default_rng(0).integers(0, 256, (98, 28, 28), dtype=np.uint8), np.arange(98) % 49
    arrays = {"train-imgs": x, "train-labels": y, "test-imgs": x[:49], "test-labels": y[:49]}
    for name, array in arrays.items():
        (site / f"k49-{name}.npz").write_bytes(npz(arr_0=array))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    files = tuple(
        file._replace(urls=(f"{address}/gone/{file.name}", f"{address}/{file.name}"),
                      checksum=f"md5:{md5((site / file.name).read_bytes())}")
        for file in ENTRIES["kuzushiji49"].files
    )  # fmt: skip
    registry = ENTRIES | {"kuzushiji49": ENTRIES["kuzushiji49"]._replace(files=files)}
    monkeypatch.setattr(catalogue, "entries", lambda: registry)
    yield tmp_path / "root", x
    server.shutdown()
    server.server_close()


def test_fetched_by_the_command_line_and_loaded(kuzushiji49):
    root, x = kuzushiji49
    command = ["data", "fetch", "kuzushiji49", "digits", "--root", str(root)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "kuzushiji49: Kuzushiji-49, 75 MB; licence: CC BY-SA 4.0; cite Clanuwat" in done.output
    assert f"kuzushiji49 fetched: {root / 'kuzushiji49'}" in done.output and "digits is here already" in done.output
    images = datasets.load("kuzushiji49", root=root)
    assert images.n_classes == 49 and np.array_equal(images.x_test[:, 0], x[:49])
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and "kuzushiji49 is here already" in done.output
    path = root / "kuzushiji49" / "k49-test-imgs.npz"
    path.write_bytes(path.read_bytes()[:-1])
    done = CliRunner().invoke(app, command)  # what is there is checked
    assert done.exit_code == 1 and "k49-test-imgs.npz has the checksum" in done.output


def test_one_that_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    asked = []

    def dead_server(url, path, checksum, *, progress):
        asked.append(url)
        raise OSError(f"{path.name} could not be downloaded from {url}")

    monkeypatch.setattr(download, "download", dead_server)
    done = CliRunner().invoke(app, ["data", "fetch", "mnist", "digits", "usps", "--root", str(tmp_path)])
    assert done.exit_code == 1 and "Traceback" not in done.output
    assert "digits is here already" in done.output and "2 of 3 failed: mnist, usps" in done.output
    first = ENTRIES["mnist"].files[0]
    assert asked[:3] == [
        *first.urls,
        ENTRIES["usps"].files[0].urls[0],
    ]  # each address of the first file, no second file


def test_what_is_used_already_is_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "download", None)
    monkeypatch.setattr(kagglehub, "dataset_download", None)
    (tmp_path / "mnist.npz").touch()
    for name, folder in (("rock_paper_scissors", "rps/rock"), ("flowers", "flowers/rose")):
        (tmp_path / name / folder).mkdir(parents=True)
    (tmp_path / "ahe").mkdir()
    (tmp_path / "ahe" / "archive.zip").touch()
    for name in ("mnist", "rock_paper_scissors", "flowers", "ahe"):
        assert not catalogue.fetch(ENTRIES[name], tmp_path)


def test_from_kaggle_it_appears_when_all_has_come(tmp_path, monkeypatch):
    entry, folder = ENTRIES["flowers"], tmp_path / "flowers"

    def kaggle(fault):
        def download_and_unpack(handle, output_dir, force_download):
            assert handle == "alxmamaev/flowers-recognition" and force_download
            for i, name in enumerate(entry.class_folders):
                os.makedirs(f"{output_dir}/flowers/{name}", exist_ok=True)
                for k in range(4):
                    with open(f"{output_dir}/flowers/{name}/{k}.png", "wb") as file:
                        file.write(plain((i, k, 0)))
                assert not catalogue.sources(entry, tmp_path)
                if fault and i == 2:
                    raise fault

        monkeypatch.setattr(kagglehub, "dataset_download", download_and_unpack)

    for fault in (UnauthenticatedError(), ConnectionError("dropped"), ValueError("Invalid Kaggle credentials file")):
        kaggle(fault)
        with pytest.raises(
            OSError, match=r"Kaggle does not give Flowers Recognition \(.*Put archive.zip from https"
        ) as e:
            catalogue.fetch(entry, tmp_path)
        assert entry.page in str(e.value) and str(folder) in str(e.value) and "KAGGLE_API_TOKEN" in str(e.value)
        assert not catalogue.where(entry, tmp_path)
    kaggle(None)
    assert catalogue.fetch(entry, tmp_path) and not catalogue.fetch(entry, tmp_path)
    assert datasets.load("flowers", root=tmp_path).n_classes == 5
    assert {path.name for path in folder.iterdir()} == {".lock", "kaggle"}
