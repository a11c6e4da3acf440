"""How far HGD depends on where it starts and on its own learning rates: the same networks from every setting."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import t as student_t

from gsos import records
from gsos.checks import check_count
from gsos.datasets import ImageDataset
from gsos.derivation import learning_curve
from gsos.evaluation import as_arrays, describe_images, from_arrays, study_seed, version
from gsos.hypergradient import HypergradientSGD
from gsos.space import DEFAULTS, RATE_BOUNDS, SPACES, divide_widths, sample
from gsos.workers import default_workers, open_pools, run

COLUMNS = {
    "case": "the case study whose networks are trained (HGD T2)",
    "dataset": "name in `datasets`",
    "alpha_0": "learning rate at the start",
    "gamma_0": "momentum at the start",
    "beta": "learning rate of the learning rate (Eq 6); 0 keeps it",
    "eta": "learning rate of the momentum (Eq 9); 0 keeps it",
    "network": "number of the network, from 0; the same in every setting",
    "batch_size": "images a step",
    "epoch": "passes over the training images; 0: untrained",
    "images": "trained on so far",
    "loss": "mean cross-entropy of the epoch's batches (nats)",
    "validation_accuracy": "share of validation images, in [0, 1]; 0 where a loss was not finite",
    "lr": "at the epoch's end",
    "momentum": "at the epoch's end",
    "width_divisor": "of the layer widths of HGD T2",
    "n_train": "training images",
    "n_valid": "validation images",
    "images_crc32": "checksum of the training and validation images and their labels",
    "version": "versions of gsos and PyTorch",
    "finished": "when the setting ended (UTC)",
}
SETTING = ["alpha_0", "gamma_0", "beta", "eta"]


def run_settings(
    images: ImageDataset,
    settings: Sequence[tuple[float, float, float, float]],
    *,
    n_networks: int,
    n_epochs: int,
    store: str | Path,
    case: str = "hgd-cifar10",
    width_divisor: int = 8,
    workers: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Networks of a case study (HGD T2) trained by HGD with every setting (`SETTING`): one row an epoch.

    All settings train the same networks, with the same initial weights and order of images, on a CPU. Their widths are
    drawn, their batch sizes are the case's in turn, since these decide how many steps an epoch has to learn in.
    beta = eta = 0 is SGD with a constant learning rate and momentum, which each alpha_0 and gamma_0 must have.
    Columns: COLUMNS.
    store: a folder, where a finished setting is a Parquet file that is taken from when the same is asked for again.
    workers: processes; None: one a core. The rows do not depend on it.

    Raises ValueError for counts that are not positive, constants that are missing, and values that HGD cannot start
    from.
    """
    check_count("n_networks", n_networks, 1)
    check_count("n_epochs", n_epochs, 1)
    settings = list(dict.fromkeys(tuple(map(float, setting)) for setting in settings))
    for setting in settings:
        _optimizer(setting)([torch.zeros(1)])  # before anything is trained
        if (constants := (*setting[:2], 0.0, 0.0)) not in settings:
            raise ValueError(f"settings must have the constants {constants} beside {setting}")
    described = describe_images(images)
    common = {name: described[name] for name in ("n_train", "n_valid", "images_crc32")}
    common |= {"dataset": images.name, "case": case, "width_divisor": width_divisor}
    of_all = repr((sorted(common.items()), n_networks, n_epochs, seed))
    paths = {setting: Path(store) / f"{images.name}-{crc32((of_all + repr(setting)).encode()):08x}.parquet"
             for setting in settings}  # fmt: skip
    missing = [setting for setting in settings if not paths[setting].is_file()]
    if missing:
        configs = _networks(case, width_divisor, n_networks, seed)
        seeds = [study_seed(seed, images.name, f"network {i}") for i in range(n_networks)]
        workers = min(workers or default_workers(), len(missing))
        tasks = iter(missing)
        with open_pools(workers, _load, (as_arrays(images), configs, seeds, n_epochs)) as pools:
            for setting, curves in run(_train, lambda: next(tasks, None), pools):
                frame = curves.assign(**dict(zip(SETTING, setting, strict=True)), **common, **records.stamp(version()))
                part = paths[setting].with_suffix(".part")  # moved, so that a file that is there is whole
                records.export(frame[list(COLUMNS)], part)
                part.replace(paths[setting])
    frame = pd.concat([pd.read_parquet(path) for path in paths.values()], ignore_index=True)
    return frame.sort_values([*SETTING, "network", "epoch"], ignore_index=True)


