"""Judges on rows of recorded tables: samples, scores by hand, intervals, and from how many trials on one is good."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

import gsos.judging
from gsos.judging import BLEND, COLUMNS, TITLES, n_seeds_at, run_judges, score, summarise, trials_needed
from gsos.replay import Table

FEW = dict(tables=["australian"], judges=["fanova", "correlation-ratio"], sizes=[60, 120], n_seeds=2)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Records of few seeds, and where they are stored."""
    store = tmp_path_factory.mktemp("judges")
    return run_judges(**FEW, store=store, workers=1), store


# --- records ----------------------------------------------------------------------------------------------------------


def test_every_judge_says_something_of_every_hyperparameter_at_every_size(few):
    records, _ = few
    assert list(records) == list(COLUMNS)
    groups = records.groupby(["seed", "n", "judge"], observed=True)
    assert len(groups) == 2 * 2 * 2
    for _, group in groups:
        assert list(group.hyperparameter) == list(Table("australian").space)
        assert group.seconds.nunique() == 1 and group.seconds.iloc[0] > 0
    assert records.weight.nunique() == len(records)  # other rows and other judges find other weights


def test_records_do_not_depend_on_workers_sizes_or_judges(few, tmp_path):
    records, _ = few
    again = run_judges(**FEW, store=tmp_path / "two", workers=2)
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), records.drop(columns="seconds"))
    part = run_judges(["australian"], ["correlation-ratio"], [120], n_seeds=1, store=tmp_path / "one", workers=1)
    same = records[(records.seed == 0) & (records.n == 120) & (records.judge == "correlation-ratio")]
    assert part.weight.tolist() == same.weight.tolist()


def test_stored_records_are_not_made_again(few, monkeypatch):
    records, store = few
    monkeypatch.setattr(gsos.judging, "get_context", None)
    pd.testing.assert_frame_equal(run_judges(**FEW, store=store), records)
    with pytest.raises(TypeError):  # another question is not answered by them
        run_judges(**FEW | {"n_seeds": 3}, store=store)


def test_from_all_configurations_the_correlation_ratio_finds_the_main_effects(tmp_path):
    table = Table("cifar10")
    records = run_judges(["cifar10"], ["correlation-ratio"], [len(table)], n_seeds=3, store=tmp_path, workers=1)
    assert set(records.seed) == {0}  # of more rows than 12,500, one seed
    found = records.set_index("hyperparameter").weight[list(table.space)]
    np.testing.assert_allclose(found, table.exact_importance().main, rtol=0, atol=0.005)  # one seed, not their mean


def test_larger_samples_get_fewer_seeds():
    assert [n_seeds_at(n, 20) for n in (50, 1000, 1250, 2000, 5000, 25_000, 30_000)] == [20, 20, 20, 12, 5, 1, 1]
    assert n_seeds_at(5000, 3) == 3


# --- scores -----------------------------------------------------------------------------------------------------------


def records_of(weights, name="australian", n=100):
    """Records of one seed: judge -> weights in the order of the table's hyperparameters."""
    names = list(Table(name).space)
    return pd.DataFrame(
        [(name, 0, n, judge, key, w, 0.5) for judge, of in weights.items() for key, w in zip(names, of, strict=True)],
        columns=list(COLUMNS),
    )


def scores_of(weights, effect, name="australian"):
    scores = score(records_of(weights, name))
    return scores[scores.effect == effect].set_index("judge")


@pytest.mark.parametrize("effect", ["main", "total"])
@pytest.mark.parametrize("name", ["australian", "cifar10", "protein_structure"])
def test_the_truth_scores_best_and_its_opposite_worst(name, effect):
    exact = getattr(Table(name).exact_importance(), effect).to_numpy()
    k = len(exact)
    others = np.delete(exact, exact.argmax())
    scores = scores_of({"fanova": 7 * exact, "rrelieff": -exact, "nrrelieff": np.ones(k), "calibrated": [0.0] * k},
                       effect, name)  # fmt: skip
    np.testing.assert_allclose(scores.loc["fanova", ["spearman", "share_error", "top3"]].tolist(), [1, 0, 1], atol=1e-9)
    assert scores.spearman["rrelieff"] == pytest.approx(-1)
    # Nothing positive is a share of 0 for all, so the error is the mean exact share.
    assert scores.share_error["rrelieff"] == scores.share_error["calibrated"] == pytest.approx(1 / k)
    assert scores.spearman["nrrelieff"] == scores.spearman["calibrated"] == 0
    equal = np.abs(1 / k - exact / exact.sum()).mean()
    assert scores.share_error["nrrelieff"] == pytest.approx(equal)
    alone = scores_of({"fanova": np.where(exact == exact.max(), 1.0, -0.5)}, effect, name)
    expected = (1 - exact.max() / exact.sum() + others.sum() / exact.sum()) / k
    assert alone.share_error["fanova"] == pytest.approx(expected)


