"""Strategies compared as in GSOS T3 and T4: what a run cost, what it found, and how sure the differences are."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import gaussian_kde
from scipy.stats import t as student_t

from gsos.claims import Result

RUN = ["dataset", "strategy", "round"]
COSTS = ("seconds", "steps", "work")
PAPER_DATASETS = ("ahe", "intel_natural_scene", "rock_paper_scissors", "dog_cat", "flowers", "kuzushiji49")  # GSOS T4
NO_LOSS = -0.005  # half a percentage point of accuracy: an interval above it counts as no loss
HIGH, LOW = 0.9, 0.5  # accuracies above chance, in parts of the dataset's best


def add_progress(frame: pd.DataFrame) -> pd.DataFrame:
    """Trial records of strategies with, for each trial of a run:

    accuracy   validation accuracy in [0, 1], 0 where the training diverged or failed
    best       the highest accuracy of the run so far
    seconds    CPU or device seconds of training plus seconds of proposing, of all trials of the run so far
    steps      gradient steps of all trials of the run so far: epochs x batches
    work       training images x epochs x multiply-adds (of a forward pass) of all trials of the run so far
    relative   accuracy above chance, in parts of the best that any run in the frame had on the dataset
    """
    frame = frame.sort_values([*RUN, "iteration"], ignore_index=True)
    frame["accuracy"] = frame.validation_accuracy.where(frame.state == "complete", 0.0).astype(float)
    frame["seconds"] = (frame.train_seconds.fillna(0) + frame.propose_seconds).astype(float)
    frame["steps"] = (frame.epochs_trained * -(-frame.n_train // frame.batch_size)).astype(float)
    frame["work"] = (frame.n_train * frame.epochs_trained * frame.multiply_adds.fillna(0)).astype(float)
    runs = frame.groupby(RUN, sort=False)
    frame["best"] = runs.accuracy.cummax()
    frame[[*COSTS]] = runs[[*COSTS]].cumsum()
    chance = 1 / frame.n_classes.astype(float)
    frame["relative"] = (frame.accuracy - chance) / (frame.groupby("dataset").best.transform("max") - chance)
    return frame


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a run: what it cost and what it found. Its optimum is its first trial with the highest accuracy.

    Columns beside dataset, strategy, round: n (iterations); seconds, steps, work and epochs in total;
    seconds_to_optimum and iterations_to_optimum, the optimum among them; validation_accuracy of the optimum, n_best,
    how many trials have it, and test_accuracy, the mean over these; first_half_best, the best accuracy in the first
    half of the iterations; sooner, the best accuracy so far, averaged over iterations; fluctuation, the mean change of
    accuracy from one iteration to the next; early_low, the share of the first half below half of the dataset's best,
    and late_high, the share of the second half above 90 % of it (both above chance).
    """
    return pd.DataFrame(
        [dict(zip(RUN, key, strict=True)) | _summary(run) for key, run in add_progress(frame).groupby(RUN, sort=False)]
    )


