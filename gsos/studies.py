"""What a notebook asks for: the records of a study at a profile's sizes, stored ones read and missing ones trained."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from gsos import published, records
from gsos.paths import DATA, RUNS
from gsos.space import DEFAULTS, SPACES, divide_epochs


def hia_records(
    profile: str,
    size: Mapping[str, object],
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
) -> pd.DataFrame:
    """The records of HIA's study at a profile's sizes (`profiles.sizes`): what is stored, and what is missing trained.

    "recorded" trains nothing and reads data/records/hia; "workstation" and "paper" take up what is committed there.
    Running studies live in runs/<profile>, where the records are also written to records/hia.parquet.
    """
    if profile == "recorded":
        return _recorded("hia", size)
    from gsos.collect import collect  # with PyTorch, which reading records does not need
    from gsos.datasets import load

    options = {"study": size["study"], "workers": workers, "device": device, "seed": seed}
    options |= {"store": RUNS / profile / "trials.journal", "committed": _committed("hia", profile)}
    published_amounts = published.table("hia_figure_2").set_index("name").amount
    frames = []
    for name in size["datasets"]:
        images = load(name, n_train=size["n_train"], size=size["image_size"], seed=seed)
        n = int(published_amounts.get(name, 1000)) if size["n_models"] is None else size["n_models"]
        frames.append(collect(images, n, **options))
    return _export(frames, "hia", profile)


def gsos_records(
    profile: str,
    size: Mapping[str, object],
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
) -> pd.DataFrame:
    """The records of GSOS's study at a profile's sizes, read and trained as in `hia_records`."""
    if profile == "recorded":
        return _recorded("gsos", size)
    from gsos.datasets import load
    from gsos.tuning import run_strategies

    options = {"study": size["study"], "workers": workers, "device": device, "seed": seed}
    options |= {"store": RUNS / profile / "trials.journal", "committed": _committed("gsos", profile)}
    space, defaults = divide_epochs(SPACES["gsos"], DEFAULTS["gsos"], size["epoch_divisor"])
    options |= {"space": space, "defaults": defaults, "n_iterations": size["n_iterations"]}
    frames = []
    for name in size["datasets"]:
        images = load(name, n_train=size["n_train"], size=size["image_size"], seed=seed)
        frames.append(run_strategies(size["strategies"], images, rounds=range(size["n_rounds"]), **options))
    return _export(frames, "gsos", profile)


def _recorded(kind: str, size: Mapping[str, object]) -> pd.DataFrame:
    return records.select(records.load(DATA / "records" / kind), size["study"], size["datasets"])


def _committed(kind: str, profile: str) -> Path | None:
    return DATA / "records" / kind if profile in ("workstation", "paper") else None


def _export(frames: list[pd.DataFrame], kind: str, profile: str) -> pd.DataFrame:
    frame = records.concat(frames)
    records.export(frame, RUNS / profile / "records" / f"{kind}.parquet")
    return frame
