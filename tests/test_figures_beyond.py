"""The figures of the studies on recorded tables draw what they are given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402

from gsos import figures, figures_beyond, judging  # noqa: E402


@pytest.fixture(autouse=True)
def styled():
    """As a notebook has them, whatever another test left behind."""
    figures.style()
    yield
    plt.close("all")


def test_judges_are_drawn_by_effect_and_family_with_their_intervals():
    keys = ["effect", "family", "judge", "n"]
    index = pd.MultiIndex.from_product(
        [["main", "total"], ["x", "all"], ["fanova", "calibrated"], [50, 1000]], names=keys
    )
    summary = index.to_frame(index=False)
    summary["mean"] = np.arange(16) / 20
    summary["low"], summary["high"] = summary["mean"] - 0.1, summary["mean"] + 0.05
    judges = {"calibrated": "Cal", "fanova": "Fan"}
    figure = figures_beyond.judges_over_trials(
        summary.sample(frac=1, random_state=0).sort_values("effect"), judges, {"all": "All", "x": "X"}, "hits"
    )
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["All", "X", "", ""]
    assert [ax.get_ylabel() for ax in figure.axes] == ["hits\nmain effects", "", "hits\ntotal effects", ""]
    for ax, start in zip(figure.axes, (4, 0, 12, 8), strict=True):  # "all" comes after "x" in the frame
        calibrated, fanova = ax.lines
        assert list(fanova.get_xdata()) == list(calibrated.get_xdata()) == [50, 1000]
        assert list(fanova.get_ydata()) == pytest.approx([start / 20, (start + 1) / 20])
        assert list(calibrated.get_ydata()) == pytest.approx([(start + 2) / 20, (start + 3) / 20])
        y = ax.collections[1].get_paths()[0].vertices[:, 1]
        assert (y.min(), y.max()) == pytest.approx((start / 20 - 0.1, (start + 1) / 20 + 0.05))
        assert ax.get_xscale() == "log"
    assert [label.get_text() for label in figure.axes[2].get_xticklabels()] == ["50", "1,000"]
    assert [ax.get_xlabel() for ax in figure.axes] == ["", "", "trials", "trials"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Cal", "Fan"]


def test_every_judge_has_a_look_of_its_own():
    styles = figures_beyond.JUDGE_STYLE
    assert set(styles) == set(judging.TITLES)
    assert len({style["marker"] for style in styles.values()}) == len(styles)  # also without colour


@pytest.mark.parametrize(
    ("widest", "ticks"), [(1.9, ["0.5", "0.8", "1", "1.25", "1.5", "2"]), (9.0, ["0.5", "0.7", "1", "1.5", "2", "3"])]
)
def test_ratios_are_drawn_with_their_intervals_and_ticks_that_can_be_read(widest, ticks):
    table = pd.DataFrame({"ratio": [0.7, 1.4], "low": [0.5, 0.9], "high": [0.8, widest]}, index=["a", "b"])
    (ax,) = figures_beyond.ratio_intervals({"After 5": table}, {"b": "B", "a": "A"}, "C").axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["B", "A"]
    below, others = ax.containers
    for drawn, x, y, low, high in ((below, 0.7, 1, 0.5, 0.8), (others, 1.4, 0, 0.9, widest)):
        point, _, (bar,) = drawn.lines
        assert (point.get_xdata()[0], point.get_ydata()[0]) == (x, y)
        np.testing.assert_allclose(bar.get_segments()[0], [[low, y], [high, y]])
    assert below.lines[0].get_color() != others.lines[0].get_color()
    ax.set_xlim(0.45, 4)
    ax.figure.draw_without_rendering()
    inside = [label.get_text() for label in ax.get_xticklabels() if 0.45 < label.get_position()[0] < 4]
    assert inside == ticks and ax.get_xscale() == "log" and "logarithmic" in ax.get_xlabel()
