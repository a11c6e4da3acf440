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
def close():
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


def test_saved_files_are_the_same_again(tmp_path):
    for name in ("a", "b"):
        figures.style()
        figures.save(figures.hia_fig1_workflow(), tmp_path, name, "a footer")
    for suffix in ("png", "svg"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