@given(weights=st.lists(st.floats(-1, 1, width=32), min_size=9, max_size=9, unique=True))
@settings(max_examples=50, deadline=None)
def test_rank_correlation_and_hits_are_what_scipy_and_sets_say(weights):
    effects = Table("protein_structure").exact_importance()
    found = score(records_of({"fanova": weights}, "protein_structure"))
    names = list(effects.main.index)
    three = {names[i] for i in sorted(range(9), key=lambda i: -weights[i])[:3]}
    for row, exact in zip(found.itertuples(), (effects.main, effects.total), strict=True):
        assert row.spearman == pytest.approx(spearmanr(weights, exact).statistic)
        assert row.top3 == pytest.approx(len(three & set(exact.nlargest(3).index)) / 3)
        assert 0 <= row.share_error <= 2 / 9 and row.family == "hpolib"


def test_the_blend_is_the_mean_of_two_shares():
    weights = {"calibrated": [0.3, 0.1, -0.2, 0.6, 0.0], "fanova-total": [0.2, 0.2, 0.2, 0.2, 0.2]}
    scores = scores_of(weights, "total")
    assert list(scores.index) == [*weights, BLEND] and set(scores.index) <= set(TITLES)
    assert scores.seconds.tolist() == [0.5, 0.5, 1.0]
    expected = scores_of({"fanova": [0.25, 0.15, 0.1, 0.4, 0.1]}, "total").loc["fanova"]
    for measure in ("spearman", "share_error", "top3"):
        assert scores.loc[BLEND, measure] == pytest.approx(expected[measure])
    assert BLEND not in set(score(records_of({"calibrated": weights["calibrated"]})).judge)


def test_scores_of_a_run_are_those_of_each_of_its_parts(few):
    records, _ = few
    scores = score(records)
    assert len(scores) == 2 * 2 * 2 * 2 and (scores.family == "hpobench mlp").all()
    exact = Table("australian").exact_importance().main
    for row in scores[scores.effect == "main"].itertuples():
        own = records[(records.seed == row.seed) & (records.n == row.n) & (records.judge == row.judge)]
        weights = own.set_index("hyperparameter").weight[exact.index]
        assert row.spearman == pytest.approx(spearmanr(weights, exact).statistic)
        assert row.seconds == own.seconds.iloc[0]
    assert scores.groupby(["judge", "n"]).share_error.mean()["fanova", 120] < 0.1


# --- summaries --------------------------------------------------------------------------------------------------------


def made_up(values, n=100, effect="main"):
    """Scores: (family, table) -> judge -> values of seeds; of all measures alike."""
    rows = [
        (table, family, seed, n, judge, effect, value, value, value, 1.0)
        for (family, table), of_judges in values.items()
        for judge, of_seeds in of_judges.items()
        for seed, value in enumerate(of_seeds)
    ]
    columns = ["table", "family", "seed", "n", "judge", "effect", "spearman", "share_error", "top3", "seconds"]
    return pd.DataFrame(rows, columns=columns)


def test_families_count_alike_and_the_worse_of_two_is_behind_the_better():
    scores = made_up({
        ("a", "a1"): {"x": [0.5, 0.5], "y": [0.4, 0.4]},
        ("b", "b1"): {"x": [0.9, 0.9], "y": [0.7, 0.7]},
        ("b", "b2"): {"x": [0.7, 0.7], "y": [0.7, 0.7]},
    })  # fmt: skip
    found = summarise(scores).set_index(["family", "judge"])
    assert found["mean"].to_dict() == pytest.approx({
        ("a", "x"): 0.5, ("a", "y"): 0.4, ("b", "x"): 0.8, ("b", "y"): 0.7, ("all", "x"): 0.65, ("all", "y"): 0.55,
    })  # fmt: skip
    assert found.loc[("a", "y"), ["low", "high"]].tolist() == pytest.approx([0.4, 0.4])  # nothing varies
    assert found.loc[("b", "x"), ["low", "high"]].tolist() == pytest.approx([0.7, 0.9])  # one table twice, or the other
    assert found.behind.to_dict() == pytest.approx({
        ("a", "x"): 0, ("a", "y"): 0.1, ("b", "x"): 0, ("b", "y"): 0.1, ("all", "x"): 0, ("all", "y"): 0.1,
    })  # fmt: skip
    assert found.loc[("b", "y"), ["behind_low", "behind_high"]].tolist() == pytest.approx([0, 0.2])
    assert found.among_best.to_dict() == {
        ("a", "x"): True, ("a", "y"): False, ("b", "x"): True, ("b", "y"): True,
        ("all", "x"): True, ("all", "y"): False,
    }  # fmt: skip
    errors = summarise(scores, "share_error").set_index(["family", "judge"])
    assert errors.behind["all", "x"] == pytest.approx(0.1) and errors.behind["all", "y"] == 0
    assert errors["mean"].equals(found["mean"])


