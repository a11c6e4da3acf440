"""Strategies compared: by hand, and GSOS's own Table 3 put through our code."""

import numpy as np
import pandas as pd
import pytest

from gsos import comparison, published

ACCURACY = {  # four iterations a run; the second run of the first strategy has its optimum twice
    ("gsos", 0): [0.2, 0.5, 0.9, 0.8],
    ("gsos", 1): [0.3, 0.7, 0.7, 0.1],
    ("simultaneous", 0): [0.4, 0.6, 0.5, 0.8],
    ("simultaneous", 1): [0.1, 0.2, 0.3, 0.4],
}


@pytest.fixture
def frame():
    rows = []
    for (strategy, round_), accuracies in ACCURACY.items():
        for i, accuracy in enumerate(accuracies):
            cost = 1.0 if strategy == "gsos" else 2.0
            rows.append(
                {"dataset": "d", "strategy": strategy, "round": round_, "iteration": i, "state": "complete",
                 "validation_accuracy": accuracy, "test_accuracy": accuracy - 0.05, "train_seconds": cost * (i + 1),
                 "propose_seconds": 0.5, "n_train": 100, "epochs_trained": i + 1, "multiply_adds": 10, "n_classes": 10}
            )  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_a_run_by_hand(frame):
    runs = comparison.summarise(frame).set_index(["strategy", "round"])
    first, second = runs.loc[("gsos", 0)], runs.loc[("gsos", 1)]
    assert first.n == 4 and first.epochs == 10 and first.work == 100 * 10 * 10
    assert first.seconds == pytest.approx(1 + 2 + 3 + 4 + 4 * 0.5)
    assert first.seconds_to_optimum == pytest.approx(1 + 2 + 3 + 3 * 0.5)
    assert (first.iterations_to_optimum, second.iterations_to_optimum) == (3, 2)  # the first of equal optima
    assert first.work_to_optimum == 100 * 10 * 6
    assert (first.validation_accuracy, first.test_accuracy) == (0.9, pytest.approx(0.85))
    assert (first.first_half_best, second.first_half_best) == (0.5, 0.7)
    assert first.sooner == pytest.approx((0.2 + 0.5 + 0.9 + 0.9) / 4)
    assert first.fluctuation == pytest.approx((0.3 + 0.4 + 0.1) / 3)
    # above chance (0.1), in parts of the dataset's best (0.9): 0.125, 0.5, 1, 0.875
    assert (first.early_low, first.late_high) == (0.5, 0.5)


def test_diverged_and_failed_trials_cost_time_and_find_nothing(frame):
    frame = frame.sort_values(["strategy", "round", "iteration"], ignore_index=True)
    frame.loc[2, "state"] = "diverged"  # the optimum of the first run
    frame.loc[3, ["state", "validation_accuracy", "train_seconds"]] = ["failed", None, None]
    first = comparison.summarise(frame).iloc[0]
    assert first.validation_accuracy == 0.5 and first.iterations_to_optimum == 2
    assert first.seconds == pytest.approx(1 + 2 + 3 + 4 * 0.5)
    frame["state"] = "failed"
    nothing = comparison.summarise(frame)
    assert (nothing.validation_accuracy == 0).all() and (nothing.test_accuracy == 0).all()


def test_means_differences_and_intervals_by_hand(frame):
    found, table = comparison.compare(frame)
    assert found.loc[("d", "gsos"), "validation_accuracy"] == pytest.approx((0.9 + 0.7) / 2)
    assert found.loc[("d", "gsos"), "validation_accuracy_sd"] == pytest.approx(np.std([0.9, 0.7], ddof=1))
    assert found.loc[("d", "simultaneous"), "seconds"] == pytest.approx(22)
    row = table.loc["d"]
    assert row.time_reduction == row.time_reduction_low == row.time_reduction_high == pytest.approx(1 - 12 / 22)
    # differences of the two rounds: 0.1 and 0.3; means of two drawn with replacement: 0.1, 0.2, 0.3 as 1 : 2 : 1
    assert (row.val_change, row.val_change_low, row.val_change_high) == pytest.approx((0.2, 0.1, 0.3))
    said = comparison.describe_changes(row)
    assert said["time_reduction"] == "-45 % (-45 to -45)" and said["val_change"] == "+20.0 points (+10.0 to +30.0)"
    assert row.no_loss and (table.loc["all", ["val_change", "test_change"]] == row[["val_change", "test_change"]]).all()


def test_loss_is_judged_by_the_whole_interval(frame):
    worse = frame.assign(test_accuracy=frame.test_accuracy.where(frame["round"] == 1, 0.5))
    row = comparison.compare(worse).table_4.loc["all"]
    assert row.test_change_low == 0 and row.no_loss  # 0 and 0.3
    worse.loc[(worse.strategy == "gsos") & (worse["round"] == 0), "test_accuracy"] = 0.49
    row = comparison.compare(worse).table_4.loc["all"]
    assert row.test_change > 0.1 and row.test_change_low == pytest.approx(-0.01) and not row.no_loss


