"""The figures of the papers' own tables draw what they are given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402

from gsos import figures, figures_published  # noqa: E402


@pytest.fixture(autouse=True)
def styled():
    """As a notebook has them, whatever another test left behind."""
    figures.style()
    yield
    plt.close("all")


def test_labels_are_joined_with_their_row_by_equation_11():
    columns = {"printed": ["b", "c", "a", "d"], "recomputed": ["a", "b", "c", "d"]}
    weights = {"weight": [0.7, 0.6, 0.5, 0.4], "recomputed_weight": [0.71, 0.61, 0.51, 0.41]}
    pairs = pd.DataFrame(columns | weights, index=pd.RangeIndex(1, 5, name="rank"))
    names, weights = figures_published.hia_table_5(pairs).axes
    assert [list(line.get_ydata()) for line in names.lines] == [[1, 2], [2, 3], [3, 1], [4, 4]]
    b, c, a, d = (line.get_color() for line in names.lines)
    assert b == c and len({a, b, d}) == 3  # moved far, by one, and not at all
    assert [text.get_text() for text in names.texts] == ["b", "b", "c", "c", "a", "a", "d", "d"]
    assert [text.get_position()[1] for text in names.texts] == [1, 2, 2, 3, 3, 1, 4, 4]
    printed, recomputed = weights.lines
    assert list(printed.get_xdata()) == [0.7, 0.6, 0.5, 0.4] and list(recomputed.get_xdata()) == [
        0.71,
        0.61,
        0.51,
        0.41,
    ]
    assert weights.get_ylim() == (4.5, 0.5) and weights.get_xlabel()


def test_changes_are_drawn_with_their_weights_and_averages():
    changes = {
        "one": pd.DataFrame({"change": [10.0, -20.0], "share": [0.25, 0.75]}, index=["x", "y"]),
        "two": pd.DataFrame({"change": [30.0, 40.0], "share": [0.5, 0.5]}, index=["x", "y"]),
    }
    averages = pd.DataFrame({"mean of ratios": [-5.0, 35], "ratio of sums": [-12.5, 35], "printed": [-5, 35.01]})
    averages.index = ["one", "two"]
    figure = figures_published.means_of_ratios(changes, averages, {"one": "time (%)", "two": "accuracy (%)"})
    first, second = figure.axes
    assert [ax.get_xlabel() for ax in figure.axes] == ["time (%)", "accuracy (%)"]
    assert first.get_title(loc="left") == "one\nmean of ratios -5.00, ratio of sums -12.50, printed -5.00"
    (dots,) = first.collections
    assert dots.get_offsets().tolist() == [[10, 0], [-20, 1]]
    assert dots.get_sizes()[1] == pytest.approx(3 * dots.get_sizes()[0])
    at = {line.get_label(): line.get_xdata()[0] for line in first.lines}
    assert (at["printed"], at["mean of ratios"], at["ratio of sums"]) == (-5, -5, -12.5)
    assert [label.get_text() for label in first.get_yticklabels()] == ["x", "y"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["printed", "mean of ratios", "ratio of sums"]
    assert [line.get_xdata()[0] for line in second.lines][1:] == [35.01, 35, 35]
