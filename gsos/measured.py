"""Seconds that notebooks need: measured here and now, or the committed measurements read, each with its provenance."""

import os
import platform
import re
import timeit
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from gsos import __version__, records
from gsos.paths import DATA, RUNS
from gsos.space import ASSESSED, DEFAULTS, SPACES, divide_widths


class Overhead(NamedTuple):
    """The measurements of notebook 05, with their provenance (`where_measured`)."""

    alone: pd.DataFrame  # runs of `overhead.time_runs`, proposing alone
    paused: pd.DataFrame  # the same with pauses of `overhead.DELAY`
    growth: pd.DataFrame  # `overhead.time_growth`, of 12 hyperparameters


def overhead_records(profile: str, size: Mapping[str, object], *, seed: int = 0) -> Overhead:
    """The seconds of proposing at a profile's sizes: committed ones of data/records/overhead with "recorded", else
    measured here and now, and written to runs/<profile>/records/overhead.

    Ours needs so little time that it runs twice as often, and at every d from 1 to 12; the peers at size["dimensions"],
    and always at 1 and 12, which the claims compare.
    """
    if profile == "recorded":
        return Overhead(*map(_read_measured, Overhead._fields))
    from gsos.overhead import DELAY, time_growth, time_runs

    own, others = ["gsos", "gsos plain"], ["hyperopt", "optuna"]
    every, some = range(1, 13), sorted({1, *size["dimensions"], 12})
    n, repeats = size["n_trials"], size["n_repeats"]
    alone = [
        time_runs(own, every, n, repeats=2 * repeats, seed=seed),
        time_runs(others, some, n, repeats=repeats, seed=seed),
    ]
    paused = [
        time_runs(own[:1], every, n, repeats=1, seed=seed, delay=DELAY),
        time_runs(others, some, n, repeats=1, seed=seed, delay=DELAY),
    ]
    frames = {
        "alone": pd.concat(alone, ignore_index=True),
        "paused": pd.concat(paused, ignore_index=True),
        "growth": time_growth([*own, *others], 12, size["n_told"], seed=seed),
    }
    return Overhead(**_export_measured(frames, profile, "hyperopt", "optuna"))


def form_records(profile: str, size: Mapping[str, object], *, seed: int = 0) -> pd.DataFrame:
    """What the forms of HGD's optimiser do to its CNN, beside SGD: name, the columns of `derivation.learning_curve` and
    the provenance. Read or made as in `overhead_records`, on a CPU.

    The CNN has a quarter of its default widths, and trains on 700 images of the Fashion-MNIST sample.
    """
    if profile == "recorded":
        return _read_measured("forms")
    from torch.optim import SGD

    from gsos.datasets import load
    from gsos.derivation import learning_curve
    from gsos.hypergradient import HypergradientSGD

    images = load("fashion_mnist_sample", n_train=700, valid_fraction=0.3, seed=seed)
    _, network = divide_widths(SPACES["hgd-cifar10"], DEFAULTS["hgd-cifar10"], 4)
    sgd = partial(SGD, momentum=0.9)
    hgd = partial(HypergradientSGD, momentum=0.9, hyper_lr=1e-4, hyper_momentum_lr=1e-2)
    makers = {
        "SGD, lr 0.01": partial(sgd, lr=0.01),
        "HGD from 0.01": partial(hgd, lr=0.01),
        "HGD as printed, from 0.01": partial(hgd, lr=0.01, form="as-printed"),
        "SGD, lr 0.001": partial(sgd, lr=0.001),
        "HGD from 0.001": partial(hgd, lr=0.001),
    }
    how = {"n_epochs": size["n_epochs"], "seed": seed}
    curves = {name: learning_curve(network, images, make, **how) for name, make in makers.items()}
    frame = pd.concat(curves, names=["name"]).reset_index("name").reset_index(drop=True)
    return _export_measured({"forms": frame}, profile, "torch")["forms"]


class Steps(NamedTuple):
    """What HGD's optimiser costs beside SGD with momentum: the least seconds of repeats, with their provenance; columns
    SGD and HGD (`step_time.OPTIMIZERS`)."""

    training: pd.DataFrame  # one row: forward, backward and update of HGD's CNN in the middle of T2's domains
    updates: pd.DataFrame  # one row a number of parameters: the update alone


def step_records(profile: str) -> Steps:
    """The seconds of training steps, read or measured as in `overhead_records`, on one thread of a CPU."""
    if profile == "recorded":
        return Steps(*map(_read_measured, Steps._fields))
    from gsos import step_time

    training = step_time.of_training(DEFAULTS["hgd-cifar10"], (3, 32, 32), n_repeats=20)
    updates = step_time.of_updates([10**6, 3 * 10**6, 10**7, 3 * 10**7], n_repeats=5)
    frames = {"training": training.to_frame().T, "updates": updates.reset_index()}
    return Steps(**_export_measured(frames, profile, "torch"))


def judge_seconds(profile: str, frame: pd.DataFrame) -> pd.Series:
    """What FANOVA and N-RReliefF need for HIA's records: n_records, fanova, nrrelieff (the least of three, in seconds)
    and the provenance. Read or measured as in `overhead_records`; measured on `frame`, as from `studies.hia_records`.
    """
    if profile == "recorded":
        return _read_measured("judges").iloc[0]
    from gsos import importance
    from gsos.fanova import fanova
    from gsos.relief import nrrelieff

    arrays = importance.arrays(frame, ASSESSED)
    judges = {"fanova": fanova, "nrrelieff": partial(nrrelieff, n_neighbours=30 if len(frame) > 30 else 3)}
    least = {name: min(timeit.repeat(partial(judge, *arrays), number=1, repeat=3)) for name, judge in judges.items()}
    row = pd.DataFrame([{"n_records": len(frame)} | least])
    return _export_measured({"judges": row}, profile, "scikit-learn")["judges"].iloc[0]


def where_measured(frame: pd.DataFrame) -> str:
    """The provenance of measurements, in words: processor, cores, day (UTC) and versions."""
    made = frame.iloc[0]
    return f"{made.cores} cores of {made.cpu}, {made.finished[:10]}; {made.version}"


def _read_measured(name: str) -> pd.DataFrame:
    return pd.read_parquet(DATA / "records" / "overhead" / f"{name}.parquet")


def _export_measured(frames: Mapping[str, pd.DataFrame], profile: str, *packages: str) -> dict[str, pd.DataFrame]:
    """The frames with columns cpu, cores, version (of gsos, these packages and Python) and finished."""
    versions = [f"gsos {__version__}", *(f"{name} {version(name)}" for name in packages)]
    stamp = records.stamp(", ".join([*versions, f"python {platform.python_version()}"]))
    made = {name: frame.assign(cpu=_processor(), cores=os.cpu_count(), **stamp) for name, frame in frames.items()}
    for name, frame in made.items():
        records.export(frame, RUNS / profile / "records" / "overhead" / f"{name}.parquet")
    return made


def _processor() -> str:
    """Its name, which the standard library does not tell on Linux; else that of its instruction set."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.+)", info.read_text(), re.MULTILINE) if info.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()
