"""How good are the judges of importance? Each on some rows of the recorded tables, whose exact effects are known."""

import zlib
from collections.abc import Sequence
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from tqdm import tqdm

from gsos.checks import check_count
from gsos.importance import JUDGES, assess
from gsos.relief import normalise
from gsos.replay import TABLES, Table

SIZES = (50, 100, 200, 300, 500, 1000, 2000, 5000)
MOST_ROWS = 25_000  # of one table that one judge sees at one size: larger samples vary less, and take longer
COLUMNS = {
    "table": "a key of `replay.TABLES`",
    "seed": "which rows of the table were drawn, and the judge's own seed",
    "n": "how many rows",
    "judge": "a key of `importance.JUDGES`",
    "hyperparameter": "of the table",
    "weight": "what the judge gives it, as it comes",
    "seconds": "that the judge took, for all hyperparameters together",
}
BLEND = "blend"  # the mean share of two judges of the total effect, which err in different ways
BLENDED = ("calibrated", "fanova-total")
TITLES = {name: judge.title for name, judge in JUDGES.items()} | {BLEND: "mean of the two totals"}
MEASURES = {"spearman": 1, "share_error": -1, "top3": 1}  # and whether more of it is better


def n_seeds_at(n: int, n_seeds: int) -> int:
    """How many seeds are judged at n rows: at most n_seeds, at most MOST_ROWS rows altogether, at least one."""
    return max(1, min(n_seeds, MOST_ROWS // n))


def run_judges(
    tables: Sequence[str] = TABLES,
    judges: Sequence[str] = tuple(JUDGES),
    sizes: Sequence[int] = SIZES,
    *,
    n_seeds: int = 20,
    store: str | Path,
    workers: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """What every judge says of every table: one row a hyperparameter of it (COLUMNS).

    A seed draws n different configurations of a table, the first n of one random order, so that larger samples contain
    the smaller ones; and for each one of the table's recorded seeds. The performance is minus the loss, scaled to
    [0, 1] among the rows. Seeds are 0 to `n_seeds_at(n, n_seeds)` - 1.

    store: a folder, where a table's records are a Parquet file as soon as they are complete, and taken from when the
    same is asked for again. workers: processes; None: one a core. But for the seconds, the records do not depend on it.

    Raises ValueError for an unknown table or judge, or sizes that a table or a judge has no rows for.
    """
    tables, judges, sizes, store = list(tables), list(judges), sorted(sizes), Path(store)
    for what, asked, known in (("tables", tables, TABLES), ("judges", judges, JUDGES)):
        if unknown := [name for name in asked if name not in known]:
            raise ValueError(f"{what} must be of {', '.join(known)}, not {unknown[0]!r}")
    check_count("n_seeds", n_seeds, 1)
    key = zlib.crc32(repr((judges, sizes, n_seeds)).encode())
    paths = {name: store / f"{name}_{key:08x}.parquet" for name in tables}
    missing = [name for name, path in paths.items() if not path.is_file()]
    seeds = range(n_seeds_at(sizes[0], n_seeds))
    tasks = [
        (name, judges, [n for n in sizes if seed < n_seeds_at(n, n_seeds)], seed) for name in missing for seed in seeds
    ]
    if tasks:
        store.mkdir(parents=True, exist_ok=True)
        context = get_context("forkserver")
        context.set_forkserver_preload([__name__])  # so that it is imported once, not once a process
        with context.Pool(workers) as pool:
            parts = iter(tqdm(pool.imap(_judge, tasks), total=len(tasks), disable=not progress))
            for name in missing:
                part = paths[name].with_suffix(".part")  # moved, so that a file that is there is whole
                pd.concat(islice(parts, len(seeds)), ignore_index=True).to_parquet(part)
                part.replace(paths[name])
    frame = pd.concat([pd.read_parquet(path) for path in paths.values()], ignore_index=True)
    return frame.astype(dict.fromkeys(("table", "judge", "hyperparameter"), "category"))


def _judge(task: tuple[str, list[str], list[int], int]) -> pd.DataFrame:
    name, judges, sizes, seed = task
    table = Table(name)
    rng = np.random.default_rng([seed, TABLES.index(name)])
    cells = rng.permutation(len(table))
    rows = table.records(cells, rng.integers(len(table.seeds), size=len(table)))
    frames = []
    for n in sizes:
        chosen = rows.iloc[: check_count("sizes", n, 2, len(table), f" (there are {len(table)} configurations)")]
        performance = -(chosen.loss - chosen.loss.min()) / np.ptp(chosen.loss) + 1
        chosen = chosen.assign(performance=performance)
        for judge in judges:
            start = perf_counter()
            said = assess(chosen, table.space, judge, performance="performance", seed=seed)
            seconds = perf_counter() - start
            frames.append(
                pd.DataFrame(
                    {
                        "table": name,
                        "seed": np.int32(seed),
                        "n": np.int32(n),
                        "judge": judge,
                        "hyperparameter": said.table.index,
                        "weight": said.table.weight.to_numpy(np.float32),
                        "seconds": np.float32(seconds),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def score(records: pd.DataFrame) -> pd.DataFrame:
    """How near each judge comes to the exact effects of the tables.

    records: as from `run_judges`. Where it has both judges of BLENDED, there is one more, BLEND. Returns a row each
    table, seed, n, judge and effect ("main" and "total", whatever the judge estimates), with family and
    spearman      rank correlation of weights and exact effects; 0 where all weights are equal
    share_error   mean absolute difference of shares: weights clipped at 0 and exact effects, each with sum 1
    top3          share of the three largest effects that are among the three largest weights
    seconds       that the judge took
    """
    frames = []
    for name, of_table in records.groupby("table", observed=True, sort=False):
        table = Table(name)
        exact = table.exact_importance()
        runs = ["seed", "n"]
        weights = {
            judge: part.pivot(index=runs, columns="hyperparameter", values="weight")[list(table.space)].astype(float)
            for judge, part in of_table.groupby("judge", observed=True, sort=False)
        }
        seconds = of_table.groupby(["judge", *runs], observed=True).seconds.first()
        if set(BLENDED) <= set(weights):
            shares = [pd.DataFrame(_shares(weights[judge]), weights[judge].index) for judge in BLENDED]
            weights[BLEND] = (shares[0] + shares[1]) / 2
            blend = sum(seconds[judge] for judge in BLENDED)
            seconds = pd.concat([seconds, pd.concat({BLEND: blend}, names=["judge"])])
        for judge, W in weights.items():
            for effect in ("main", "total"):
                scores = pd.DataFrame(_score(W.to_numpy(), getattr(exact, effect).to_numpy()), W.index)
                scores["seconds"] = seconds[judge][W.index]
                of = {"table": name, "family": table.family, "judge": judge, "effect": effect}
                frames.append(scores.reset_index().assign(**of))
    columns = ["table", "family", "seed", "n", "judge", "effect", *MEASURES, "seconds"]
    return pd.concat(frames, ignore_index=True)[columns]


def _shares(W: pd.DataFrame | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.apply_along_axis(normalise, 1, W)


def _score(W: NDArray[np.float64], exact: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The measures of each row of weights (m, k) against exact effects (k,)."""
    ranks, true_ranks = rankdata(W, axis=1), rankdata(exact)
    ranks, true_ranks = ranks - ranks.mean(axis=1, keepdims=True), true_ranks - true_ranks.mean()
    length = np.sqrt((ranks**2).sum(axis=1) * (true_ranks**2).sum())
    top, true_top = ((-w).argsort(axis=-1, kind="stable")[..., :3] for w in (W, exact))
    return {
        "spearman": np.divide(ranks @ true_ranks, length, where=length > 0, out=np.zeros(len(W))),
        "share_error": np.abs(_shares(W) - normalise(exact)).mean(axis=1),
        "top3": np.isin(top, true_top).mean(axis=1),
    }


def summarise(
    scores: pd.DataFrame, measure: str = "spearman", *, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Means of a measure with 95 % intervals: a row each family, effect, n and judge.

    Family "all" is the mean over the families, which count alike however many tables they have. mean, low, high: of
    the measure. behind, behind_low, behind_high: how much worse than the best judge of the row's family, effect and n;
    among_best: whether that is 0 or its interval reaches 0.

    Intervals are percentiles of a bootstrap of tables within each family and of seeds within each table, the same for
    all judges. So they speak of further tables of these families, not of further families.

    scores: as from `score`, each table with the same judges and seeds at one n. Raises ValueError for an unknown
    measure.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, not {measure!r}")
    frames = []
    for (effect, n), rows in scores.groupby(["effect", "n"]):
        values = rows.pivot(index=["family", "table", "seed"], columns="judge", values=measure)
        means = _resampled_means(values, n_resamples, np.random.default_rng([seed, n]))
        for family, mean in means.items():
            gain = MEASURES[measure] * mean
            behind = gain[:, [gain[0].argmax()]] - gain
            of = {"family": family, "effect": effect, "n": n, "judge": values.columns}
            frames.append(pd.DataFrame(of | _interval("mean", "", mean) | _interval("behind", "behind_", behind)))
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(among_best=frame.behind_low <= 0)


def _interval(name: str, prefix: str, draws: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The first of draws (1 + n_resamples, judges), and the interval that the others make."""
    low, high = np.percentile(draws[1:], [2.5, 97.5], axis=0)
    return {name: draws[0], f"{prefix}low": low, f"{prefix}high": high}


def _resampled_means(
    values: pd.DataFrame, n_resamples: int, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """family -> (1 + n_resamples, judges) means, first of all tables and seeds, then of those drawn again."""
    means = {}
    for family, of_family in values.groupby("family", sort=False):
        tables = [of_table.to_numpy() for _, of_table in of_family.groupby("table", sort=False)]
        drawn = np.zeros((n_resamples, values.shape[1]))
        for choice in rng.integers(len(tables), size=(len(tables), n_resamples)):
            for t, scores in enumerate(tables):
                at = np.flatnonzero(choice == t)
                drawn[at] += scores[rng.integers(len(scores), size=(len(at), len(scores)))].mean(axis=1)
        whole = np.mean([scores.mean(axis=0) for scores in tables], axis=0)
        means[family] = np.vstack([whole, drawn / len(tables)])
    return means | {"all": np.mean([*means.values()], axis=0)}


def trials_needed(summary: pd.DataFrame, level: float | None = None) -> pd.DataFrame:
    """From how many trials on a judge is good: a row each family and effect, a column each judge; NaN for never.

    level: a mean of the measure that it must reach, at this and all larger sizes; None: being among the best there.
    summary: as from `summarise`, of a measure of which more is better where there is a level.
    """
    good = summary.among_best if level is None else summary["mean"] >= level
    ordered = summary.assign(good=good).sort_values("n", ascending=False)
    keys = ["family", "effect", "judge"]
    kept = ordered[ordered.groupby(keys, sort=False).good.cummin()]
    every = summary.groupby(keys, sort=False).size().index
    return kept.groupby(keys, sort=False).n.min().reindex(every).unstack("judge")[list(dict.fromkeys(summary.judge))]
