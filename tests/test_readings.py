"""Readings of HIA's Table 3 differ in what they should, and concordance is Kendall's W with an interval."""

import numpy as np
import pandas as pd
import pytest

from gsos import readings
from gsos.importance import assess
from gsos.space import ASSESSED, sample

OPTIONS = {"n_neighbours": 10, "seed": 0}


@pytest.fixture(scope="module")
def frame():
    """Two datasets, one with 0.5 more accuracy; in both the learning rate's logarithm is all that matters."""
    rng = np.random.default_rng(0)
    rows = [sample(ASSESSED, rng) for _ in range(400)]
    frame = pd.DataFrame(rows).assign(dataset=np.repeat(["a", "b"], 200), strategy=["random", "bohb"] * 200)
    frame["in_channel_num"] = np.where(frame.dataset == "a", 1, 3)
    frame[["study", "seed", "round"]] = ["s", 0, 0]
    frame["model"] = np.arange(400)
    frame["clipped"] = rng.random(400) < 0.2
    frame["validation_accuracy"] = 0.4 * (np.log10(frame.lr) + 6) / 5 + np.where(frame.dataset == "a", 0.5, 0.0)
    return frame


def test_each_reading_differs_in_one_respect(frame):
    found = readings.readings(frame)
    assert found["as printed"].judge == "nrrelieff-raw" and found["as printed"].records is frame
    normalised = found["normalised (ranges, log lr)"]
    assert normalised.judge == "nrrelieff" and normalised.space["lr"].log
    assert not found["distance on ranges"].space["lr"].log
    assert (found["random search alone"].records.strategy == "random").all()
    assert not found["without clipped networks"].records.clipped.any()
    logarithm = found["logarithm of lr"]
    assert logarithm.records.lr.between(-6, -1).all() and (logarithm.space["lr"].low, logarithm.space["lr"].high) == (
        -6,
        -1,
    )
    ranks = found["accuracy's rank in its dataset"].records
    assert ranks.groupby("dataset").validation_accuracy.mean().tolist() == pytest.approx([0.5025, 0.5025])


def test_pooling_alone_makes_the_channels_important_and_ranks_take_it_away(frame):
    found = readings.shares(readings.readings(frame), n_resamples=4, **OPTIONS)
    assert found["as printed"].share.idxmax() == "in_channel_num"
    ranks = readings.readings(frame)["accuracy's rank in its dataset"]
    alone = assess(ranks.records, ASSESSED, "nrrelieff", **OPTIONS).table.share
    assert alone.idxmax() == "lr" and alone.in_channel_num < 0.05
    for share in found.values():
        assert list(share.index) == list(ASSESSED) and ((share.low <= share.high) & (share.low >= 0)).all()


def test_concordance_is_one_where_datasets_agree_and_has_an_interval(frame):
    same = pd.concat([frame[frame.dataset == "a"], frame[frame.dataset == "a"].assign(dataset="b")], ignore_index=True)
    assert readings.concordance(same, "fanova", n_resamples=4, **OPTIONS).w == pytest.approx(1)
    found = readings.concordance(frame, "nrrelieff-raw", n_resamples=6, **OPTIONS)
    assert 0 <= found.low <= found.w <= found.high <= 1 and found.low < found.high
    with pytest.raises(ValueError, match="2 columns"):
        readings.concordance(frame[frame.dataset == "a"], "fanova", n_resamples=4, **OPTIONS)


def test_concordance_ranks_weights_that_are_not_clipped(frame):
    """Against Kendall's formula, 12 S / (m^2 (k^3 - k)), by hand; here half of the weights are below 0."""
    varying = {name: ASSESSED[name] for name in ASSESSED if name != "in_channel_num"}
    alone = [assess(rows, varying, "nrrelieff", **OPTIONS).table.weight for _, rows in frame.groupby("dataset")]
    assert min((weight < 0).sum() for weight in alone) > 1  # as shares they would tie
    (k, m), ranks = (len(varying), len(alone)), sum(weight.rank() for weight in alone)
    expected = 12 * ((ranks - ranks.mean()) ** 2).sum() / (m**2 * (k**3 - k))
    assert readings.concordance(frame, "nrrelieff", n_resamples=2, **OPTIONS).w == pytest.approx(expected)
