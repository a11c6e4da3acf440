"""The judges of importance, all alike: records in, one weight a hyperparameter out; and two controls of a judge."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from gsos.agreement import half_interval, half_samples
from gsos.calibrated import calibrated_relief, correlation_ratio
from gsos.checks import check_trials
from gsos.fanova import fanova
from gsos.relief import normalise, nrrelieff
from gsos.space import Space, encode

Columns = Mapping[str, NDArray[np.float64]]
N_QUERIES = 3000  # rows whose neighbours calibrated RReliefF looks at; of 7,000 that moves a share by .005
MODEL = ["study", "strategy", "dataset", "seed", "round", "model"]  # what tells one trained model from another


class Judge(NamedTuple):
    """A way to assess importance."""

    title: str
    estimates: str  # what its weights are: a main effect, a total effect, or something else
    function: Callable[
        ..., tuple[Columns, str]
    ]  # X, p, is_categorical, n_neighbours, seed -> "weight" and more; remark
    log: bool = True  # whether it sees hyperparameters on the scale they were sampled on, or raw values


class Importance(NamedTuple):
    """What a judge says."""

    table: pd.DataFrame  # a row each hyperparameter: weight (as it comes), share (clipped at 0, sum 1), and more
    estimates: str
    n: int  # records
    remark: str  # how far it can be believed; of FANOVA the forest's R2 out of bag


def _nrrelieff(X, p, is_categorical, n_neighbours, seed):
    return {"weight": nrrelieff(X, p, is_categorical, n_neighbours=n_neighbours)}, ""


def _nrrelieff_raw(X, p, is_categorical, n_neighbours, seed):
    return {"weight": nrrelieff(X, p, is_categorical, n_neighbours=n_neighbours, distance="raw")}, ""


def _rrelieff(X, p, is_categorical, n_neighbours, seed):
    options = {"metric": "manhattan", "normalise_response": True}
    return {"weight": nrrelieff(X, p, is_categorical, n_neighbours=n_neighbours, **options)}, ""


def _calibrated(X, p, is_categorical, n_neighbours, seed):
    n_queries = N_QUERIES if len(p) > N_QUERIES else None
    options = {"n_neighbours": n_neighbours, "n_queries": n_queries, "rng": seed}
    weight, z = calibrated_relief(X, p, is_categorical, **options)
    few = "; fewer than 300 trials: rather believe fanova-total" if len(p) < 300 else ""
    remark = f"above chance (z > 2.5): {(z > 2.5).sum()} of {len(z)}; for trials drawn at random, not by TPE or BOHB"
    return {"weight": weight, "z": z}, remark + few


def _correlation_ratio(X, p, is_categorical, n_neighbours, seed):
    weight = correlation_ratio(X, p, is_categorical)
    return {"weight": weight}, f"sum of main effects {np.nansum(weight):.2f}"


def _fanova(effect: str) -> Callable:
    def judge(X, p, is_categorical, n_neighbours, seed):
        found = fanova(X, p, is_categorical, order=1, seed=seed)
        weight, spread = getattr(found, effect), getattr(found, f"{effect}_sd")
        remark = f"forest's R2 out of bag {found.r2:.2f}, sum of {effect} effects {weight.sum():.2f}"
        return {"weight": weight, "sd over trees": spread, "forest R2": np.full(len(weight), found.r2)}, remark

    return judge


def _ped_anova(X, p, is_categorical, n_neighbours, seed):
    """Optuna's evaluator, given the same coordinates as the others; columns with up to ten levels as choices."""
    distributions = {}
    for k, (x, categorical) in enumerate(zip(X.T, is_categorical, strict=True)):
        levels = np.unique(x).tolist()
        few = categorical or len(levels) <= 10  # its kernels would smear two levels over the range between them
        distributions[str(k)] = CategoricalDistribution(levels) if few else FloatDistribution(levels[0], levels[-1])
    none = dict.fromkeys(("datetime_start", "datetime_complete"))
    none |= {name: {} for name in ("user_attrs", "system_attrs", "intermediate_values")}
    trials = [
        FrozenTrial(number=i, trial_id=i, state=TrialState.COMPLETE, value=-y, distributions=distributions,
                    params=dict(zip(distributions, row, strict=True)), **none)
        for i, (row, y) in enumerate(zip(X.tolist(), p.tolist(), strict=True))
    ]  # fmt: skip
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # not that a study was made in memory
    study = optuna.create_study(storage=_Given(trials))  # to minimise, as the evaluator takes it whatever a study says
    weight = PedAnovaImportanceEvaluator().evaluate(study)
    return {"weight": np.array([weight[str(k)] for k in range(X.shape[1])])}, ""


