"""Figures draw what they are given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402

from gsos import figures, published  # noqa: E402
from gsos.distribution import ACCURACY_EDGES  # noqa: E402


@pytest.fixture(autouse=True)
def styled():
    """As a notebook has them, whatever another test left behind."""
    figures.style()
    yield
    plt.close("all")


def test_amounts_draw_one_bar_a_strategy_and_dataset():
    amounts = pd.DataFrame({"random": [7, 14], "bohb": [3, 6]}, index=["a", "b"])
    ours, paper = figures.hia_fig2_amounts(amounts, published.table("hia_figure_2")).axes
    assert [bar.get_width() for bar in ours.patches] == [7, 14, 3, 6]
    assert [bar.get_x() for bar in ours.patches] == [0, 0, 7, 14]  # stacked
    assert sum(bar.get_width() for bar in paper.patches) == 11_150
    assert paper.get_xlabel() and ours.get_ylabel()


def test_distribution_draws_percent_stacked():
    share = pd.DataFrame({"random": np.full(10, 0.07), "bohb": np.full(10, 0.03)})
    (ax,) = figures.hia_fig3_distribution({"x": share}, ACCURACY_EDGES).axes
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
    (ax,) = figures.hia_random_and_bohb(frame, intervals).axes
    drawn = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "."])
    assert sorted(drawn) == [0.1, 0.2, 0.3, 0.4]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["random search", "BOHB, 1 epoch"]


SHARES = pd.DataFrame({"share": [0.7, 0.3], "low": [0.5, 0.3], "high": [0.9, 0.4]}, index=["lr", "epoch"])


def test_shares_are_drawn_beside_the_papers_where_it_has_some():
    paper = {"a": pd.Series({"epoch": 0.2, "lr": 0.8})}
    first, second = figures.importance_beside_paper({"a": SHARES, "b": SHARES}, paper, {"a": "A", "b": "B"}).axes
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
    (ax,) = figures.hia_fig4_lists({"ten": lists}).axes
    assert [list(line.get_xdata()) for line in ax.lines] == [[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]]
    assert ax.get_xlabel() == "share of importance" and ax.get_title(loc="left") == "ten"


def test_heat_maps_hold_every_share():
    columns = pd.MultiIndex.from_product([["a", "b"], ["all", "digits"]])
    shares = pd.DataFrame([[0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7, 0.6]], index=["lr", "epoch"], columns=columns)
    axes = figures.importance_across(shares, {"a": "A", "b": "B"}).axes
    assert [text.get_text() for text in axes[0].texts] == ["0.10", "0.20", "0.90", "0.80"]
    assert [label.get_text() for label in axes[1].get_xticklabels()] == ["all", "digits"]
    assert axes[2].get_ylabel() == "share of importance"


def test_pairs_are_drawn_below_the_diagonal_only():
    matrix = pd.DataFrame(np.arange(9.0).reshape(3, 3), index=list("abc"), columns=list("abc"))
    ax, bar = figures.pair_matrices({"pairs": matrix}, {"pairs": "share of variance"}).axes
    assert ax.collections[0].get_array().compressed().tolist() == [3, 6, 7]
    assert bar.get_ylabel() == "share of variance"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c"]


def test_known_truth_is_drawn_with_the_mean_error():
    shares = pd.DataFrame({name: [0.6, 0.4] for name in "abcde"}, index=["lr", "epoch"])
    truth = pd.Series([0.5, 0.5], index=["lr", "epoch"])
    axes = figures.judges_on_known_truth(shares, truth, {name: name.upper() for name in "abcde"}).axes
    assert [ax.get_visible() for ax in axes] == [True] * 5 + [False] * 3
    assert axes[4].get_title(loc="left") == "E\nmean error 0.100"
    truth_line, found = axes[0].lines
    assert list(truth_line.get_xdata()) == [0.5, 0.5] and list(found.get_xdata()) == [0.6, 0.4]


def test_chance_is_drawn_in_parts_of_the_largest_real_weight():
    real = {name: pd.Series([4.0, -1.0], index=["lr", "epoch"]) for name in "abcde"}
    chance = {name: pd.DataFrame([[2.0, -2.0], [1.0, 0.0]]) for name in "abcde"}
    ax = figures.weights_by_chance(real, chance, {name: name for name in "abcde"}).axes[0]
    first, second, dots = ax.lines[:3]
    assert list(first.get_xdata()) == [0.5, -0.5] and list(second.get_xdata()) == [0.25, 0]
    assert list(dots.get_xdata()) == [1, -0.25]


def test_saved_files_are_the_same_again(tmp_path):
    for name in ("a", "b"):
        figures.style()
        figures.save(figures.hia_fig1_workflow(), tmp_path, name, "a footer")
    for suffix in ("png", "svg"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
