"""What a column of somebody's trials is taken for: a range, on which scale, levels, categories, or nothing."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pandas.api.types import infer_dtype
from scipy.stats import kstest

from gsos.space import is_ordered, table

FEW = 10  # numbers with at most so many different values, each twice on average, are levels
IDENTIFIER = 0.9  # text with so many different values a row names the row
LOG_FLOAT, LOG_WHOLE = 100, 10  # least ratio of the largest to the smallest value that makes a log scale worth a look
TEXTS = ("string", "boolean")  # as pandas infers them
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")


class Guess(NamedTuple):
    """What a column is taken for."""

    distribution: BaseDistribution | None  # None: left out
    why: str


def guess_space(
    frame: pd.DataFrame, log: Iterable[str] = (), linear: Iterable[str] = (), categorical: Iterable[str] = ()
) -> dict[str, BaseDistribution]:
    """The columns of a frame as hyperparameters, as `guess_columns` finds them, without those that are none."""
    return kept(guess_columns(frame, log, linear, categorical))


def guess_columns(
    frame: pd.DataFrame, log: Iterable[str] = (), linear: Iterable[str] = (), categorical: Iterable[str] = ()
) -> dict[str, Guess]:
    """What each column of a frame is taken for, as `guess` finds it; log, linear and categorical name exceptions.

    Raises ValueError for a name that is no column or is named twice, and for a log scale of what is not positive.
    """
    told: dict[str, str] = {}
    for kind, names in (("log", log), ("linear", linear), ("categorical", categorical)):
        for name in names:
            if name not in frame:
                raise ValueError(f"--{kind} {name}: there is no such hyperparameter; there are {', '.join(frame)}")
            if told.setdefault(name, kind) != kind:
                raise ValueError(f"{name} cannot be both {told[name]} and {kind}")
    return {name: guess(frame[name], told.get(name)) for name in frame}


def guess(values: pd.Series, told: str | None = None) -> Guess:
    """What a column (n,) is taken for; missing values do not count. told: "log", "linear" or "categorical", if known.

    Text and truth values are categories; few different numbers that come again and again are levels in order, other
    numbers a range. A range is on a log scale if it is positive, spans two orders of magnitude (whole numbers: one),
    and its logarithms are nearer to uniform (Kolmogorov-Smirnov) than its values. Left out, unless told: columns
    without values, text that differs in (nearly) every row, dates, and whole numbers that rise with every row.

    Numbers that are told to be categorical are levels: give them as text where they are mere names.
    """
    name, values = values.name, values.dropna().astype(object).infer_objects()
    kind = infer_dtype(values)
    if values.empty:
        return Guess(None, "it has no value in any row")
    if told in ("log", "linear") and kind not in NUMBERS:
        raise ValueError(f"{name} cannot be on a {told} scale: it holds no numbers but {kind} values")
    if kind not in NUMBERS + TEXTS:
        return Guess(None, f"its values ({kind}) are neither numbers nor text")
    levels = sorted(values.unique().tolist())
    if told == "categorical":
        return Guess(CategoricalDistribution(levels), "as you say")
    if kind in NUMBERS:
        return _guess_numbers(name, values.to_numpy(dtype=float), told)
    if len(levels) == 1:
        return Guess(CategoricalDistribution(levels), "the same in every row")
    if kind == "string" and values.str.match(r"\d{4}-\d\d-\d\d").all():
        return Guess(None, "dates")
    if kind == "string" and len(levels) >= IDENTIFIER * len(values):
        return Guess(None, f"an identifier: {len(levels)} different texts in {len(values)} rows")
    return Guess(CategoricalDistribution(levels), "text" if kind == "string" else "true or false")


def _guess_numbers(name: str, x: NDArray[np.float64], told: str | None) -> Guess:
    levels, whole = np.unique(x), (x == np.floor(x)).all()
    plain = int if whole else float
    if told is None:
        if whole and len(x) >= 10 and (np.diff(x) > 0).all():
            return Guess(None, "a counter: it rises with every row")
        gaps = not whole or np.ptp(x) > len(levels) - 1
        if 1 < len(levels) <= min(FEW, len(x) / 2) and gaps:
            return Guess(CategoricalDistribution([plain(level) for level in levels]), f"{len(levels)} numbers only")
    log, why = (told == "log", "as you say") if told else _scale(x, whole)
    if log and x.min() <= 0:
        raise ValueError(f"{name} cannot be on a log scale: its smallest value is {x.min():g}")
    return Guess((IntDistribution if whole else FloatDistribution)(plain(x.min()), plain(x.max()), log=log), why)


def _scale(x: NDArray[np.float64], whole: bool) -> tuple[bool, str]:
    """Whether numbers look sampled on a log scale, and why."""
    what = "whole numbers" if whole else "numbers"
    if np.ptp(x) == 0:
        return False, "the same in every row"
    if x.min() <= 0 or x.max() / x.min() < (LOG_WHOLE if whole else LOG_FLOAT):
        return False, what
    values, logs = _from_uniform(x), _from_uniform(np.log(x))
    return bool(logs < values), f"{what}; off uniform: logarithms {logs:.2f}, values {values:.2f}"


def _from_uniform(x: NDArray[np.float64]) -> float:
    return kstest((x - x.min()) / np.ptp(x), "uniform", method="asymp").statistic


def kept(guesses: Mapping[str, Guess]) -> dict[str, BaseDistribution]:
    """The space of the columns that are not left out."""
    return {name: found.distribution for name, found in guesses.items() if found.distribution is not None}


def describe(guesses: Mapping[str, Guess]) -> pd.DataFrame:
    """The guesses for a reader: type, values, scale and why, one row for each hyperparameter that is not left out."""
    space = kept(guesses)
    types = {FloatDistribution: "float", IntDistribution: "integer"}
    rows = {
        name: (types[type(d)], "log" if d.log else "linear")
        if type(d) in types
        else ("levels in order" if is_ordered(d) else "categories", "")
        for name, d in space.items()
    }
    shown = pd.DataFrame.from_dict(rows, orient="index", columns=["type", "scale"]).rename_axis("hyperparameter")
    shown.insert(1, "values", table(space, dict.fromkeys(space))["values"])
    return shown.assign(why=[guesses[name].why for name in space])
