"""The registry of datasets (data/datasets.yaml): what they are, what of them is here, and how the others are had."""

import math
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml
from filelock import FileLock

from gsos.paths import DATA, ROOT


class File(NamedTuple):
    """A published file; its checksum is "md5:..." or "sha256:...", its size in MB."""

    name: str
    urls: tuple[str, ...]
    checksum: str
    megabytes: float


class Entry(NamedTuple):
    """A row of the registry; its keys are explained at the top of data/datasets.yaml."""

    name: str
    title: str
    papers: tuple[str, ...]
    page: str
    licence: str
    citation: str
    n_train: int
    n_test: int
    n_classes: int
    channels: int
    pixels: int | str
    folder: str
    files: tuple[File, ...]
    kaggle: str | None
    class_folders: tuple[str, ...]

    @property
    def split(self) -> str:
        """Who divided the images in a training and a test part."""
        return "official" if self.n_test else "made here"

    @property
    def obtained(self) -> str:
        """What `fetch` does."""
        return "downloaded" if self.files else "from Kaggle" if self.kaggle else "embedded"


def _entry(name: str, row: dict) -> Entry:
    n_train, n_test = row.pop("images")
    files = tuple(
        File(file, tuple(url + file for url in row["urls"]), *known) for file, known in row.pop("files", {}).items()
    )
    row.pop("urls", None)
    lists = {key: tuple(row.pop(key, ())) for key in ("papers", "class_folders")}
    options = {"folder": row.pop("folder", name), "kaggle": row.pop("kaggle", None)}
    return Entry(
        name, n_train=n_train, n_test=n_test, n_classes=row.pop("classes"), files=files, **lists, **options, **row
    )


@cache
def entries() -> dict[str, Entry]:
    """name -> row of the registry."""
    rows = yaml.safe_load((DATA / "datasets.yaml").read_text(encoding="utf-8"))
    return {name: _entry(name, row) for name, row in rows.items()}


def choose(asked: Iterable[str]) -> list[Entry]:
    """The rows of names and of groups (hia, gsos, hgd), each once. Raises ValueError for another name."""
    registry = entries()
    groups = {paper: [n for n, e in registry.items() if paper in e.papers] for paper in ("hia", "gsos", "hgd")}
    asked = list(asked)
    if unknown := [name for name in asked if name not in registry and name not in groups]:
        raise ValueError(
            f"unknown dataset {unknown[0]!r}; there are {', '.join(registry)}, and the groups {', '.join(groups)}"
        )
    return [registry[n] for n in dict.fromkeys(n for name in asked for n in groups.get(name, [name]))]


def data_root(root: str | Path | None = None) -> Path:
    """The folder of the datasets: `root`, else $GSOS_DATA, else data/raw."""
    return Path(root or os.environ.get("GSOS_DATA") or ROOT / "data" / "raw")


def sources(entry: Entry, root: Path) -> list[Path]:
    """What is here of a dataset as published: its files. Of images in class folders also archives, or the folder."""
    folder = root / entry.folder
    files = [folder / file.name for file in entry.files]
    if files and all(path.is_file() for path in files):
        return files
    if not entry.class_folders:
        return []
    if archives := sorted(path for path in folder.glob("*.zip") if path not in files):
        return archives
    for _, subfolders, _ in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        if not set(entry.class_folders).isdisjoint(subfolders):
            return [folder]
    return []


def where(entry: Entry, root: Path) -> str:
    """Where `gsos.datasets.load` finds a dataset: "embedded", a path, or "" for nowhere."""
    if entry.obtained == "embedded":
        return entry.obtained
    array = root / f"{entry.name}.npz"
    return str(array) if array.is_file() else str(root / entry.folder) if sources(entry, root) else ""


def how_to_get(entry: Entry, root: Path) -> str:
    """What to do to have a dataset that is not here."""
    folder = root / entry.folder
    lacking = [file for file in entry.files if not (folder / file.name).is_file()]
    source = f" ({megabytes(lacking)})" if lacking else " from Kaggle, which may ask for an account"
    by_hand = ", ".join(file.name for file in lacking) or "archive.zip"
    return f"`gsos data fetch {entry.name}` gets it{source}, or put {by_hand} from {entry.page} into {folder}"


