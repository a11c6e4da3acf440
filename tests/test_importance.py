"""The judges behind one call, their controls, intervals of shares."""

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.importance import PedAnovaImportanceEvaluator

from gsos import importance
from gsos.calibrated import calibrated_relief, correlation_ratio
from gsos.fanova import fanova
from gsos.importance import JUDGES, arrays, assess, compare, equal_effect_control, half_shares, intervals, null_control
from gsos.relief import normalise, nrrelieff
from gsos.space import ASSESSED, SPACES, encode, sample

SPACE = {name: SPACES["hia"][name] for name in ("num_conv_layers", "lr", "optimizer", "batch_size")}


@pytest.fixture(scope="module")
def frame():
    """Accuracy depends on log lr most, on optimizer less, on nothing else."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame([sample(SPACE, rng) for _ in range(400)])
    effect = np.log10(frame.lr) / 10 + 0.1 * (frame.optimizer == "Adam")
    return frame.assign(validation_accuracy=(0.7 + effect + rng.normal(scale=0.03, size=400)).clip(0, 1))


def test_judges_are_the_estimators_on_the_encoded_records(frame):
    X, is_categorical = encode(frame, SPACE)
    raw, _ = encode(frame, SPACE, log=False)
    p = frame.validation_accuracy.to_numpy()
    anova = fanova(X, p, is_categorical)
    expected = {
        "nrrelieff-raw": nrrelieff(raw, p, is_categorical, distance="raw"),
        "nrrelieff": nrrelieff(X, p, is_categorical),
        "rrelieff": nrrelieff(X, p, is_categorical, metric="manhattan", normalise_response=True),
        "calibrated": calibrated_relief(X, p, is_categorical)[0],
        "correlation-ratio": correlation_ratio(X, p, is_categorical),
        "fanova": anova.main,
        "fanova-total": anova.total,
    }
    for judge, weight in expected.items():
        found = assess(frame, SPACE, judge)
        assert np.array_equal(found.table.weight, weight), judge
        assert np.array_equal(found.table.share, normalise(weight)) and list(found.table.index) == list(SPACE)
        assert found.n == 400 and found.estimates == JUDGES[judge].estimates
    assert set(expected) | {"ped-anova"} == set(JUDGES)
    assert list(assess(frame, SPACE, "calibrated").table) == ["weight", "share", "z"]
    assert f"R2 out of bag {anova.r2:.2f}" in assess(frame, SPACE, "fanova-total").remark


@pytest.mark.parametrize("judge", [name for name in JUDGES if name != "nrrelieff-raw"])
def test_every_judge_finds_the_learning_rate_but_the_raw_distance_need_not(frame, judge):
    share = assess(frame, SPACE, judge).table.share
    assert share.idxmax() == "lr" and share["lr"] > 0.6


def test_ped_anova_is_optunas_on_a_study_of_categories(frame):
    """Where all are few-valued, nothing of the coordinates is left to choose: the evaluator sees the study itself."""
    space = {name: SPACE[name] for name in ("optimizer", "batch_size")}
    study = optuna.create_study()
    study.add_trials(
        optuna.trial.create_trial(
            params={name: row[name] for name in space}, distributions=space, value=1 - row["validation_accuracy"]
        )
        for row in frame.to_dict("records")
    )
    expected = PedAnovaImportanceEvaluator().evaluate(study)
    found = assess(frame, space, "ped-anova").table.weight
    assert found.to_dict() == pytest.approx(expected)


def test_compare_puts_the_shares_side_by_side(frame):
    table = compare(frame, SPACE, ["fanova", "nrrelieff"], n_neighbours=10)
    assert list(table) == ["fanova", "nrrelieff"] and np.allclose(table.sum(), 1)
    assert table.nrrelieff.equals(assess(frame, SPACE, "nrrelieff", n_neighbours=10).table.share)


def test_any_column_may_be_the_performance_and_its_gaps_do_not_count(frame):
    renamed = frame.rename(columns={"validation_accuracy": "score"})
    renamed.loc[:9, "score"] = np.nan
    found = assess(renamed, SPACE, "correlation-ratio", performance="score")
    assert found.n == 390
    expected = assess(frame.iloc[10:], SPACE, "correlation-ratio").table
    pd.testing.assert_frame_equal(found.table, expected)


def test_a_constant_hyperparameter_has_no_importance(frame):
    constant = frame.assign(lr=0.01)
    for judge in JUDGES:
        share = assess(constant, SPACE, judge).table.share
        assert share["lr"] == 0, judge
        # among neighbours by normalised distance a two-valued hyperparameter hardly differs: it need not come first
        assert share.idxmax() == "optimizer" or judge in ("nrrelieff", "rrelieff"), judge


def test_fewer_than_300_records_are_remarked(frame):
    assert "fewer than 300" in assess(frame[:200], SPACE).remark and "fewer" not in assess(frame, SPACE).remark


def test_errors_name_what_is_wrong(frame):
    with pytest.raises(ValueError, match="judge must be one of nrrelieff-raw, .*, not 'magic'"):
        assess(frame, SPACE, "magic")
    with pytest.raises(ValueError, match="performance 'loss' is no column; there are num_conv_layers"):
        assess(frame, SPACE, performance="loss")
    with pytest.raises(ValueError, match="p is the same in all 400 rows"):
        assess(frame.assign(validation_accuracy=0.1), SPACE)
    with pytest.raises(ValueError, match="lr has no value in 3 of 400 records"):
        assess(frame.assign(lr=frame.lr.mask(frame.index < 3)), SPACE)
    with pytest.raises(ValueError, match="lr = 7.0 is outside of"):
        assess(frame.assign(lr=7.0), SPACE)
    with pytest.raises(ValueError, match="n_neighbours must be an integer in \\[1, 19\\]"):
        assess(frame[:20], SPACE)


def test_the_equal_effect_control_is_the_sum_of_standardised_columns(frame):
    control = equal_effect_control(frame, SPACE)
    assert control.min() == 0 and control.max() == 1
    X, _ = arrays(frame, SPACE)[0], None
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    assert np.corrcoef(control, Z.sum(axis=1))[0, 1] == pytest.approx(1)
    assert np.array_equal(control, equal_effect_control(frame.assign(kernel=2), SPACE | {"kernel": ASSESSED["kernel"]}))


def test_the_calibrated_judge_passes_the_equal_effect_control_and_the_printed_one_fails():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame([sample(ASSESSED, rng) for _ in range(1000)])
    frame["control"] = equal_effect_control(frame, ASSESSED)
    shares = compare(frame, ASSESSED, ["calibrated", "nrrelieff-raw", "nrrelieff"], performance="control")
    ratio = shares.max() / shares.min()
    assert ratio["calibrated"] < 1.2 and ratio["nrrelieff"] > 10 and not ratio["nrrelieff-raw"] < 10
    assert shares["nrrelieff-raw"][["num_fc_units", "batch_size"]].max() < 0.01


def test_the_null_control_is_a_permutation(frame):
    p = frame.validation_accuracy.to_numpy()
    shuffled = null_control(p, 0)
    assert np.array_equal(np.sort(shuffled), np.sort(p)) and not np.array_equal(shuffled, p)
    assert np.array_equal(shuffled, null_control(p, 0))


def test_calibrated_finds_nothing_in_the_null_control(frame):
    z = [
        assess(frame.assign(validation_accuracy=null_control(frame.validation_accuracy, s)), SPACE).table.z
        for s in range(10)
    ]
    assert (np.array(z) > 2.5).mean() < 0.1


def test_intervals_hold_their_share_and_follow_the_seed(frame):
    table = intervals(frame, SPACE, "nrrelieff", n_resamples=10, seed=3)
    assert (table.low <= table.share).all() and (table.share <= table.high).all()
    assert table[["low", "high"]].stack().between(0, 1).all()
    assert table.equals(intervals(frame, SPACE, "nrrelieff", n_resamples=10, seed=3))
    assert table.share.equals(assess(frame, SPACE, "nrrelieff").table.share)
    assert table.high["lr"] > table.low["lr"] and list(table) == ["weight", "share", "low", "high"]
    assert table.high["optimizer"] > 0 == table.share["optimizer"]  # clipped at 0, but chance might have lifted it


def test_evaluations_of_one_model_are_drawn_together(frame, monkeypatch):
    """BOHB's survivors: two records of a model, in one half or in none."""
    key = {"study": "s", "strategy": "bohb", "dataset": "d", "seed": 0, "round": 0}
    twice = pd.concat([frame.assign(model=range(400), **key)] * 2, ignore_index=True)
    seen = []
    monkeypatch.setattr(
        importance, "assess", lambda rows, *a, **k: seen.append(rows) or assess(frame, SPACE, "nrrelieff")
    )
    half_shares(twice, SPACE, "nrrelieff", n_resamples=3)
    assert len(seen) == 3
    for rows in seen:
        assert len(rows) == 400 and (rows.groupby("model").size() == 2).all()


