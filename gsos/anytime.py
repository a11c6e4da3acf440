"""Best accuracy over time of HPO algorithms, with lr and momentum searched, learnt or fixed (HGD Fig 2-5, T3, T4).

In come reports (`experiments.COLUMNS`) of one study. An experiment's best accuracy so far starts at chance,
1 / n_classes, since an untrained network guesses, and nothing lowers it: a quotient of two is defined before the first
epoch has ended. A report counts from when its epoch's training has ended, one that ends after the budget not at all.

Two axes: "train_seconds", which ends at the budget, and "images" trained on, which no busy machine bends; it ends where
the first of the compared experiments of a run ends. A share is a place on an axis, in parts of its end.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t

from gsos import published
from gsos.claims import Result
from gsos.comparison import interval

PROBLEM = ["case", "dataset"]
UNIT = [*PROBLEM, "algorithm"]
RUN = [*UNIT, "variant", "run"]
AXES = ("train_seconds", "images")
SHARES = np.arange(1, 7) / 6  # 500, 1000 ... 3000 of the paper's 3000 s
EARLY_AND_END = SHARES[[0, -1]]  # as in T3 and T4
FINE = np.linspace(0, 1, 201)  # for curves
PAPER_SECONDS = 3000
PAPER = {"hgd-cifar10": ("cifar10", "hgd_table_3"), "hgd-cifar100": ("cifar100", "hgd_table_4")}  # case: dataset, table
ALGORITHMS = ("asha", "ahb", "genetic", "hyperband", "pbt", "pb2")  # those of `schedulers`, which needs Ray
POPULATION_BASED = ("pbt", "pb2")
GOOD = 0.9  # of the reference's accuracy at the end
_NETWORK = [*(f"num_filters_{i}" for i in (1, 2, 3)), "num_fc_units_1", "num_fc_units_2", "batch_size"]


class Steps(NamedTuple):
    """The best accuracy so far of an experiment: best[i] from the place at[i] on, rising from chance at place 0."""

    at: NDArray[np.float64]
    best: NDArray[np.float64]

    def __call__(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.best[np.searchsorted(self.at, at, side="right") - 1]


def steps(frame: pd.DataFrame, against: str) -> dict[tuple, Steps]:
    """The best accuracy so far of each experiment, by its RUN columns.

    Raises ValueError for an unknown axis, for no reports and for reports of several studies.
    """
    if against not in AXES:
        raise ValueError(f"against must be one of {', '.join(AXES)}, not {against!r}")
    if frame.study.nunique() != 1:
        raise ValueError(f"reports must be of one study, not of {', '.join(sorted(frame.study.unique())) or 'none'}")
    found = {}
    for key, reports in frame.sort_values("report").groupby(RUN):
        chance = 1 / reports.n_classes.iloc[0]
        best = reports.validation_accuracy.clip(lower=chance).cummax().to_numpy()
        rises = np.diff(best, prepend=chance) > 0
        found[key] = Steps(np.append(0.0, reports[against][rises]), np.append(chance, best[rises]))
    return found


def ends(frame: pd.DataFrame, against: str) -> pd.Series:
    """Where an axis ends, by case, dataset and run. Raises ValueError where a dataset's experiments have several
    budgets."""
    if against == "images":
        return frame.groupby(RUN).images.max().groupby([*PROBLEM, "run"]).min()
    for problem, budgets in frame.groupby(PROBLEM).budget.unique().items():
        if len(budgets) > 1:
            there = ", ".join(f"{budget:g}" for budget in sorted(budgets))
            raise ValueError(f"experiments of {' on '.join(problem)} must have one budget, not {there} s")
    return frame.groupby([*PROBLEM, "run"]).budget.first()


def best_at(frame: pd.DataFrame, against: str, shares: ArrayLike) -> pd.DataFrame:
    """The best accuracy so far of each experiment, a row each (index RUN), at shares of an axis, a column each."""
    found = steps(frame, against)
    end, shares = ends(frame, against), np.asarray(shares, dtype=float)
    values = [step(end[*key[:2], key[-1]] * shares) for key, step in found.items()]
    return pd.DataFrame(values, pd.MultiIndex.from_tuples(found, names=RUN), shares)


def over_time(frame: pd.DataFrame, against: str = "train_seconds", shares: ArrayLike = FINE) -> pd.DataFrame:
    """The best accuracy so far of each algorithm and variant, averaged over runs (HGD Fig 2-5, T3, T4).

    Columns: case, dataset, algorithm, variant, share; at, the place on the axis, mean over runs; mean, and low and
    high, its 95 % interval over runs (Student's t), NaN of one run; least and most, the worst and the best run; runs;
    paper, what T3 (T4) prints for the case at that share of 3,000 s, else NaN.
    """
    runs = best_at(frame, against, shares).rename_axis(columns="share").groupby([*UNIT, "variant"])
    mean, n = runs.mean(), runs.size()
    half = runs.sem().mul(student_t.ppf(0.975, n - 1), axis=0)
    columns = {"mean": mean, "low": mean - half, "high": mean + half, "least": runs.min(), "most": runs.max()}
    table = pd.DataFrame({name: values.stack() for name, values in columns.items()})
    table = table.join(n.rename("runs")).reset_index()
    end = table[PROBLEM].join(ends(frame, against).groupby(PROBLEM).mean().rename("end"), on=PROBLEM).end
    table.insert(table.columns.get_loc("mean"), "at", table.share * end)
    return table.merge(published_accuracies(), how="left", on=["case", "algorithm", "variant", "share"])


def published_accuracies() -> pd.DataFrame:
    """HGD T3 and T4: columns case, algorithm, variant, share (of 3,000 s), paper."""
    table = pd.concat([published.table(name).assign(case=case) for case, (_, name) in PAPER.items()])
    table = table.assign(share=table.seconds / PAPER_SECONDS).rename(columns={"accuracy": "paper"})
    return table[["case", "algorithm", "variant", "share", "paper"]]


class Compared(NamedTuple):
    """Variants on the experiments that all of them have: means over runs, and how they vary when runs are drawn again.

    means: variant -> (1 + n_resamples, n_problems, n_algorithms, ...); row 0 holds the runs as they are.
    """

    problems: list[tuple[str, str]]  # (case, dataset)
    algorithms: list[str]
    n_runs: int
    n_records: NDArray[np.int64]  # (n_problems, n_algorithms), reports of all variants together
    means: dict[str, NDArray[np.float64]]


def compare(
    frame: pd.DataFrame,
    *variants: str,
    against: str = "train_seconds",
    shares: ArrayLike = SHARES,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Compared:
    """The best accuracy so far of variants; the last axis of `means` are the shares.

    A resample draws runs with replacement for each case and dataset, the same for all algorithms and variants, since a
    run's experiments share their networks. Raises ValueError where no experiment is in all variants, or where these
    are no whole grid of datasets, algorithms and runs.
    """
    reports = shared(frame, *variants)
    found, runs = _grid(reports, variants)
    best = best_at(reports, against, shares)
    weights = _weights(len(found.problems), found.n_runs, n_resamples, seed)
    for variant in variants:
        keys = [(*problem, a, variant, run) for problem in found.problems for a in found.algorithms for run in runs]
        values = best.loc[keys].to_numpy().reshape(len(found.problems), len(found.algorithms), len(runs), -1)
        found.means[variant] = _round(np.einsum("rpn,pans->rpas", weights, values))
    return found


def compare_times(
    frame: pd.DataFrame,
    variant: str,
    reference: str,
    *,
    against: str = "train_seconds",
    n_resamples: int = 2000,
    seed: int = 0,
) -> Compared:
    """The place on an axis at which a variant's best accuracy so far, mean over runs, reaches 0.9 of its reference's at
    the end, which is that of the run that ends first; the end where it never does. Resamples, errors as in `compare`.
    """
    reports = shared(frame, variant, reference)
    found, runs = _grid(reports, (variant, reference))
    best, end = steps(reports, against), ends(reports, against).groupby(PROBLEM).min()
    weights = _weights(len(found.problems), found.n_runs, n_resamples, seed)
    for name in (variant, reference):
        found.means[name] = np.empty((1 + n_resamples, len(found.problems), len(found.algorithms)))
    for i, problem in enumerate(found.problems):
        for j, algorithm in enumerate(found.algorithms):
            of = {name: [best[*problem, algorithm, name, run] for run in runs] for name in (variant, reference)}
            rises = np.concatenate([step.at for name in of for step in of[name]])
            places = np.append(np.unique(rises[rises < end[problem]]), end[problem])
            curves = {name: _round(weights[:, i] @ [step(places) for step in of[name]]) for name in of}
            good = _round(GOOD * curves[reference][:, -1:])
            for name, curve in curves.items():
                found.means[name][:, i, j] = places[np.minimum((curve < good).sum(axis=1), len(places) - 1)]
    return found


def shared(frame: pd.DataFrame, *variants: str) -> pd.DataFrame:
    """The reports of those experiments that are in all variants."""
    keys = frame.loc[frame.variant.isin(variants), RUN].drop_duplicates()
    n_variants = keys.groupby([*UNIT, "run"]).variant.transform("size")
    return frame.merge(keys[n_variants == len(variants)], on=RUN)


def _grid(reports: pd.DataFrame, variants: tuple[str, ...]) -> tuple[Compared, list[int]]:
    """What is compared, without its means, and the runs."""
    there = reports.groupby(RUN).size()
    if there.empty:
        raise ValueError(f"no experiment is in the reports with {' and '.join(map(repr, variants))}")
    problems = list(there.groupby(PROBLEM).groups)
    algorithms = sorted(there.index.unique("algorithm"), key=ALGORITHMS.index)
    runs = sorted(there.index.unique("run"))
    for key in ((*problem, a, v, run) for problem in problems for a in algorithms for v in variants for run in runs):
        if key not in there.index:
            raise ValueError(
                f"all datasets must have all algorithms and runs, but there is no {' '.join(map(str, key))}"
            )
    n_records = there.groupby(UNIT).sum().unstack().loc[problems, algorithms].to_numpy()
    return Compared(problems, algorithms, len(runs), n_records, {}), runs


def _weights(n_problems: int, n_runs: int, n_resamples: int, seed: int) -> NDArray[np.float64]:
    """(1 + n_resamples, n_problems, n_runs): each run's share of a mean, equal ones first, then resampled."""
    draws = np.random.default_rng(seed).integers(n_runs, size=(n_resamples, n_problems, n_runs))
    drawn = (draws[..., None] == np.arange(n_runs)).mean(axis=2)
    return np.concatenate([np.full((1, n_problems, n_runs), 1 / n_runs), drawn])


def _round(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.round(12)  # equal means are equal, in whichever order their runs were added


def change(found: Compared, variant: str, reference: str) -> NDArray[np.float64]:
    """The relative change of a variant's means from its reference's."""
    return found.means[variant] / found.means[reference] - 1


def saving(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 + n_resamples,): 1 - sum of our times / sum of theirs, over the other axes; nothing is saved where both are 0,
    as they are where chance is good enough."""
    ours, theirs = (times.sum(axis=(1, 2)) for times in (ours, theirs))
    return (theirs - ours) / np.maximum(theirs, np.finfo(float).tiny)


def changes(
    frame: pd.DataFrame, variant: str = "hgd", reference: str = "sgd", against: str = "train_seconds", **resampled: int
) -> pd.DataFrame:
    """How a variant changes the best accuracy so far, early (1/6) and at the end, as a share of its reference's.

    One row each case, dataset, algorithm and share; algorithm "all" is the mean over algorithms, case and dataset "all"
    the mean over all. change, low, high: with a 95 % interval over runs; least, most: over draws of runs, of two runs
    one's and the other's; paper: the same of T3 and T4, else NaN.
    resampled: n_resamples and seed of `compare`, whose errors it raises.
    """
    found = compare(frame, variant, reference, against=against, shares=EARLY_AND_END, **resampled)
    values = change(found, variant, reference)
    rows = []
    for labels, part in _parts(found):
        for k, share in enumerate(EARLY_AND_END):
            n_runs = [found.n_runs] * len(found.problems[part[0]])
            drawn = values[:, *part, k].mean(axis=(1, 2))
            rows.append((*labels, share, *interval(drawn, n_runs), drawn.min(), drawn.max()))
    table = pd.DataFrame(rows, columns=[*UNIT, "share", "change", "low", "high", "least", "most"])
    printed = _published_changes(variant, reference)
    return table.merge(printed, how="left", on=["case", "algorithm", "share"])


def _published_changes(variant: str, reference: str) -> pd.DataFrame:
    accuracy = published_accuracies().pivot(index=["case", "algorithm", "share"], columns="variant", values="paper")
    accuracy = accuracy.reindex(columns=[variant, reference])
    units = (accuracy[variant] / accuracy[reference] - 1).rename("paper").reset_index()
    cases = units.groupby(["case", "share"], as_index=False).paper.mean()
    whole = units.groupby("share", as_index=False).paper.mean()
    return pd.concat([units, cases.assign(algorithm="all"), whole.assign(case="all", algorithm="all")])


def _parts(found: Compared) -> Iterator[tuple[tuple[str, str, str], tuple[slice, slice]]]:
    """(case, dataset, algorithm) and their place in `means`: each unit, each dataset's units, and last all of them."""
    for i, problem in enumerate(found.problems):
        place = slice(i, i + 1)
        yield from (((*problem, a), (place, slice(j, j + 1))) for j, a in enumerate(found.algorithms))
        yield (*problem, "all"), (place, slice(None))
    yield ("all", "all", "all"), (slice(None), slice(None))


def time_saved(
    frame: pd.DataFrame, variant: str = "hgd", reference: str = "sgd", against: str = "train_seconds", **resampled: int
) -> pd.DataFrame:
    """The time to a good answer (`compare_times`), a column each variant, and the share of it that a variant saves.

    Rows and resampled as in `changes`, times there summed instead of averaged; saved, low, high: with a 95 % interval.
    """
    found = compare_times(frame, variant, reference, against=against, **resampled)
    ours, theirs = found.means[variant], found.means[reference]
    rows = []
    for labels, part in _parts(found):
        n_runs = [found.n_runs] * len(found.problems[part[0]])
        sums = (times[0, *part].sum() for times in (ours, theirs))
        rows.append((*labels, *sums, *interval(saving(ours[:, *part], theirs[:, *part]), n_runs)))
    return pd.DataFrame(rows, columns=[*UNIT, variant, reference, "saved", "low", "high"])


def effort(frame: pd.DataFrame) -> pd.DataFrame:
    """What an experiment comes to, mean over runs; index case, dataset, algorithm, variant.

    trials and epochs trained (of all models together), copies, the times that a model took over another's weights,
    images trained on, seconds of training and by the clock, seconds_per_epoch of training, and diverged, the share of
    epochs after which a model was not finite or had failed.
    """
    counts = {"trials": ("trial", "nunique"), "epochs": ("report", "size"), "copies": ("copied", "sum")}
    counts |= {"images": ("images", "max"), "train_seconds": ("train_seconds", "max"), "seconds": ("seconds", "max")}
    counts |= {"diverged": ("lost", "mean")}
    reports = frame.assign(lost=frame.state != "complete", copied=frame.copied_from >= 0)
    runs = reports.groupby(RUN).agg(**counts)
    runs.insert(6, "seconds_per_epoch", runs.train_seconds / runs.epochs)
    return runs.groupby([*UNIT, "variant"]).mean()


def learnt_rates(frame: pd.DataFrame) -> pd.DataFrame:
    """The lr and momentum that HGD has learnt, by epoch, over the models that reached it and had not diverged.

    Columns: case, dataset, epoch, n (reports), lr and momentum (medians), each with _low and _high (quartiles).
    """
    reports = frame[(frame.variant == "hgd") & (frame.state == "complete")].groupby([*PROBLEM, "epoch"])
    table = reports.size().to_frame("n")
    for name in ("lr", "momentum"):
        for end, part in (("", 0.5), ("_low", 0.25), ("_high", 0.75)):
            table[f"{name}{end}"] = reports[name].quantile(part)
    return table.reset_index()


def by_batch_size(frame: pd.DataFrame, bounds: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    """What learning does, by batch size: the smaller it is, the more steps an epoch has.

    bounds: lr and momentum -> their bounds. Index case, dataset, batch_size. Columns: n, HGD's reports; lr and momentum
    (medians); at_bound, the share of reports with one of them at a bound; slower, the median over networks of the
    seconds that an epoch takes with HGD in parts of those with fixed SGD, NaN without these.
    """
    frame = frame.sort_values("report")
    seconds = frame.groupby(RUN).train_seconds.diff().fillna(frame.train_seconds)
    reports = frame.assign(epoch_seconds=seconds, at_bound=False)
    for name, (low, high) in bounds.items():
        reports["at_bound"] |= (reports[name] <= low) | (reports[name] >= high)
    own = reports[(reports.variant == "hgd") & (reports.state == "complete")].groupby([*PROBLEM, "batch_size"])
    of = {"n": ("report", "size"), "lr": ("lr", "median"), "momentum": ("momentum", "median")}
    networks = reports.groupby([*PROBLEM, *_NETWORK, "variant"]).epoch_seconds.median().unstack()
    networks = networks.reindex(columns=["hgd", "fixed"])
    slower = (networks.hgd / networks.fixed).groupby([*PROBLEM, "batch_size"]).median()
    return own.agg(**of, at_bound=("at_bound", "mean")).join(slower.rename("slower"))


def claim_results(frame: pd.DataFrame, *, n_resamples: int = 2000, seed: int = 0) -> dict[str, Result]:
    """What reports say of the paper's claims on the experiments (notebook 06), by their ids.

    A claim has a result where what it names is there: its variants, its algorithms, the paper's dataset in its own case
    study. Means over algorithms and datasets are over those there are. Equal algorithms come in the reverse order of
    ALGORITHMS, whose ends are what the paper prints as best and worst: so no tie decides for a claim.
    """
    options = {"n_resamples": n_resamples, "seed": seed}
    results = {}
    if found := _compare_shared(frame, "hgd", "sgd", **options):
        times = compare_times(frame, "hgd", "sgd", **options)
        results |= _on_changes(found) | _on_changes_by_case(found)
        results["HGD-19"] = _result(found, saving(times.means["hgd"], times.means["sgd"]))
        results["HGD-11"] = Result(_dimensions_saved(frame), *_scale(found))
    for claim, variant, reference in (("HGD-30", "fixed", "sgd"), ("HGD-31", "hgd", "fixed")):
        if found := _compare_shared(frame, variant, reference, **options):
            results[claim] = _result(found, change(found, variant, reference)[..., 0].mean(axis=(1, 2)))
    for variant in ("sgd", "hgd"):
        if found := _compare_shared(frame, variant, **options):
            results |= _on_orders(found, variant)
    if found := _compare_shared(frame, "hgd", **options):
        results["HGD-10"] = Result(_combined(frame), *_scale(found))
    in_population = frame.algorithm.isin(POPULATION_BASED)
    found = _compare_shared(frame[in_population], "hgd reset", "hgd", **options)
    if found and len(found.algorithms) == len(POPULATION_BASED):
        results["HGD-28"] = _result(found, change(found, "hgd reset", "hgd").mean(axis=(1, 2, 3)))
    return results | _on_falling(frame[~in_population], **options)


def _compare_shared(frame: pd.DataFrame, *variants: str, **options: int) -> Compared | None:
    return None if shared(frame, *variants).empty else compare(frame, *variants, **options)


def _scale(found: Compared, place: slice = slice(None)) -> tuple[int, int]:
    """Reports and datasets of the problems at `place`."""
    return int(found.n_records[place].sum()), len({dataset for _, dataset in found.problems[place]})


def _result(found: Compared, values: NDArray[np.float64], place: slice = slice(None)) -> Result:
    """values: (1 + n_resamples,) of the problems at `place`."""
    value, low, high = interval(values, [found.n_runs] * len(found.problems[place]))
    return Result(value, *_scale(found, place), low, high)


def _best_first(found: Compared, values: NDArray[np.float64], place: slice = slice(None)) -> Result:
    """values: (n_algorithms,)."""
    order = np.argsort(-values[::-1], kind="stable")
    return Result([found.algorithms[::-1][j] for j in order], *_scale(found, place))


def _has_all(found: Compared) -> bool:
    return found.algorithms == list(ALGORITHMS)


def _papers_problems(found: Compared) -> Iterator[tuple[str, slice]]:
    """The case studies that are there on the paper's dataset, and their place in `means`."""
    for i, (case, dataset) in enumerate(found.problems):
        if PAPER[case][0] == dataset:
            yield case, slice(i, i + 1)


def _on_changes(found: Compared) -> dict[str, Result]:
    """HGD against SGD, over all datasets."""
    c = change(found, "hgd", "sgd")
    early, end, better = c[..., 0], c[..., -1], (c[..., :-1] > 0).mean(axis=(1, 2, 3))
    values = {
        "HGD-12": early.mean(axis=(1, 2)),
        "HGD-17": better - 0.5,
        "HGD-18": better,
        "HGD-20": end.mean(axis=(1, 2)),
        "HGD-21": end.min(axis=(1, 2)),
        "HGD-22": end.mean(axis=2).min(axis=1),
    }
    if _has_all(found):
        last = np.isin(ALGORITHMS, POPULATION_BASED)
        values["HGD-25"] = early[..., ~last].mean(axis=(1, 2)) - early[..., last].mean(axis=(1, 2))
    return {claim: _result(found, value) for claim, value in values.items()}


_CHANGES = {  # early change, share of algorithms better early, change at the end, order by early change
    "hgd-cifar10": ("HGD-13", "HGD-15", "HGD-23", "HGD-26"),
    "hgd-cifar100": ("HGD-14", "HGD-16", "HGD-24", "HGD-27"),
}
_ORDERS = {  # early, at the end
    ("hgd-cifar10", "sgd"): ("HGD-33", "HGD-35"),
    ("hgd-cifar10", "hgd"): ("HGD-34", "HGD-36"),
    ("hgd-cifar100", "sgd"): ("HGD-37", "HGD-39"),
    ("hgd-cifar100", "hgd"): ("HGD-38", "HGD-40"),
}


def _on_changes_by_case(found: Compared) -> dict[str, Result]:
    """HGD against SGD, on the paper's datasets."""
    results = {}
    for case, place in _papers_problems(found):
        c = change(found, "hgd", "sgd")[:, place.start]
        early, end = c[..., 0], c[..., -1]
        *claims, order = _CHANGES[case]
        values = early.mean(axis=1), (early > 0).mean(axis=1), end.mean(axis=1)
        results |= {claim: _result(found, value, place) for claim, value in zip(claims, values, strict=True)}
        if _has_all(found):
            results[order] = _best_first(found, early[0], place)
    return results


def _on_orders(found: Compared, variant: str) -> dict[str, Result]:
    """The six algorithms with one variant."""
    if not _has_all(found):
        return {}
    accuracy = found.means[variant][0]
    results = {"HGD-32": _best_first(found, accuracy[..., 0].mean(axis=0))} if variant == "sgd" else {}
    for case, place in _papers_problems(found):
        early, end = _ORDERS[case, variant]
        results[early] = _best_first(found, accuracy[place.start, :, 0], place)
        results[end] = _best_first(found, accuracy[place.start, :, -1], place)
    return results


def _combined(frame: pd.DataFrame) -> int:
    """Algorithms whose every run with HGD ends above chance by more than three standard errors."""
    reports = frame[frame.variant == "hgd"]
    images = reports.groupby(RUN)[["n_classes", "n_valid"]].first()
    chance = 1 / images.n_classes
    bar = chance + 3 * np.sqrt(chance * (1 - chance) / images.n_valid)
    above = best_at(reports, "train_seconds", [1.0])[1.0] > bar
    return int(above.groupby("algorithm").all().sum())


def _dimensions_saved(frame: pd.DataFrame) -> float:
    """Hyperparameters searched with SGD, less those searched with HGD, mean over algorithms and datasets."""
    from gsos.schedulers import Experiment, searched  # with Ray, which reading reports does not need

    units = shared(frame, "hgd", "sgd").drop_duplicates([*UNIT, "variant"])
    n = [len(searched(Experiment(*row))) for row in units[[*Experiment._fields]].itertuples(index=False)]
    n_searched = pd.Series(n, units.variant).groupby(level=0).mean()
    return float(n_searched["sgd"] - n_searched["hgd"])


def _on_falling(frame: pd.DataFrame, n_resamples: int, seed: int) -> dict[str, Result]:
    """HGD-29: the share of models of at least three epochs whose lr has fallen since the first, less one half.

    frame: reports of the algorithms that copy no weights. Without an interval where a resample has no such model.
    """
    found = _compare_shared(frame, "hgd", n_resamples=n_resamples, seed=seed)
    if not found or len(found.algorithms) < len(ALGORITHMS) - len(POPULATION_BASED):
        return {}
    models = frame[frame.variant == "hgd"].sort_values("report").groupby([*PROBLEM, "run", "algorithm", "trial"])
    long = models.epoch.max() >= 3
    fallen = long & (models.lr.last() < models.lr.first())
    counts = pd.DataFrame({"fallen": fallen, "long": long}).groupby([*PROBLEM, "run"]).sum()
    counts = counts.to_numpy().reshape(len(found.problems), found.n_runs, 2)
    weights = _weights(len(found.problems), found.n_runs, n_resamples, seed)
    n_fallen, n_long = np.einsum("rpn,pnc->cr", weights, counts)
    if not n_long[0]:
        return {}
    with np.errstate(invalid="ignore"):
        return {"HGD-29": _result(found, n_fallen / n_long - 0.5)}