class _Given(InMemoryStorage):
    """A storage that has these trials. Adding them one by one would copy each deeply: nine tenths of the time."""

    def __init__(self, trials: list[FrozenTrial]):
        super().__init__()
        self._given = trials

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: object = None) -> list[FrozenTrial]:
        return self._given


JUDGES: dict[str, Judge] = {
    "nrrelieff-raw": Judge("N-RReliefF as printed", "a covariance", _nrrelieff_raw, log=False),
    "nrrelieff": Judge("N-RReliefF normalised", "a covariance", _nrrelieff),
    "rrelieff": Judge("RReliefF canonical", "a covariance", _rrelieff),
    "calibrated": Judge("calibrated RReliefF", "total effect", _calibrated),
    "correlation-ratio": Judge("correlation ratio", "main effect", _correlation_ratio),
    "fanova": Judge("FANOVA main", "main effect", _fanova("main")),
    "fanova-total": Judge("FANOVA total", "total effect", _fanova("total")),
    "ped-anova": Judge("PED-ANOVA", "divergence of the best tenth", _ped_anova),
}


def assess(
    frame: pd.DataFrame,
    space: Space,
    judge: str = "calibrated",
    *,
    performance: str = "validation_accuracy",
    n_neighbours: int = 30,
    seed: int = 0,
) -> Importance:
    """The importance of each hyperparameter of `space`, as a judge (a key of JUDGES) finds it in the records.

    frame: one record a row, with a column for each hyperparameter and one for the performance, higher being better
    (only PED-ANOVA asks). Records without a performance do not count. n_neighbours is for the RReliefF family.

    Raises ValueError for an unknown judge, missing columns, values outside of the space, and what `check_trials`
    refuses, such as a hyperparameter that does not exist in every record.
    """
    if judge not in JUDGES:
        raise ValueError(f"judge must be one of {', '.join(JUDGES)}, not {judge!r}")
    X, p, is_categorical = arrays(frame, space, performance, log=JUDGES[judge].log)
    columns, remark = JUDGES[judge].function(X, p, is_categorical, n_neighbours, seed)
    table = pd.DataFrame(columns, index=pd.Index(space, name="hyperparameter"))
    table.insert(1, "share", normalise(table.weight))
    return Importance(table, JUDGES[judge].estimates, len(p), remark)


