"""Strategies compared as in GSOS T3 and T4: what a run cost, what it found, and how sure the differences are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

RUN = ["dataset", "strategy", "round"]
NO_LOSS = -0.005  # half a percentage point of accuracy: an interval above it counts as no loss
HIGH, LOW = 0.9, 0.5  # accuracies above chance, in parts of the dataset's best


def add_progress(frame: pd.DataFrame) -> pd.DataFrame:
    """Trial records of strategies with, for each trial of a run:

    accuracy   validation accuracy in [0, 1], 0 where the training diverged or failed
    best       the highest accuracy of the run so far
    seconds    CPU or device seconds of training plus seconds of proposing, of all trials of the run so far
    work       training images x epochs x multiply-adds (of a forward pass) of all trials of the run so far
    relative   accuracy above chance, in parts of the best that any run had on the dataset
    """
    frame = frame.sort_values([*RUN, "iteration"], ignore_index=True)
    frame["accuracy"] = frame.validation_accuracy.where(frame.state == "complete", 0.0).astype(float)
    frame["seconds"] = (frame.train_seconds.fillna(0) + frame.propose_seconds).astype(float)
    frame["work"] = (frame.n_train * frame.epochs_trained * frame.multiply_adds.fillna(0)).astype(float)
    runs = frame.groupby(RUN, sort=False)
    frame["best"] = runs.accuracy.cummax()
    frame[["seconds", "work"]] = runs[["seconds", "work"]].cumsum()
    chance = 1 / frame.n_classes.astype(float)
    frame["relative"] = (frame.accuracy - chance) / (frame.groupby("dataset").best.transform("max") - chance)
    return frame


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a run: what it cost and what it found. Its optimum is its first trial with the highest accuracy.

    Columns beside dataset, strategy, round: n (iterations); seconds, work and epochs in total; seconds_to_optimum,
    work_to_optimum and iterations_to_optimum, the optimum among them; validation_accuracy and test_accuracy of the
    optimum; first_half_best, the best accuracy in the first half of the iterations; sooner, the best accuracy so far,
    averaged over iterations; fluctuation, the mean change of accuracy from one iteration to the next; early_low, the
    share of the first half below half of the dataset's best, and late_high, the share of the second half above 90 %
    of it (both above chance).
    """
    return pd.DataFrame(
        [dict(zip(RUN, key, strict=True)) | _summary(run) for key, run in add_progress(frame).groupby(RUN, sort=False)]
    )