def test_intervals_are_those_of_a_mean_over_seeds_and_pair_the_judges():
    rng = np.random.default_rng(0)
    shared = rng.normal(0.5, 0.1, 50)
    of_judges = {"x": shared, "y": shared - 0.02 + 0.001 * rng.normal(size=50)}
    found = summarise(made_up({("a", "a1"): of_judges})).set_index(["family", "judge"])
    half = 1.96 * shared.std() / np.sqrt(50)
    for judge in "xy":
        low, high = found.loc[("all", judge), ["low", "high"]]
        assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    assert found.loc[("all", "y"), ["behind_low", "behind_high"]].tolist() == pytest.approx([0.02, 0.02], abs=0.001)


def test_a_summary_is_the_same_each_time_and_keeps_sizes_and_effects_apart():
    rng = np.random.default_rng(1)
    scores = pd.concat(
        made_up({("a", t): {"x": rng.random(4), "y": rng.random(4)} for t in ("a1", "a2")}, n, effect)
        for n in (50, 200)
        for effect in ("main", "total")
    )
    found = summarise(scores, "top3")
    pd.testing.assert_frame_equal(found, summarise(scores, "top3"))
    assert not found.low.equals(summarise(scores, "top3", seed=1).low)
    expected = scores.groupby(["effect", "n", "judge"]).top3.mean()
    family = found[found.family == "a"].set_index(["effect", "n", "judge"])
    pd.testing.assert_series_equal(family["mean"], expected, check_names=False)
    assert (found.low <= found["mean"]).all() and (found["mean"] <= found.high).all()


def test_trials_needed_are_counted_from_the_largest_size_down():
    columns = ["family", "effect", "n", "judge", "mean", "among_best"]
    rows = [
        ("all", "main", n, judge, mean, best)
        for judge, values in {
            "late": [(50, 0.5, False), (100, 0.9, True), (300, 0.95, True)],
            "lucky": [(50, 0.9, True), (100, 0.7, False), (300, 0.85, True)],
            "never": [(50, 0.1, True), (100, 0.2, True), (300, 0.3, False)],
        }.items()
        for n, mean, best in values
    ]
    summary = pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0)
    best = trials_needed(summary).loc[("all", "main")]
    assert best["late"] == 100 and best["lucky"] == 300 and np.isnan(best["never"])
    level = trials_needed(summary, 0.85).loc[("all", "main")]
    assert level["late"] == 100 and level["lucky"] == 300 and np.isnan(level["never"])
    assert trials_needed(summary, 0.1).loc[("all", "main")].tolist() == [50] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(tables=["iris"]), r"tables must be of naval_propulsion, .*, not 'iris'"),
        (dict(judges=["fanova", "oracle"]), r"judges must be of nrrelieff-raw, .*, not 'oracle'"),
        (dict(n_seeds=0), "n_seeds must be at least 1, not 0"),
        (
            dict(sizes=[40_000]),
            r"sizes must be an integer in \[2, 30000\] \(there are 30000 configurations\), not 40000",
        ),
        (dict(sizes=[1]), r"sizes must be an integer in \[2, 30000\]"),
    ],
)
def test_what_cannot_be_judged_is_refused(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run_judges(**FEW | change, store=tmp_path, workers=1)
    assert not list(tmp_path.glob("*.parquet"))


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match="measure must be one of spearman, share_error, top3, not 'kendall'"):
        summarise(made_up({("a", "a1"): {"x": [1.0, 1.0]}}), "kendall")