def arrays(
    frame: pd.DataFrame, space: Space, performance: str = "validation_accuracy", *, log: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """X (n, k), p (n,) and is_categorical (k,) of the records that have a performance. Raises as `assess` does."""
    if performance not in frame:
        raise ValueError(f"performance {performance!r} is no column; there are {', '.join(map(str, frame))}")
    frame = frame.dropna(subset=performance)
    X, is_categorical = encode(frame, space, log=log)
    for name, x in zip(space, X.T, strict=True):
        if np.isnan(x).any():
            raise ValueError(
                f"{name} has no value in {np.isnan(x).sum()} of {len(x)} records: choose records where it exists"
            )
    return check_trials(X, frame[performance], is_categorical)


def compare(
    frame: pd.DataFrame, space: Space, judges: Iterable[str] = tuple(JUDGES), **options: object
) -> pd.DataFrame:
    """The shares that several judges give: one row a hyperparameter, one column a judge. Options as for `assess`.

    Each judge's remark is in `.attrs["remarks"]` of the frame.
    """
    found = {judge: assess(frame, space, judge, **options) for judge in judges}
    table = pd.DataFrame({judge: said.table.share for judge, said in found.items()})
    table.attrs["remarks"] = {judge: said.remark for judge, said in found.items()}
    return table


def titles(shares: pd.DataFrame) -> dict[str, str]:
    """judge -> title for each column of what `compare` gives, with the forest's R2 where there is a forest."""
    remarks = shares.attrs["remarks"]
    r2 = {judge: said.split(",")[0].removeprefix("forest's ") for judge, said in remarks.items() if "R2" in said}
    return {judge: JUDGES[judge].title + (f" ({r2[judge]})" if judge in r2 else "") for judge in shares}


def half_shares(
    frame: pd.DataFrame, space: Space, judge: str = "calibrated", *, n_resamples: int = 50, seed: int = 0, **options
) -> pd.DataFrame:
    """Shares on random halves of the records, not clipped: a row each half, a column each hyperparameter.

    Where the records' model is known, halves are drawn of models, since BOHB's evaluations of one are nearly copies. A
    negative weight is a negative share here: clipped, its chance would be hidden. Options as for `assess`.
    """
    known = set(MODEL) <= set(frame)
    model = frame.groupby(MODEL).ngroup().to_numpy() if known else np.arange(len(frame))

    def shares(models: NDArray[np.int64]) -> pd.Series:
        return _unclipped(assess(frame[np.isin(model, models)], space, judge, seed=seed, **options).table.weight)

    halves = half_samples(shares, int(model.max()) + 1, n_resamples=n_resamples, rng=seed)
    return pd.DataFrame(halves, columns=list(space))


def intervals(
    frame: pd.DataFrame,
    space: Space,
    judge: str = "calibrated",
    *,
    n_resamples: int = 50,
    seed: int = 0,
    halves: pd.DataFrame | None = None,
    **options,
) -> pd.DataFrame:
    """Weights and shares with 95 % intervals: a row each hyperparameter; columns weight, share, low, high.

    low and high are of the share, from `half_shares` (or `halves`, where these are at hand) and
    `agreement.half_interval`, within [0, 1]. Options as for `assess`.
    """
    table = assess(frame, space, judge, seed=seed, **options).table[["weight", "share"]].copy()
    if halves is None:
        halves = half_shares(frame, space, judge, n_resamples=n_resamples, seed=seed, **options)
    low, high = half_interval(_unclipped(table.weight), halves.to_numpy())
    return table.assign(low=low.clip(0, 1), high=high.clip(0, 1))


def _unclipped(weight: pd.Series) -> pd.Series:
    positive = weight.clip(lower=0).sum()
    return weight / positive if positive > 0 else weight * 0.0


def equal_effect_control(frame: pd.DataFrame, space: Space) -> NDArray[np.float64]:
    """A performance (n,) in [0, 1] to which all hyperparameters contribute alike: a fair judge gives all one share.

    The sum of their values on the scale they are sampled on, each with unit variance. Constant ones contribute nothing.
    """
    X, _ = encode(frame, space)
    spread = X.std(axis=0)
    total = (X[:, spread > 0] / spread[spread > 0]).sum(axis=1)
    return (total - total.min()) / np.ptp(total)


def null_control(p: NDArray[np.float64], rng: np.random.Generator | int) -> NDArray[np.float64]:
    """The performance (n,) in random order: a fair judge finds nothing in it."""
    return np.random.default_rng(rng).permutation(np.asarray(p, dtype=float))


def ranked_pairs(matrix: NDArray[np.float64], names: Iterable[str]) -> pd.Series:
    """The entries above the diagonal of a (k, k) matrix, largest first, indexed by the two names."""
    names = list(names)
    rows, columns = np.triu_indices(len(names), 1)
    index = pd.MultiIndex.from_arrays([[names[i] for i in rows], [names[j] for j in columns]])
    return pd.Series(np.asarray(matrix)[rows, columns], index=index).sort_values(ascending=False)
