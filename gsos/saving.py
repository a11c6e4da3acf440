"""Where the time that a strategy saves comes from, and what it is worth: epochs, equal time, clipped networks."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gsos.comparison import (
    RUN,
    Pair,
    add_progress,
    interval,
    pair,
    pair_runs,
    quotient_interval,
    reduction,
    summarise,
    table_4,
)

ROUND = ["dataset", "round"]
LEVELS = (0.1, 0.05, 0.02, 0.01, 0.0)  # of accuracy, below what the reference finds
_COSTS_OF_A_TRIAL = ["train_seconds", "propose_seconds", "epochs_trained"]


def cost_and_change(frame: pd.DataFrame, strategies: Sequence[str], reference: str, **options: int) -> pd.DataFrame:
    """Strategies against a reference over all datasets that both have, a row each, with 95 % intervals.

    Columns time, its total time in per cent of the reference's, and change, of test accuracy in percentage points,
    each with _low and _high. Options as in `comparison.pair`.
    """
    rows = {}
    for name in strategies:
        last = table_4(pair(frame, name, reference, **options)).loc["all"]
        rows[name] = {"time": 1 - last.time_reduction, "time_low": 1 - last.time_reduction_high}
        rows[name] |= {"time_high": 1 - last.time_reduction_low}
        rows[name] |= {f"change{end}": last[f"test_change{end}"] for end in ("", "_low", "_high")}
    return 100 * pd.DataFrame.from_dict(rows, orient="index").rename_axis("strategy")


def shown_differences(compared: pd.DataFrame) -> dict[str, list[str]]:
    """What the intervals of `cost_and_change` show of strategies against the reference: word -> those it is true of."""
    words = {"faster": compared.time_high < 100, "slower": compared.time_low > 100}
    words |= {"more accurate": compared.change_low > 0, "less accurate": compared.change_high < 0}
    return {word: list(compared.index[holds]) for word, holds in words.items()}


def schedule_saving(
    iterations: Sequence[int], turn: int, default: float, middle: float, best: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The share of time that fixing and freeing the number of epochs alone saves, where time goes with epochs.

    iterations: of each group; turn: the group that epochs are in. They are `default` before their turn, `middle` on
    average in it, as always in the reference, and `best` after it.
    """
    before, during, after = sum(iterations[:turn]), iterations[turn], sum(iterations[turn + 1 :])
    return 1 - (before * default + during * middle + after * best) / (sum(iterations) * middle)


def decompose(
    frame: pd.DataFrame,
    strategy: str,
    control: str,
    reference: str,
    *,
    by: Callable[[Pair, str], NDArray[np.float64]] = reduction,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """The time that a strategy saves, that a control saves by itself, and what the strategy adds to it.

    All on the rounds that the three have, drawn again together: index strategy, control, "difference"; columns saving
    (share of the reference's time), low and high, a 95 % interval. by: what it is over all datasets,
    `comparison.reduction` of summed times or `comparison.mean_reduction`.
    """
    runs = summarise(frame[frame.strategy.isin([strategy, control, reference])])
    rounds = runs.groupby(ROUND)
    runs = runs[(rounds.strategy.transform("nunique") == 3) & (rounds.n.transform("nunique") == 1)]
    ours, theirs = (pair_runs(runs, name, reference, n_resamples, seed) for name in (strategy, control))
    savings = {strategy: by(ours, "seconds"), control: by(theirs, "seconds")}
    rows = {name: quotient_interval(values, ours.n_rounds) for name, values in savings.items()}
    rows["difference"] = interval(savings[strategy] - savings[control], ours.n_rounds)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["saving", "low", "high"])


def in_equal_time(frame: pd.DataFrame, strategy: str, reference: str) -> pd.DataFrame:
    """Trial records of two strategies as if the longer run of a round had been stopped when the shorter one was done.

    The trials that did not end until then count as failed, and cost nothing.
    """
    frame = add_progress(frame[frame.strategy.isin([strategy, reference])])
    total = frame.groupby(RUN).seconds.transform("max")
    late = frame.seconds > total.groupby([frame[name] for name in ROUND]).transform("min")
    frame[_COSTS_OF_A_TRIAL] = frame[_COSTS_OF_A_TRIAL].mask(late, 0)
    return frame.assign(state=frame.state.mask(late, "failed"))


def without_clipped(frame: pd.DataFrame, strategy: str, reference: str) -> pd.DataFrame:
    """Trial records of two strategies in which a network that was clipped counts as failed; it costs what it cost.

    Only rounds are left in which both have half of their trials at least: the best of few says little.
    """
    frame = frame[frame.strategy.isin([strategy, reference])]
    clipped = frame.clipped.fillna(False).astype(bool)
    share = clipped.groupby([frame[name] for name in RUN]).transform("mean")
    most = share.groupby([frame[name] for name in ROUND]).transform("max")
    return frame.assign(state=frame.state.mask(clipped, "failed"))[most <= 0.5]


def time_to_level(frame: pd.DataFrame, reference: str, levels: Sequence[float] = LEVELS) -> pd.DataFrame:
    """How soon each strategy has an accuracy of what the reference finds less a level, and how often it has it at all.

    What the reference finds is the best validation accuracy of a run, averaged over its rounds of the dataset; levels
    are in accuracy. Index strategy, columns level and "time" (the median over runs of the seconds that it takes, in
    parts of the mean total of the reference's runs on that dataset; infinite where most runs never have it) and
    "reached" (the share of runs that do).
    """
    frame = add_progress(frame)
    runs = frame.groupby(RUN, sort=False)
    ends = runs[["best", "seconds"]].max()
    found, total = (
        ends[name].xs(reference, level="strategy").groupby("dataset").mean() for name in ("best", "seconds")
    )
    columns = {}
    for level in levels:
        there = frame.best >= frame.dataset.map(found) - level - 1e-9  # a mean of equal numbers may exceed them
        seconds = frame.seconds.where(there, np.inf).groupby([frame[name] for name in RUN], sort=False).min()
        parts = (seconds / seconds.index.get_level_values("dataset").map(total)).groupby("strategy", sort=False)
        columns[level, "time"] = parts.median()
        columns[level, "reached"] = parts.agg(lambda values: np.isfinite(values).mean())
    return pd.DataFrame(columns)