def _summary(run: pd.DataFrame) -> dict[str, float]:
    first, second = run.iloc[: len(run) // 2], run.iloc[len(run) // 2 :]
    best = run[run.accuracy == run.accuracy.max()]
    optimum = best.iloc[0]
    return {
        "n": len(run),
        **{cost: run[cost].iloc[-1] for cost in COSTS},
        "epochs": int(run.epochs_trained.sum()),
        "seconds_to_optimum": optimum.seconds,
        "iterations_to_optimum": int(optimum.iteration) + 1,
        "validation_accuracy": optimum.accuracy,
        "n_best": len(best),
        "test_accuracy": float(best.test_accuracy.mean()) if optimum.accuracy else 0.0,
        "first_half_best": first.accuracy.max(),
        "sooner": run.best.mean(),
        "fluctuation": run.accuracy.diff().abs().mean(),
        "early_low": (first.relative < LOW).mean(),
        "late_high": (second.relative >= HIGH).mean(),
    }


class Pair(NamedTuple):
    """A strategy and a reference: means over the rounds of each dataset, and how they vary when rounds are drawn again.

    ours, theirs: column of `summarise` -> (1 + n_resamples, n_datasets); row 0 holds the rounds as they are.
    """

    datasets: list[str]
    n_rounds: list[int]  # of each dataset
    n_records: list[int]  # of each dataset, both strategies together
    ours: dict[str, NDArray[np.float64]]
    theirs: dict[str, NDArray[np.float64]]


def pair(frame: pd.DataFrame, strategy: str, reference: str, *, n_resamples: int = 2000, seed: int = 0) -> Pair:
    """Two strategies in trial records, on the rounds that both have at the same number of iterations.

    A resample draws rounds with replacement within each dataset, the same for both strategies, since these share their
    seeds; datasets are not drawn. Raises ValueError where there is no such round.
    """
    both = frame[frame.strategy.isin([strategy, reference])]
    if both.strategy.nunique() < 2:
        raise ValueError(f"no round has both {strategy!r} and {reference!r}")
    return pair_runs(summarise(both), strategy, reference, n_resamples, seed)


def pair_runs(runs: pd.DataFrame, strategy: str, reference: str, n_resamples: int = 2000, seed: int = 0) -> Pair:
    """`pair` of runs as `summarise` has them."""
    ours, theirs = (runs[runs.strategy == name].set_index(["dataset", "round"]) for name in (strategy, reference))
    both = ours.index.intersection(theirs.index, sort=False)
    both = both[(ours.n[both] == theirs.n[both]).to_numpy()]
    if both.empty:
        raise ValueError(f"no round has both {strategy!r} and {reference!r} at the same number of iterations")
    rng = np.random.default_rng(seed)
    means: tuple[dict, dict] = {}, {}
    found = Pair([], [], [], *means)
    for dataset, rounds in both.to_frame(index=False).groupby("dataset", sort=False):
        n = len(rounds)
        draws = np.vstack([np.arange(n), rng.integers(n, size=(n_resamples, n))])
        place = pd.MultiIndex.from_frame(rounds)
        for table, columns in zip((ours, theirs), means, strict=True):
            for column in table.columns.drop("strategy"):
                columns.setdefault(column, []).append(table.loc[place, column].to_numpy(float)[draws].mean(axis=1))
        found.datasets.append(dataset)
        found.n_rounds.append(n)
        found.n_records.append(int(2 * ours.n[place].sum()))
    for columns in means:
        columns |= {column: np.column_stack(values) for column, values in columns.items()}
    return found


def interval(values: NDArray[np.float64], n_rounds: Sequence[int]) -> tuple[float, float, float]:
    """(value, low, high): a statistic of the rounds as they are, and a 95 % interval from their resamples.

    values: (1 + n_resamples,) the statistic of each row of a `Pair`, of datasets with so many rounds. Half its width is
    Student's t times the resamples' standard deviation, corrected for the few rounds that they draw from: percentiles
    of resamples of two rounds would cover half of the cases, of five rounds 84 %. Infinite where each dataset has one.
    """
    n, free = sum(n_rounds), sum(n_rounds) - len(n_rounds)
    value = float(values[0])
    if not free:
        return value, -np.inf, np.inf
    half = float(student_t.ppf(0.975, free) * np.sqrt(n / free) * values[1:].std())
    return value, value - half, value + half


def quotient_interval(values: NDArray[np.float64], n_rounds: Sequence[int]) -> tuple[float, float, float]:
    """`interval` of one less a quotient, such as a saving of time: of the quotient's logarithm, and back. So no
    interval goes beyond what can be, a saving of all."""
    value, low, high = interval(np.log1p(-values), n_rounds)
    return float(values[0]), float(-np.expm1(high)), float(-np.expm1(low))


def table_3(runs: pd.DataFrame) -> pd.DataFrame:
    """GSOS T3: means over rounds, one row a dataset and strategy, with the standard deviation over rounds."""
    columns = ["seconds_to_optimum", *COSTS, "validation_accuracy", "n_best", "test_accuracy"]
    grouped = runs.groupby(["dataset", "strategy"], sort=False)
    table = grouped[columns].agg(["mean", "std"])
    table.columns = [name if kind == "mean" else f"{name}_sd" for name, kind in table.columns]
    return table.assign(rounds=grouped.size(), iterations=grouped.n.max())


_ENDS = ("", "_low", "_high")
_REDUCTIONS = {
    "time_reduction": "seconds",
    "time_to_optimum_reduction": "seconds_to_optimum",
    "steps_reduction": "steps",
    "work_reduction": "work",
}
_CHANGES = {"val_change": "validation_accuracy", "test_change": "test_accuracy"}


def table_4(compared: Pair) -> pd.DataFrame:
    """GSOS T4: a strategy against its reference, with 95 % intervals; one row a dataset, the last over all of them.

    Columns: time_reduction, its counterparts of steps and work, and time_to_optimum_reduction, as shares of the
    reference's (over all datasets: of their sums); val_change and test_change, in accuracy (over all: means); each
    with _low and _high; and no_loss, whether test_change's interval lies above -0.5 percentage points.
    """
    rows = {}
    for i, name in enumerate([*compared.datasets, "all"]):
        part = slice(None) if name == "all" else slice(i, i + 1)
        n_rounds = compared.n_rounds[part]
        row = {
            label: quotient_interval(reduction(compared, column, part), n_rounds)
            for label, column in _REDUCTIONS.items()
        }
        for label, column in _CHANGES.items():
            row[label] = interval(change(compared, column)[:, part].mean(axis=1), n_rounds)
        rows[name] = {f"{label}{end}": v for label, ends in row.items() for end, v in zip(_ENDS, ends, strict=True)}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("dataset")
    return table.assign(no_loss=table.test_change_low > NO_LOSS)


def reduction(compared: Pair, column: str, datasets: slice = slice(None)) -> NDArray[np.float64]:
    """(1 + n_resamples,): 1 - sum over datasets of a strategy's mean / the same of the reference's (GSOS 6.2)."""
    return 1 - compared.ours[column][:, datasets].sum(axis=1) / compared.theirs[column][:, datasets].sum(axis=1)


def mean_reduction(compared: Pair, column: str) -> NDArray[np.float64]:
    """(1 + n_resamples,): the mean of the datasets' own reductions: none counts more because it takes longer."""
    return (1 - compared.ours[column] / compared.theirs[column]).mean(axis=1)


def change(compared: Pair, column: str) -> NDArray[np.float64]:
    """(1 + n_resamples, n_datasets): a strategy's mean less the reference's."""
    return compared.ours[column] - compared.theirs[column]


def describe_changes(row: pd.Series) -> dict[str, str]:
    """A row of `table_4` in words: the change of each quantity with its 95 % interval, times and work in per cent of
    the reference's (a reduction is a negative change), accuracies in percentage points."""
    said = {}
    for name in _REDUCTIONS:
        value, high, low = (-100 * row[f"{name}{end}"] for end in _ENDS)
        said[name] = f"{value:+.0f} % ({low:+.0f} to {high:+.0f})"
    for name in _CHANGES:
        value, low, high = (100 * row[f"{name}{end}"] for end in _ENDS)
        said[name] = f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"
    return said


class Comparison(NamedTuple):
    """GSOS T3 and T4 of trial records."""

    table_3: pd.DataFrame
    table_4: pd.DataFrame


def compare(frame: pd.DataFrame, strategy: str = "gsos", reference: str = "simultaneous", **options) -> Comparison:
    """GSOS T3 of all strategies in trial records, and T4 of one against a reference; options as in `pair`."""
    return Comparison(table_3(summarise(frame)), table_4(pair(frame, strategy, reference, **options)))


def claim_results(found: Pair, control: Pair | None = None) -> dict[str, Result]:
    """What GSOS against simultaneous TPE says of the paper's claims on the experiments (notebook 04), by their ids.

    control: GSOS against random groups, for GSOS-28. A claim on single datasets of the paper has a result where these
    datasets are there, and counts their records alone.
    """
    results = {}

    def add(claim: str, values: NDArray[np.float64], names: Sequence[str] = (), of: Pair = found, by=interval) -> None:
        places = [of.datasets.index(name) for name in names or of.datasets]
        n_rounds, n_records = ([counts[i] for i in places] for counts in (of.n_rounds, of.n_records))
        value, low, high = by(values, n_rounds)
        results[claim] = Result(value, sum(n_records), len(places), low, high)

    saving = partial(add, by=quotient_interval)
    totals = (("05", "seconds"), ("06", "seconds"), ("07", "seconds_to_optimum"), ("54", "seconds_to_optimum"))
    for claim, column in totals:
        saving(f"GSOS-{claim}", reduction(found, column))
    for claim, column in (("08", "seconds"), ("09", "seconds_to_optimum")):
        saving(f"GSOS-{claim}", (1 - found.ours[column] / found.theirs[column]).min(axis=1))
    add("GSOS-10", change(found, "test_accuracy").mean(axis=1))
    for claim, column in (("11", "validation_accuracy"), ("12", "test_accuracy")):
        add(f"GSOS-{claim}", found.ours[column].mean(axis=1) / found.theirs[column].mean(axis=1) - 1)
    add("GSOS-15", change(found, "test_accuracy").min(axis=1))
    for i, name in enumerate(PAPER_DATASETS, start=16):
        if name in found.datasets:
            place = found.datasets.index(name)
            saving(f"GSOS-{i}", reduction(found, "seconds", slice(place, place + 1)), [name])
            add(f"GSOS-{i + 39}", change(found, "validation_accuracy")[:, place], [name])
            add(f"GSOS-{i + 45}", change(found, "test_accuracy")[:, place], [name])
    for claim, names, column, sign in (
        ("22", ["ahe", "intel_natural_scene"], "first_half_best", 1),
        ("25", ["dog_cat", "flowers"], "fluctuation", -1),
    ):
        if set(names) <= set(found.datasets):
            places = [found.datasets.index(name) for name in names]
            add(f"GSOS-{claim}", sign * change(found, column)[:, places].mean(axis=1), names)
    saving("GSOS-24", reduction(found, "iterations_to_optimum"))
    for claim, column in (("26", "late_high"), ("27", "early_low")):
        add(f"GSOS-{claim}", change(found, column).mean(axis=1))
    if control is not None:
        saving("GSOS-28", reduction(control, "seconds"), of=control)
    shares = {
        "GSOS-13": change(found, "validation_accuracy")[0] < 0,
        "GSOS-14": change(found, "test_accuracy")[0] < 0,
        "GSOS-23": change(found, "sooner")[0] > 0,
    }  # of datasets, less one half
    count = {"n_records": sum(found.n_records), "n_datasets": len(found.datasets)}
    return results | {claim: Result(float(holds.mean()) - 0.5, **count) for claim, holds in shares.items()}


def anytime(frame: pd.DataFrame, against: str, grid: NDArray[np.float64]) -> pd.DataFrame:
    """The best accuracy so far at each point of a grid, averaged over the runs of each dataset and strategy.

    against: "iteration" or another column of `add_progress`; a run that has ended keeps its best, and the curve ends
    where the longest run does. Returns dataset, strategy, at, mean, and low and high, the mean less and plus its
    standard error over rounds.
    """
    rows = []
    for (dataset, strategy), runs in add_progress(frame).groupby(["dataset", "strategy"], sort=False):
        curves = []
        for _, run in runs.groupby("round"):
            place = np.searchsorted(run[against].to_numpy(float), grid, side="right") - 1
            curves.append(np.where(place >= 0, run.best.to_numpy()[place], np.nan))
        curves = np.array(curves)
        curves[:, grid > runs[against].max()] = np.nan
        mean = curves.mean(axis=0)
        error = curves.std(axis=0, ddof=1) / np.sqrt(len(curves)) if len(curves) > 1 else np.zeros(len(grid))
        rows.append(
            pd.DataFrame(
                {
                    "dataset": dataset,
                    "strategy": strategy,
                    "at": grid,
                    "mean": mean,
                    "low": mean - error,
                    "high": mean + error,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def density(
    frame: pd.DataFrame, strategies: Sequence[str], cells: int = 80
) -> tuple[NDArray[np.float64], dict[tuple[str, str], NDArray[np.float64]]]:
    """Where the accuracies of each dataset and strategy lie over the iterations: a Gaussian kernel estimate.

    frame: as from `add_progress`. Returns the places (2, cells, cells) of iteration, from 1, and accuracy, and by
    (dataset, strategy) the density there in parts of the dataset's largest.
    """
    places = np.stack(np.meshgrid(np.linspace(1, frame.iteration.max() + 1, cells), np.linspace(0, 1, cells)))
    found = {}
    for dataset, trials in frame[frame.strategy.isin(strategies)].groupby("dataset", sort=False):
        points = {name: rows[["iteration", "accuracy"]].to_numpy(float).T for name, rows in trials.groupby("strategy")}
        by_name = {name: gaussian_kde(points[name] + [[1], [0]])(places.reshape(2, -1)) for name in strategies}
        top = max(values.max() for values in by_name.values())
        found |= {(dataset, name): values.reshape(cells, cells) / top for name, values in by_name.items()}
    return places, found


def by_iteration(frame: pd.DataFrame, column: str, window: int = 5) -> pd.DataFrame:
    """A quantity over the iterations: of each run its rolling mean, averaged over the rounds.

    frame: as from `add_progress`. Returns dataset, strategy, at (iteration, from 1), mean, and low and high, the mean
    less and plus its standard error over rounds.
    """
    runs = frame.assign(value=frame[column].astype(float)).groupby(RUN, sort=False).value
    smooth = runs.transform(lambda value: value.rolling(window, center=True, min_periods=1).mean())
    rounds = frame.assign(value=smooth, at=frame.iteration + 1).groupby(["dataset", "strategy", "at"], sort=False).value
    mean, error = rounds.mean(), rounds.sem().fillna(0)
    return pd.DataFrame({"mean": mean, "low": mean - error, "high": mean + error}).reset_index()