def _networks(case: str, width_divisor: int, n: int, seed: int) -> list[dict]:
    space, defaults = divide_widths(SPACES[case], DEFAULTS[case], width_divisor)
    rng, sizes = np.random.default_rng(seed), space["batch_size"].choices
    return [defaults | sample(space, rng) | {"batch_size": sizes[i % len(sizes)]} for i in range(n)]


_shared: tuple  # images, networks, their seeds, epochs


def _load(arrays: tuple, configs: list[dict], seeds: list[int], n_epochs: int) -> None:
    global _shared
    _shared = from_arrays(arrays), configs, seeds, n_epochs


def _optimizer(setting: tuple[float, float, float, float]) -> Callable[..., HypergradientSGD]:
    alpha, gamma, beta, eta = setting
    bounds = {"lr_bounds": RATE_BOUNDS["lr"], "momentum_bounds": RATE_BOUNDS["momentum"]}
    return partial(HypergradientSGD, lr=alpha, momentum=gamma, hyper_lr=beta, hyper_momentum_lr=eta, **bounds)


def _train(setting: tuple[float, float, float, float]) -> pd.DataFrame:
    images, configs, seeds, n_epochs = _shared
    make = _optimizer(setting)
    curves = [
        learning_curve(config, images, make, n_epochs=n_epochs, seed=seed).assign(
            network=i, batch_size=config["batch_size"]
        )
        for i, (config, seed) in enumerate(zip(configs, seeds, strict=True))
    ]
    frame = pd.concat(curves, ignore_index=True)
    diverged = frame.epoch.gt(0) & ~np.isfinite(frame.loss)
    return frame.assign(validation_accuracy=frame.validation_accuracy.mask(diverged, 0.0))


def accuracies(frame: pd.DataFrame) -> pd.DataFrame:
    """The validation accuracy after the last epoch: index SETTING, a column each network."""
    last = frame[frame.epoch == frame.epoch.max()]
    return last.set_index([*SETTING, "network"]).validation_accuracy.unstack()


def mean_accuracies(frame: pd.DataFrame) -> pd.DataFrame:
    """The validation accuracy, mean over networks and over the epochs trained: index SETTING, a column each case and
    their mean."""
    table = frame[frame.epoch > 0].groupby([*SETTING, "case"]).validation_accuracy.mean().unstack()
    return table.assign(mean=table.mean(axis=1))


def gains(frame: pd.DataFrame) -> pd.DataFrame:
    """What learning adds to constants: index SETTING; of rows as from `run_settings`.

    Columns accuracy, the mean over networks after the last epoch; gain, its mean change against beta = eta = 0 from the
    same alpha_0 and gamma_0, paired by network, with a 95 % interval low, high (Student's t; NaN of one network); and
    lr_at_bound and momentum_at_bound, the shares of networks that end at a bound of `space.RATE_BOUNDS`.
    """
    found = accuracies(frame)
    starts = pd.MultiIndex.from_frame(found.index.to_frame()[SETTING[:2]])
    change = found - found.xs((0, 0), level=("beta", "eta")).loc[starts].to_numpy()
    mean, half = change.mean(axis=1), student_t.ppf(0.975, found.shape[1] - 1) * change.sem(axis=1)
    table = pd.DataFrame({"accuracy": found.mean(axis=1), "gain": mean, "low": mean - half, "high": mean + half})
    last = frame[frame.epoch == frame.epoch.max()].set_index(SETTING)
    for name, bounds in RATE_BOUNDS.items():
        table[f"{name}_at_bound"] = last[name].isin(bounds).groupby(level=SETTING).mean()
    return table


def is_constant(index: pd.MultiIndex) -> NDArray[np.bool_]:
    """Which settings of an index SETTING keep both rates: those with beta = eta = 0."""
    return np.array([(beta, eta) == (0, 0) for *_, beta, eta in index])


def best_of(found: pd.DataFrame) -> float:
    """The accuracy that the best of several settings has on a network that it was not chosen on.

    found: some rows of `accuracies`, of two networks at least. Each network is left out in turn, and the setting with
    the highest mean on the others is judged on it: the highest mean of many would be too high by chance.
    """
    values = found.to_numpy()
    others = values.sum(axis=1, keepdims=True) - values
    return float(values[others.argmax(axis=0), np.arange(values.shape[1])].mean())