def _summary(run: pd.DataFrame) -> dict[str, float]:
    first, second = run.iloc[: len(run) // 2], run.iloc[len(run) // 2 :]
    optimum = run.loc[run.accuracy.idxmax()]
    return {
        "n": len(run),
        "seconds": run.seconds.iloc[-1],
        "work": run.work.iloc[-1],
        "epochs": int(run.epochs_trained.sum()),
        "seconds_to_optimum": optimum.seconds,
        "work_to_optimum": optimum.work,
        "iterations_to_optimum": int(optimum.iteration) + 1,
        "validation_accuracy": optimum.accuracy,
        "test_accuracy": float(optimum.test_accuracy) if optimum.accuracy else 0.0,
        "first_half_best": first.accuracy.max(),
        "sooner": run.best.mean(),
        "fluctuation": run.accuracy.diff().abs().mean(),
        "early_low": (first.relative < LOW).mean(),
        "late_high": (second.relative >= HIGH).mean(),
    }


class Means(NamedTuple):
    """Means over the rounds of each dataset, and how they vary when rounds are drawn again."""

    datasets: list[str]
    n_rounds: list[int]  # of each dataset
    values: dict[
        str, pd.Series
    ]  # strategy -> column of `summarise` -> (1 + n_resamples, n_datasets); row 0 as they are


def paired_means(runs: pd.DataFrame, strategies: Sequence[str], *, n_resamples: int = 2000, seed: int = 0) -> Means:
    """Means over rounds, of the rounds that all these strategies have at the same number of iterations.

    runs: as from `summarise`. A resample draws rounds with replacement within each dataset, the same for all
    strategies, since these share their seeds; datasets are not drawn. Raises ValueError where there is no such round.
    """
    chosen = runs[runs.strategy.isin(strategies)]
    whole = chosen.groupby(["dataset", "round"]).agg(there=("strategy", "nunique"), lengths=("n", "nunique"))
    whole = whole[(whole.there == len(set(strategies))) & (whole.lengths == 1)]
    if whole.empty:
        raise ValueError(f"no round has all of the strategies {list(strategies)} at the same number of iterations")
    rng = np.random.default_rng(seed)
    draws = {}
    for dataset, rounds in whole.groupby(level="dataset"):
        again = rng.integers(len(rounds), size=(n_resamples, len(rounds)))
        draws[dataset] = rounds.index.get_level_values("round"), np.vstack([np.arange(len(rounds)), again])
    values = {}
    for strategy in strategies:
        table = chosen[chosen.strategy == strategy].set_index(["dataset", "round"])
        values[strategy] = pd.Series(
            {
                column: np.column_stack(
                    [
                        table.loc[d, column].reindex(rounds).to_numpy(float)[draw].mean(axis=1)
                        for d, (rounds, draw) in draws.items()
                    ]
                )
                for column in table.columns.drop("strategy")
            }
        )
    return Means(list(draws), [len(rounds) for rounds, _ in draws.values()], values)


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """(value, low, high): a statistic of the rounds as they are, and its 95 % interval over resamples.

    values: (1 + n_resamples,) the statistic of each row of `Means`.
    """
    return float(values[0]), *(float(end) for end in np.quantile(values[1:], [0.025, 0.975]))


def reduction(means: Means, column: str, strategy: str, reference: str) -> NDArray[np.float64]:
    """(1 + n_resamples,): 1 - sum over datasets of a strategy's mean / the same of the reference's (GSOS 6.2)."""
    return 1 - means.values[strategy][column].sum(axis=1) / means.values[reference][column].sum(axis=1)


def table_3(runs: pd.DataFrame) -> pd.DataFrame:
    """GSOS T3: means over rounds, one row a dataset and strategy, with the standard deviation over rounds."""
    columns = ["seconds_to_optimum", "seconds", "work", "validation_accuracy", "test_accuracy"]
    grouped = runs.groupby(["dataset", "strategy"], sort=False)
    table = grouped[columns].agg(["mean", "std"])
    table.columns = [name if kind == "mean" else f"{name}_sd" for name, kind in table.columns]
    return table.assign(rounds=grouped.size(), iterations=grouped.n.max())


def table_4(means: Means, strategy: str, reference: str) -> pd.DataFrame:
    """GSOS T4: a strategy against a reference, with 95 % intervals; one row a dataset, the last over all of them.

    Columns: time_reduction and its work and time_to_optimum counterparts, as shares of the reference's (over all
    datasets: of their sums); val_change and test_change, in accuracy (over all: means); each with _low and _high; and
    no_loss, whether test_change's interval lies above -0.5 percentage points.
    """
    ours, theirs = means.values[strategy], means.values[reference]
    rows = {}
    for i, name in enumerate([*means.datasets, "all"]):
        part = np.s_[:, i : i + 1] if name != "all" else np.s_[:, :]
        row = {}
        for label, column in _REDUCTIONS.items():
            row[label] = interval(1 - ours[column][part].sum(axis=1) / theirs[column][part].sum(axis=1))
        for label, column in _CHANGES.items():
            row[label] = interval((ours[column][part] - theirs[column][part]).mean(axis=1))
        rows[name] = {f"{label}{end}": v for label, ends in row.items() for end, v in zip(_ENDS, ends, strict=True)}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("dataset")
    return table.assign(no_loss=table.test_change_low > NO_LOSS)


_ENDS = ("", "_low", "_high")
_REDUCTIONS = {"time_reduction": "seconds", "time_to_optimum_reduction": "seconds_to_optimum", "work_reduction": "work"}
_CHANGES = {"val_change": "validation_accuracy", "test_change": "test_accuracy"}


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


def compare(
    frame: pd.DataFrame, strategy: str = "gsos", reference: str = "simultaneous", *, seed: int = 0
) -> Comparison:
    """GSOS T3 of all strategies in trial records, and T4 of one against a reference."""
    runs = summarise(frame)
    return Comparison(table_3(runs), table_4(paired_means(runs, [strategy, reference], seed=seed), strategy, reference))


def anytime(frame: pd.DataFrame, against: str, grid: NDArray[np.float64]) -> pd.DataFrame:
    """The best accuracy so far at each point of a grid, averaged over the runs of each dataset and strategy.

    against: "iteration" or another column of `add_progress`; a run that ends before a point keeps its best.
    Returns dataset, strategy, at, mean, and low and high, the mean less and plus its standard error over rounds.
    """
    rows = []
    for (dataset, strategy), runs in add_progress(frame).groupby(["dataset", "strategy"], sort=False):
        curves = []
        for _, run in runs.groupby("round"):
            place = np.searchsorted(run[against].to_numpy(float), grid, side="right") - 1
            curves.append(np.where(place >= 0, run.best.to_numpy()[place], np.nan))
        curves = np.array(curves)
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


def schedule_saving(
    iterations: Sequence[int], turn: int, default: float, middle: float, best: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The share of time that fixing and freeing the number of epochs alone saves, where time goes with epochs.

    iterations: of each group; turn: the group that epochs are in. They are `default` before their turn, `middle` on
    average in it, as always in the reference, and `best` after it.
    """
    before, during, after = sum(iterations[:turn]), iterations[turn], sum(iterations[turn + 1 :])
    return 1 - (before * default + during * middle + after * best) / (sum(iterations) * middle)


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