def megabytes(files: Iterable[File]) -> str:
    """The size of files in words."""
    return f"{math.ceil(sum(file.megabytes for file in files)):,} MB"


def fetch(entry: Entry, root: Path, *, progress: bool = True) -> bool:
    """Gets a dataset's files to <root>/<folder>; whether it was not there yet. Files that are there are checked.

    Raises ValueError or OSError, saying what to do by hand, when that fails.
    """
    folder, place = root / entry.folder, where(entry, root)
    paths = [folder / file.name for file in entry.files]
    if place and (place != str(folder) or sources(entry, root) != paths):
        return False  # embedded, an .npz, or put there by hand
    if entry.kaggle:
        _fetch_from_kaggle(entry, root)
    for file, path in zip(entry.files, paths, strict=True):
        _download(file, path, progress)
    return not place


def _download(file: File, path: Path, progress: bool) -> None:
    """From the first of the file's addresses that gives it."""
    from gsos.download import download

    for url in file.urls:
        try:
            download(url, path, file.checksum, progress=progress)
            return
        except (OSError, ValueError):
            if url == file.urls[-1]:
                raise


def _fetch_from_kaggle(entry: Entry, root: Path) -> None:
    """Kaggle's archive, unpacked by kagglehub, as <root>/<folder>/kaggle; it appears there when all of it has come."""
    import kagglehub
    from kagglehub import exceptions

    failures = (exceptions.BackendError, exceptions.CredentialError, exceptions.DataCorruptionError)
    failures += (exceptions.NotFoundError, exceptions.UnauthenticatedError, ValueError, OSError)
    folder = root / entry.folder
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if sources(entry, root):
            return  # another process has fetched it meanwhile
        try:
            kagglehub.dataset_download(entry.kaggle, output_dir=str(folder / ".kaggle"), force_download=True)
        except failures as error:
            raise OSError(
                f"Kaggle does not give {entry.title} ({error}). Put archive.zip from {entry.page} into {folder}, or "
                "set KAGGLE_API_TOKEN to a token from https://www.kaggle.com/settings and repeat this"
            ) from error
        os.replace(folder / ".kaggle", folder / "kaggle")


def table(root: str | Path | None = None) -> pd.DataFrame:
    """The registry, a row a dataset, with what of it is in `root`."""
    folder = data_root(root)
    rows = {
        entry.name: {
            "title": entry.title,
            "papers": " ".join(entry.papers),
            "train": entry.n_train,
            "test": entry.n_test,
            "classes": entry.n_classes,
            "pixels": entry.pixels,
            "channels": entry.channels,
            "split": entry.split,
            "licence": entry.licence,
            "obtained": entry.obtained + (f", {megabytes(entry.files)}" if entry.files else ""),
            "here": Path(where(entry, folder)).name,
        }
        for entry in entries().values()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def paper_table(paper: str) -> pd.DataFrame:
    """The real numbers of a paper's datasets in the columns of its Table 2 (`gsos.published`), indexed by name.

    All images with labels count, for training and for testing. Raises ValueError for a paper other than hia and gsos.
    """
    columns = {
        "hia": {"n": "data_amount", "classes": "class_num", "channels": "channel_num", "side": "size"},
        "gsos": {"n": "data_points", "side": "image_dimensions", "classes": "classes", "channels": "color_channels"},
    }
    if paper not in columns:
        raise ValueError(f"paper must be hia or gsos, not {paper!r}: another has no table of datasets")
    times = {"hia": "*", "gsos": "x"}[paper]
    rows = {
        entry.name: {
            "n": entry.n_train + entry.n_test,
            "side": entry.pixels if entry.pixels == "various" else f"{entry.pixels}{times}{entry.pixels}",
            "classes": entry.n_classes,
            "channels": entry.channels,
        }
        for entry in choose([paper])
    }
    return pd.DataFrame.from_dict(rows, orient="index")[list(columns[paper])].rename(columns=columns[paper])
