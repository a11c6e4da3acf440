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


def hgd_records(
    profile: str,
    size: Mapping[str, object],
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
) -> pd.DataFrame:
    """The reports of HGD's study at a profile's sizes (`experiments.COLUMNS`), read and trained as in `hia_records`.

    30 % of the training images validate (HGD 5); where a dataset has no test part, as many are set aside and not used.
    The runs of a case study have their own seeds, which all algorithms and variants share.

    Raises ValueError where there are not as many cases as datasets.
    """
    from gsos import experiments

    if profile == "recorded":
        return records.select(experiments.load(DATA / "records" / "hgd"), size["study"], size["datasets"])
    from gsos.datasets import load
    from gsos.evaluation import study_seed
    from gsos.schedulers import Experiment

    if len(size["cases"]) != len(size["datasets"]):
        raise ValueError(f"CASES must name one case study a dataset, not {size['cases']} for {size['datasets']}")
    images = {name: load(name, n_train=size["n_train"], valid_fraction=0.3, seed=seed) for name in size["datasets"]}
    planned = [
        Experiment(case, dataset, algorithm, variant, run, size["budget"], size["max_epochs"], size["width_divisor"],
                   study_seed(seed, case, dataset, f"run {run}"))
        for case, dataset in zip(size["cases"], size["datasets"], strict=True)
        for run in range(size["n_runs"])
        for algorithm in size["algorithms"]
        for variant in size["variants"]
    ]  # fmt: skip
    options = {"study": size["study"], "workers": workers, "device": device, "committed": _committed("hgd", profile)}
    frame = experiments.run_experiments(planned, images, store=RUNS / profile / "hgd", **options)
    records.export(frame, RUNS / profile / "records" / "hgd.parquet")
    return frame


def _recorded(kind: str, size: Mapping[str, object]) -> pd.DataFrame:
    return records.select(records.load(DATA / "records" / kind), size["study"], size["datasets"])


def _committed(kind: str, profile: str) -> Path | None:
    return DATA / "records" / kind if profile in ("workstation", "paper") else None


def _export(frames: list[pd.DataFrame], kind: str, profile: str) -> pd.DataFrame:
    frame = records.concat(frames)
    records.export(frame, RUNS / profile / "records" / f"{kind}.parquet")
    return frame
