"""Figures draw what they are given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402

from gsos import figures, figures_gsos, figures_hia, published  # noqa: E402
from gsos.distribution import ACCURACY_EDGES  # noqa: E402


@pytest.fixture(autouse=True)
def styled():
    """As a notebook has them, whatever another test left behind."""
    figures.style()
    yield
    plt.close("all")


def test_amounts_draw_one_bar_a_strategy_and_dataset():
    amounts = pd.DataFrame({"random": [7, 14], "bohb": [3, 6]}, index=["a", "b"])
    ours, paper = figures_hia.hia_fig2_amounts(amounts, published.table("hia_figure_2")).axes
    assert [bar.get_width() for bar in ours.patches] == [7, 14, 3, 6]
    assert [bar.get_x() for bar in ours.patches] == [0, 0, 7, 14]  # stacked
    assert sum(bar.get_width() for bar in paper.patches) == 11_150
    assert paper.get_xlabel() and ours.get_ylabel()


def test_distribution_draws_percent_stacked():
    share = pd.DataFrame({"random": np.full(10, 0.07), "bohb": np.full(10, 0.03)})
    (ax,) = figures_hia.hia_fig3_distribution({"x": share}, ACCURACY_EDGES).axes
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([7] * 10 + [3] * 10)
    assert ax.patches[10].get_y() == pytest.approx(7)


def test_random_and_bohb_draws_every_record_and_interval():
    frame = pd.DataFrame(
        {
            "dataset": ["d"] * 4,
            "proposal": ["random search"] * 3 + ["BOHB, 1 epoch"],
            "validation_accuracy": [0.1, 0.2, 0.3, 0.4],
        }
    )
    intervals = pd.DataFrame(
        {
            "dataset": "d",
            "proposal": ["random search", "BOHB, 1 epoch"],
            "median": [0.2, 0.4],
            "low": [0.1, np.nan],
            "high": 0.5,
        }
    )
    (ax,) = figures_hia.hia_random_and_bohb(frame, intervals).axes
    drawn = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "."])
    assert sorted(drawn) == [0.1, 0.2, 0.3, 0.4]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["random search", "BOHB, 1 epoch"]


SHARES = pd.DataFrame({"share": [0.7, 0.3], "low": [0.5, 0.3], "high": [0.9, 0.4]}, index=["lr", "epoch"])


def test_shares_are_drawn_beside_the_papers_where_it_has_some():
    paper = {"a": pd.Series({"epoch": 0.2, "lr": 0.8})}
    first, second = figures_hia.importance_beside_paper({"a": SHARES, "b": SHARES}, paper, {"a": "A", "b": "B"}).axes
    (ours,) = first.containers
    assert list(ours.lines[0].get_xdata()) == [0.7, 0.3]
    low, high = zip(*(segment[:, 0] for segment in ours.lines[2][0].get_segments()), strict=True)
    assert np.allclose(low, SHARES.low) and np.allclose(high, SHARES.high)
    (diamonds,) = [line for line in first.lines if line.get_marker() == "D"]
    assert list(diamonds.get_xdata()) == [0.8, 0.2]  # in our order
    assert not [line for line in second.lines if line.get_marker() == "D"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["lr", "epoch"] and first.yaxis_inverted()


def test_lists_are_drawn_dot_by_dot():
    lists = pd.DataFrame([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]], index=["lr", "epoch"])
    (ax,) = figures_hia.hia_fig4_lists({"ten": lists}).axes
    assert [list(line.get_xdata()) for line in ax.lines] == [[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]]
    assert ax.get_xlabel() == "share of importance" and ax.get_title(loc="left") == "ten"


def test_heat_maps_hold_every_share():
    columns = pd.MultiIndex.from_product([["a", "b"], ["all", "digits"]])
    shares = pd.DataFrame([[0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7, 0.6]], index=["lr", "epoch"], columns=columns)
    axes = figures_hia.importance_across(shares, {"a": "A", "b": "B"}).axes
    assert [text.get_text() for text in axes[0].texts] == ["0.10", "0.20", "0.90", "0.80"]
    assert [label.get_text() for label in axes[1].get_xticklabels()] == ["all", "digits"]
    assert axes[2].get_ylabel() == "share of importance"


def test_pairs_are_drawn_below_the_diagonal_only():
    matrix = pd.DataFrame(np.arange(9.0).reshape(3, 3), index=list("abc"), columns=list("abc"))
    ax, bar = figures_hia.pair_matrices({"pairs": matrix}, {"pairs": "share of variance"}).axes
    assert ax.collections[0].get_array().compressed().tolist() == [3, 6, 7]
    assert bar.get_ylabel() == "share of variance"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c"]


def test_known_truth_is_drawn_with_the_mean_error():
    shares = pd.DataFrame({name: [0.6, 0.4] for name in "abcde"}, index=["lr", "epoch"])
    truth = pd.Series([0.5, 0.5], index=["lr", "epoch"])
    axes = figures_hia.judges_on_known_truth(shares, truth, {name: name.upper() for name in "abcde"}).axes
    assert [ax.get_visible() for ax in axes] == [True] * 5 + [False] * 3
    assert axes[4].get_title(loc="left") == "E\nmean error 0.100"
    truth_line, found = axes[0].lines
    assert list(truth_line.get_xdata()) == [0.5, 0.5] and list(found.get_xdata()) == [0.6, 0.4]


def test_chance_is_drawn_in_parts_of_the_largest_real_weight():
    real = {name: pd.Series([4.0, -1.0], index=["lr", "epoch"]) for name in "abcde"}
    chance = {name: pd.DataFrame([[2.0, -2.0], [1.0, 0.0]]) for name in "abcde"}
    ax = figures_hia.weights_by_chance(real, chance, {name: name for name in "abcde"}).axes[0]
    first, second, dots = ax.lines[:3]
    assert list(first.get_xdata()) == [0.5, -0.5] and list(second.get_xdata()) == [0.25, 0]
    assert list(dots.get_xdata()) == [1, -0.25]


def test_saved_files_are_the_same_again(tmp_path):
    for name in ("a", "b"):
        figures.style()
        figures.save(figures_hia.hia_fig1_workflow(), tmp_path, name, "a footer")
    for suffix in ("png", "svg"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_expected_improvement_is_drawn_by_gamma():
    frame = pd.DataFrame({"gamma": [0.15, 0.25, 0.25], "acquisition": [1.0, 2.0, 3.0], "ei": [0.1, 0.2, 0.3]})
    first, second = figures_gsos.ei_beside_acquisition({"a": frame, "b": frame[:1]}).axes
    assert [list(line.get_ydata()) for line in first.lines] == [[0.1], [0.2, 0.3]] and len(second.lines) == 1
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["γ = 0.15", "γ = 0.25"]


def test_densities_are_drawn_beside_the_truth():
    x = np.linspace(0, 1, 5)
    truth = pd.DataFrame({"x": x, "loss": x, "acquisition": [2.0, 2.0, 0.0, 0.0, 0.0]})
    trials = pd.DataFrame({"x": [0.1, 0.9, 0.8], "loss": [0.1, 0.9, 0.8], "good": [True, False, False]})
    estimate = pd.DataFrame({"x": x, "l": 1 - x, "g": x, "acquisition": [np.nan, 4.0, 1.0, 0.5, 0.0]})
    axes = figures_gsos.tpe_densities(truth, trials, 0.25, {"a": estimate, "b": estimate}).axes
    assert len(axes) == 6 and [ax.get_title(loc="left") for ax in axes[2::2]] == ["a", "b"]
    line, threshold, good, bad = axes[0].lines
    assert list(good.get_xdata()) == [0.1] and list(bad.get_xdata()) == [0.9, 0.8]
    assert list(threshold.get_ydata()) == [0.25, 0.25] and list(line.get_ydata()) == list(x)
    density = {line.get_label(): list(line.get_ydata()) for line in axes[2].lines}
    assert density["l"] == list(1 - x) and density["g"] == list(x)
    assert all(ax.get_ylim()[1] >= 4 for ax in axes[1::2])  # one scale for all acquisitions
    shaded = axes[5].collections[0].get_paths()[0].vertices[:, 0]
    assert shaded.min() == 0 and shaded.max() == 0.25


def test_kernels_are_drawn_with_their_sum():
    kernels = pd.DataFrame({0: [0.0, 1.0, 0.0], 1: [0.0, 0.5, 1.0], "prior": [0.2, 0.2, 0.2]}, index=[0.0, 0.5, 1.0])
    shares = pd.DataFrame({"seen": [0.75, 0.25], "counts": [0.7, 0.3]}, index=["adam", "sgd"])
    without = kernels.assign(prior=0.0)
    first, second, bars = figures_gsos.tpe_ingredients({"without prior": without, "with": kernels}, shares).axes
    assert len(first.lines) == 3 and list(first.lines[-1].get_ydata()) == [0, 1.5, 1]
    assert len(second.lines) == 4 and list(second.lines[-1].get_ydata()) == pytest.approx([0.2, 1.7, 1.2])
    assert [bar.get_height() for bar in bars.patches] == [0.75, 0.25, 0.7, 0.3]
    assert [label.get_text() for label in bars.get_xticklabels()] == ["adam", "sgd"]


def test_the_sweep_of_bandwidths_draws_intervals_and_both_references():
    index = pd.MultiIndex.from_product([["f", "mean"], ["random", "robust", "h = 1", "h = 0.1"]])
    quotient = [1.0, 0.3, 2.0, 0.5, 1.0, 0.4, 1.5, 0.6]
    parts = pd.DataFrame({"quotient": quotient, "low": np.array(quotient) / 2, "high": np.array(quotient) * 2}, index)
    axes = figures_gsos.tpe_bandwidth_sweep(parts, {"h = 0.1": 0.1, "h = 1": 1.0}, {"f": "F", "mean": "all"}).axes
    assert [ax.get_visible() for ax in axes] == [True, True, False, False]
    (plain,) = axes[0].containers
    assert list(plain.lines[0].get_xdata()) == [0.1, 1] and list(plain.lines[0].get_ydata()) == [0.5, 2]
    low, high = zip(*(segment[:, 1] for segment in plain.lines[2][0].get_segments()), strict=True)
    assert np.allclose(low, [0.25, 1]) and np.allclose(high, [1, 4])
    references = [line.get_ydata()[0] for line in axes[1].lines[:2]]
    assert references == [1, 0.4] and axes[1].get_title(loc="left") == "all"


def test_table_5_is_drawn_with_the_span_of_repeats_and_the_papers_diamonds():
    frame = pd.DataFrame(
        {"peer": ["gsos", "gsos", "optuna"], "d": [1, 2, 1], "median": [0.2, 0.4, 3], "low": [0.1, 0.4, 2], "high": 4}
    )
    paper = pd.Series([1.3, 1.5], index=[1, 2])
    seconds, papers = {"pauses": frame[:2], "alone": frame}, {"pauses": paper, "alone": paper - 1}
    left, right = figures_gsos.gsos_table_5(seconds, papers, {"gsos": "ours", "optuna": "Optuna"}).axes
    ours, optuna = right.containers
    assert list(ours.lines[0].get_xdata()) == [1, 2] and list(ours.lines[0].get_ydata()) == [0.2, 0.4]
    assert [tuple(segment[:, 1]) for segment in optuna.lines[2][0].get_segments()] == [(2, 4)]
    (diamonds,) = [line for line in left.lines if line.get_marker() == "D"]
    assert list(diamonds.get_ydata()) == [1.3, 1.5]
    assert left.get_ylim()[0] == 0 and (left.get_yscale(), right.get_yscale()) == ("linear", "log")
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["paper", "ours", "Optuna"]


def test_growth_is_drawn_a_line_a_peer():
    table = pd.DataFrame({"gsos": [0.3, 2.0], "hyperopt": [9.0, 30.0]}, index=[30, 1000])
    (ax,) = figures_gsos.tpe_growth(table, {"gsos": "ours", "hyperopt": "Hyperopt"}).axes
    assert [list(line.get_ydata()) for line in ax.lines] == [[0.3, 2.0], [9.0, 30.0]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["30", "1000"]
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_readings_stand_in_panels_beside_the_paper():
    names = ["lr", "epoch"]
    shares = pd.DataFrame({"share": [0.7, 0.3], "low": [0.5, 0.1], "high": [0.9, 0.5]}, index=names)
    paper = pd.Series({"epoch": 0.4, "lr": 0.6})
    figure = figures_hia.importance_readings({f"reading {i}": shares for i in range(5)}, paper)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") or ax.get_title() for ax in shown] == [f"reading {i}" for i in range(5)]
    for ax in shown:
        diamonds = next(line for line in ax.lines if line.get_marker() == "D")
        assert diamonds.get_xdata().tolist() == [0.6, 0.4]
    labelled = [ax for ax in shown if ax.get_xlabel() == "share of importance"]
    assert len(labelled) == 4  # of five panels four have nothing below them


def test_cost_and_accuracy_draws_a_point_a_strategy_with_both_intervals():
    columns = ["time", "time_low", "time_high", "change", "change_low", "change_high"]
    first = pd.DataFrame([[70.0, 60, 80, -1, -2, 0]], index=["gsos"], columns=columns)
    second = pd.DataFrame([[70.0, 60, 80, -1, -2, 0], [40.0, 30, 50, -3, -5, 1]], ["gsos", "epoch schedule"], columns)
    labels = {"gsos": "GSOS", "epoch schedule": "schedule", "simultaneous": "TPE"}
    figure = figures_gsos.cost_and_accuracy({"six": first, "two": second}, "simultaneous", labels)
    left, right = figure.axes
    assert [len(left.containers), len(right.containers)] == [1, 2]
    across, up = right.containers[1].lines[2]
    assert across.get_segments()[0].tolist() == [[30, -3], [50, -3]] and up.get_segments()[0].tolist() == [
        [40, -5],
        [40, 1],
    ]
    assert [text.get_text() for text in figure.legends[0].texts] == ["TPE", "GSOS", "schedule"]
    assert "TPE's" in left.get_xlabel() and "TPE's" in left.get_ylabel()