def test_table_3_of_the_paper_gives_its_averages():
    printed = published.table("gsos_table_3")
    runs = pd.DataFrame({
        "dataset": printed.name, "strategy": printed.strategy, "round": 0, "n": 100,
        "seconds": pd.to_timedelta(printed.total_time).dt.total_seconds(), "work": 1.0,
        "seconds_to_optimum": pd.to_timedelta(printed.time_to_optimum).dt.total_seconds(),
        "validation_accuracy": printed.val_accuracy, "test_accuracy": printed.test_accuracy,
    })  # fmt: skip
    pair = ("grouped_sequential", "simultaneous")
    table = comparison.table_4(comparison.paired_means(runs, pair, n_resamples=5), *pair)
    whole = table.loc["all"]
    assert 100 * whole.time_reduction == pytest.approx(31.90, abs=0.005)
    assert 100 * whole.time_to_optimum_reduction == pytest.approx(19.69, abs=0.005)
    assert 100 * whole.val_change == pytest.approx(-1.85, abs=0.005)
    assert 100 * whole.test_change == pytest.approx(-0.35, abs=0.005)
    by_dataset = published.table("gsos_table_4").set_index("name")
    ours = table.drop("all").reindex(by_dataset.index)
    np.testing.assert_allclose(100 * ours.time_reduction, by_dataset.time_reduction_percent, atol=1e-3)
    np.testing.assert_allclose(ours.val_change, by_dataset.val_accuracy_change, atol=6e-5)


def test_only_rounds_that_all_have_at_one_length_are_compared(frame):
    frame = frame.sort_values(["strategy", "round", "iteration"], ignore_index=True)
    runs = comparison.summarise(frame.iloc[:-1])  # the second round of simultaneous is one short
    means = comparison.paired_means(runs, ["gsos", "simultaneous"], n_resamples=3)
    assert means.datasets == ["d"] and means.n_rounds == [1]
    assert means.values["gsos"]["validation_accuracy"].tolist() == [[0.9]] * 4
    with pytest.raises(ValueError, match=r"no round has all of the strategies \['gsos', 'random'\]"):
        comparison.paired_means(runs, ["gsos", "random"])


def test_resamples_draw_the_same_rounds_for_all_strategies(frame):
    runs = comparison.summarise(frame)
    copy = runs[runs.strategy == "gsos"].assign(strategy="copy")
    means = comparison.paired_means(pd.concat([runs, copy]), ["gsos", "copy"])
    assert (means.values["gsos"]["sooner"] == means.values["copy"]["sooner"]).all()
    assert len(np.unique(means.values["gsos"]["sooner"])) == 3  # both rounds, or one of them twice
    again = comparison.paired_means(pd.concat([runs, copy]), ["gsos", "copy"])
    assert (again.values["gsos"]["seconds"] == means.values["gsos"]["seconds"]).all()


def test_what_the_schedule_of_epochs_alone_saves():
    """GSOS's groups, 40, 30 and 30 iterations: 1 - (400 + 1650 + 30 e) / 5500 for a best number of epochs e."""
    best = np.array([50, 55, 60, 70])
    saved = comparison.schedule_saving([40, 30, 30], 1, 10, 55, best)
    np.testing.assert_allclose(saved, 1 - (400 + 1650 + 30 * best) / 5500)
    np.testing.assert_allclose(saved, [0.355, 0.327, 0.300, 0.245], atol=1e-3)
    assert comparison.schedule_saving([40, 30, 30], 0, 10, 55, np.array([55])) == 0  # tuned first: nothing is saved


def test_the_best_so_far_on_a_grid(frame):
    by_iteration = comparison.anytime(frame, "iteration", np.arange(4)).set_index(["strategy", "at"])
    assert by_iteration.loc["gsos", "mean"].tolist() == pytest.approx([0.25, 0.6, 0.8, 0.8])
    error = np.std([0.9, 0.7], ddof=1) / np.sqrt(2)
    assert by_iteration.loc[("gsos", 3), ["low", "high"]].tolist() == pytest.approx([0.8 - error, 0.8 + error])
    by_time = comparison.anytime(frame, "seconds", np.array([0.0, 1.5, 3.9, 4.0, 99.0])).set_index(["strategy", "at"])
    assert np.isnan(by_time.loc[("gsos", 0.0), "mean"])  # no trial has ended yet
    assert by_time.loc["gsos", "mean"].tolist()[1:] == pytest.approx([0.25, 0.25, 0.6, 0.8])


def test_rolling_means_over_iterations(frame):
    curve = comparison.by_iteration(comparison.add_progress(frame), "accuracy", window=3).set_index(["strategy", "at"])
    first = [(0.2 + 0.5) / 2, (0.2 + 0.5 + 0.9) / 3, (0.5 + 0.9 + 0.8) / 3, (0.9 + 0.8) / 2]
    second = [(0.3 + 0.7) / 2, (0.3 + 0.7 + 0.7) / 3, (0.7 + 0.7 + 0.1) / 3, (0.7 + 0.1) / 2]
    assert curve.loc["gsos", "mean"].tolist() == pytest.approx(np.mean([first, second], axis=0).tolist())


def test_density_is_highest_where_the_trials_are():
    rng = np.random.default_rng(0)
    trials = pd.DataFrame({
        "dataset": "d", "strategy": np.repeat(["a", "b"], 200), "iteration": np.tile(np.arange(40), 10),
        "accuracy": np.concatenate([rng.normal(0.8, 0.03, 200), rng.uniform(0, 1, 200)]),
    })  # fmt: skip
    (iteration, accuracy), found = comparison.density(trials, ["a", "b"], cells=41)
    dense, spread = found["d", "a"], found["d", "b"]
    assert iteration.min() == 1 and iteration.max() == 40 and dense.shape == (41, 41)
    assert dense.max() == 1 and spread.max() < 0.5
    assert accuracy.ravel()[dense.argmax()] == pytest.approx(0.8, abs=0.03)