def test_a_column_called_model_is_no_key_by_itself(frame):
    named = frame.assign(model=np.where(frame.index % 2, "resnet", "vgg"))
    assert half_shares(named, SPACE, "nrrelieff", n_resamples=3).shape == (3, len(SPACE))


def test_compare_keeps_the_remarks(frame):
    remarks = compare(frame, SPACE, ["fanova", "calibrated"]).attrs["remarks"]
    assert "R2 out of bag" in remarks["fanova"] and "drawn at random" in remarks["calibrated"]


def test_titles_tell_the_forests_r2(frame):
    shares = compare(frame, SPACE, ["fanova", "calibrated"])
    r2 = assess(frame, SPACE, "fanova").table["forest R2"].iloc[0]
    assert importance.titles(shares) == {
        "fanova": f"FANOVA main (R2 out of bag {r2:.2f})",
        "calibrated": "calibrated RReliefF",
    }


def test_halves_at_hand_are_not_drawn_again(frame, monkeypatch):
    halves = half_shares(frame, SPACE, "nrrelieff", n_resamples=5)
    expected = intervals(frame, SPACE, "nrrelieff", n_resamples=5)
    monkeypatch.setattr(importance, "half_shares", None)
    assert intervals(frame, SPACE, "nrrelieff", halves=halves).equals(expected)


def test_pairs_are_ranked_with_their_names():
    matrix = np.array([[9.0, 1.0, 3.0], [1.0, 9.0, 2.0], [3.0, 2.0, 9.0]])
    ranked = importance.ranked_pairs(matrix, ["a", "b", "c"])
    assert list(ranked.index) == [("a", "c"), ("b", "c"), ("a", "b")] and list(ranked) == [3, 2, 1]
