"""The papers' claims, each with a rule that follows from its words, and the verdict that the rule gives."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from gsos.paths import DATA

VERDICTS = ("reproduced", "partly", "contradicted", "not tested")
TEXT = {"id": str, "notebook": str, "value": str, "where": str}


class Result(NamedTuple):
    """What we found for a claim, and at which scale."""

    value: float | Sequence[str]  # a number, or names from the most important to the least
    n_records: int
    n_datasets: int
    low: float = np.nan  # a 95 % interval, where there is one
    high: float = np.nan


def load(*, paper: str | None = None, notebook: str | None = None) -> pd.DataFrame:
    """The claims by id: paper, where, statement, value, unit, rule, notebook, min_records, min_datasets, needs.

    Below min_records records or min_datasets datasets, or without what it needs besides, a claim is not tested. Rules,
    and when a claim is reproduced; it is partly reproduced when only the words in brackets hold, else contradicted:

    sign             the interval lies above 0 (the value does)
    at least         the interval lies at or above the printed number (the value does)
    within interval  the interval holds the printed number and is no wider than it (it is wider, or its triple holds it)
    rel x %          the value is within x % of the printed number (some of the interval is)
    top-k, bottom-k  the first (last) k names are the printed ones, in any order (more than half of them are)
    order            the names come in the printed order (Kendall's tau of the two orders is at least 0.5)
    """
    claims = pd.read_csv(DATA / "published" / "claims.csv", dtype=TEXT, keep_default_na=False).set_index("id")
    for column, wanted in (("paper", paper), ("notebook", notebook)):
        if wanted is not None:
            if wanted not in set(claims[column]):
                raise ValueError(
                    f"no claim has {column} {wanted!r}; there are {', '.join(sorted(set(claims[column])))}"
                )
            claims = claims[claims[column] == wanted]
    return claims


def verdict(claim: pd.Series, result: Result) -> str:
    """What a claim's rule says of a result, whatever its scale. Raises ValueError for an unknown rule."""
    match claim.rule.split():
        case ["sign"]:
            return _grade(_lower(result) > 0, result.value > 0)
        case ["at", "least"]:
            return _grade(_lower(result) >= float(claim.value), result.value >= float(claim.value))
        case ["within", "interval"]:
            if np.isnan(result.low) or np.isnan(result.high):
                raise ValueError(f"claim {claim.name} needs an interval, but the result has none")
            low, high = (result.value + 3 * (end - result.value) for end in (result.low, result.high))
            narrow = result.high - result.low <= abs(float(claim.value))  # what holds everything says nothing
            inside = result.low <= float(claim.value) <= result.high
            return _grade(inside and narrow, low <= float(claim.value) <= high)
        case ["rel", percent, "%"]:
            slack = float(percent) / 100 * abs(float(claim.value))
            low, high = float(claim.value) - slack, float(claim.value) + slack
            overlaps = result.low <= high and result.high >= low
            return _grade(low <= result.value <= high, overlaps)
        case ["order"]:
            printed = claim.value.split()
            tau = kendalltau(range(len(printed)), [list(result.value).index(name) for name in printed]).statistic
            return _grade(tau > 1 - 1e-9, tau >= 0.5)
        case [place] if place.startswith(("top-", "bottom-")):
            end, k = place.split("-")
            ours = result.value[: int(k)] if end == "top" else result.value[-int(k) :]
            common = len(set(ours) & set(claim.value.split()))
            return _grade(common == int(k), common > int(k) / 2)
    raise ValueError(f"claim {claim.name} has the unknown rule {claim.rule!r}")


def judge(notebook: str, results: Mapping[str, Result]) -> pd.DataFrame:
    """A notebook's claims beside our results: the columns of `load`, then ours, its interval and scale, the verdict.

    The verdict is "not tested" without a result or below the claim's scale; `on these records` then still says what
    the rule gives. Raises ValueError for a result without a claim.
    """
    claims = load(notebook=notebook)
    if unknown := set(results) - set(claims.index):
        raise ValueError(f"notebook {notebook} has no claim {sorted(unknown)[0]!r}; it has {', '.join(claims.index)}")
    rows = []
    for name, claim in claims.iterrows():
        result = results.get(name)
        if result is None:
            rows.append({"verdict": "not tested", "on these records": "not tested"})
            continue
        ours = result.value if np.isscalar(result.value) else " ".join(result.value)
        said = verdict(claim, result)
        enough = result.n_records >= claim.min_records and result.n_datasets >= claim.min_datasets
        scale = {"n_records": result.n_records, "n_datasets": result.n_datasets}
        words = {"verdict": said if enough else "not tested", "on these records": said}
        rows.append({"ours": ours, "low": result.low, "high": result.high} | scale | words)
    columns = ["ours", "low", "high", "n_records", "n_datasets", "verdict", "on these records"]
    return claims.join(pd.DataFrame(rows, index=claims.index).reindex(columns=columns))


def _grade(whole: bool, part: bool) -> str:
    return "reproduced" if whole else "partly" if part else "contradicted"


def _lower(result: Result) -> float:
    return result.value if np.isnan(result.low) else result.low
