"""HIA's Table 3 under each reading of what the paper leaves open, and how far datasets agree on it."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from optuna.distributions import FloatDistribution

from gsos import agreement
from gsos.importance import MODEL, assess, intervals
from gsos.space import ASSESSED, Space


class Reading(NamedTuple):
    """What is judged, and by whom."""

    records: pd.DataFrame
    space: Space
    judge: str  # a key of `importance.JUDGES`


def readings(frame: pd.DataFrame) -> dict[str, Reading]:
    """Title -> reading of HIA's records: N-RReliefF as printed, normalised, and as printed but for one respect each."""
    lr = ASSESSED["lr"]
    linear = ASSESSED | {"lr": FloatDistribution(lr.low, lr.high)}
    logarithmic = ASSESSED | {"lr": FloatDistribution(np.log10(lr.low), np.log10(lr.high))}
    within = frame.groupby("dataset").validation_accuracy.rank(pct=True)
    raw, normalised = "nrrelieff-raw", "nrrelieff"
    return {
        "as printed": Reading(frame, ASSESSED, raw),
        "normalised (ranges, log lr)": Reading(frame, ASSESSED, normalised),
        "distance on ranges": Reading(frame, linear, normalised),
        "logarithm of lr": Reading(frame.assign(lr=np.log10(frame.lr)), logarithmic, raw),
        "random search alone": Reading(frame[frame.strategy == "random"], ASSESSED, raw),
        "without clipped networks": Reading(frame[~frame.clipped], ASSESSED, raw),
        "accuracy's rank in its dataset": Reading(frame.assign(validation_accuracy=within), ASSESSED, raw),
    }


def shares(found: Mapping[str, Reading], **options: object) -> dict[str, pd.DataFrame]:
    """Shares with 95 % intervals of each reading: title -> `importance.intervals`, whose options these are."""
    return {title: intervals(*reading, **options) for title, reading in found.items()}


def concordance(
    frame: pd.DataFrame, judge: str, *, n_resamples: int = 16, seed: int = 0, **options: object
) -> pd.Series:
    """Kendall's W of the orders that a judge finds on each dataset: w, with a 95 % interval low, high over models.

    What a dataset cannot vary, such as the number of channels, does not count. Orders are of weights, not clipped at 0,
    where shares would tie. Options as for `importance.assess`.
    Raises ValueError for fewer than two datasets.
    """
    varying = {name: ASSESSED[name] for name in ASSESSED if frame.groupby("dataset")[name].nunique().max() > 1}
    model = frame.groupby(MODEL).ngroup().to_numpy()

    def w(models: np.ndarray) -> float:
        chosen = frame[np.isin(model, models)]
        alone = {
            name: assess(rows, varying, judge, seed=seed, **options).table.weight.fillna(0)
            for name, rows in chosen.groupby("dataset")
        }
        return agreement.rank_agreement(pd.DataFrame(alone)).kendall_w

    whole = w(np.unique(model))
    halves = agreement.half_samples(lambda m: [w(m)], int(model.max()) + 1, n_resamples=n_resamples, rng=seed)
    low, high = agreement.half_interval([whole], halves)
    return pd.Series({"w": whole, "low": max(0.0, low[0]), "high": min(1.0, high[0])})
