"""The figures of HGD draw what they are given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402

from gsos import figures, figures_hgd  # noqa: E402

ALGORITHMS = {"asha": "ASHA", "pbt": "PBT"}
VARIANTS = {"hgd": "learnt", "sgd": "searched"}


@pytest.fixture(autouse=True)
def styled():
    """As a notebook has them, whatever another test left behind."""
    figures.style()
    yield
    plt.close("all")


@pytest.fixture
def curves():
    """Two datasets, two algorithms, two variants at two places, each with a mean of its own."""
    units = pd.MultiIndex.from_product(
        [[("c1", "digits"), ("c2", "fashion")], ALGORITHMS, ["hgd", "sgd"], [0.5, 3.0]],
        names=["problem", "algorithm", "variant", "at"],
    )
    frame = units.to_frame(index=False)
    frame["case"], frame["dataset"] = frame.problem.str[0], frame.problem.str[1]
    frame["mean"] = 0.1 + 0.05 * np.arange(len(frame))
    frame["low"], frame["high"] = frame["mean"] - 0.02, frame["mean"] + 0.03
    frame["paper"] = np.where((frame["at"] == 3) & (frame.variant == "sgd"), 0.77, np.nan)
    return frame.drop(columns="problem").sample(frac=1, random_state=0).sort_values("at")


def test_accuracy_over_time_is_drawn_by_dataset_and_algorithm(curves):
    figure = figures_hgd.hgd_fig2_over_time(curves, ALGORITHMS, VARIANTS, "training (s)")
    asha, pbt, fashion, last = figure.axes
    assert [ax.get_title(loc="left") for ax in (asha, pbt)] == ["ASHA", "PBT"]
    assert asha.get_ylabel().startswith("digits") and fashion.get_ylabel().startswith("fashion")
    assert [ax.get_xlabel() for ax in figure.axes] == ["", ""] + ["training (s)"] * 2
    for i, ax in enumerate(figure.axes):
        learnt, searched = ax.lines
        start = 0.1 + 0.2 * i  # four means a panel
        assert list(learnt.get_xdata()) == [0.5, 3] and list(learnt.get_ydata()) == pytest.approx([start, start + 0.05])
        assert list(searched.get_ydata()) == pytest.approx([start + 0.1, start + 0.15])
        assert (learnt.get_linestyle(), searched.get_linestyle()) == ("-", "--")
        y = ax.collections[0].get_paths()[0].vertices[:, 1]
        assert (y.min(), y.max()) == pytest.approx((start - 0.02, start + 0.05 + 0.03))
    assert asha.get_ylim() == (0, pytest.approx(1.2 * 0.45)) and last.get_ylim() == (0, 1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["learnt", "searched"]


def test_bars_have_their_intervals_and_the_papers_values_on_them(curves):
    figure = figures_hgd.hgd_fig4_bars(curves, ALGORITHMS, VARIANTS, "training (s)")
    ax = figure.axes[1]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.3, 0.35, 0.4, 0.45])
    learnt, searched = [[bar.get_x() + bar.get_width() / 2 for bar in ax.patches[i : i + 2]] for i in (0, 2)]
    assert learnt == pytest.approx([-0.21, 0.79]) and searched == pytest.approx([0.21, 1.21])
    whiskers = [segment[:, 1] for bars in ax.collections for segment in bars.get_segments()]
    np.testing.assert_allclose(whiskers, [[m - 0.02, m + 0.03] for m in (0.3, 0.35, 0.4, 0.45)])
    diamonds = [line for line in ax.lines if line.get_marker() == "D"]
    assert [list(line.get_xdata()) for line in diamonds] == [pytest.approx(learnt), pytest.approx(searched)]
    drawn = np.concatenate([line.get_ydata() for line in diamonds])
    assert np.isnan(drawn[:3]).all() and drawn[3] == 0.77
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.5", "3"]
    assert figure.axes[0].get_ylim() == (0, pytest.approx(1.2 * 0.77))  # the paper's values are seen
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["learnt", "searched"] and labels[2].startswith("paper")
    some = curves[(curves.algorithm != "asha") | (curves.variant != "sgd")]  # a variant that the first panel lacks
    figure = figures_hgd.hgd_fig4_bars(some, ALGORITHMS, VARIANTS, "training (s)")
    assert len(figure.axes[0].patches) == 2 and [text.get_text() for text in figure.legends[0].get_texts()] == labels
    colours = [handle.get_facecolor() for handle in figure.legends[0].legend_handles[:2]]
    assert colours == [figure.axes[1].patches[i].get_facecolor() for i in (0, 2)]
    millions = curves.assign(at=curves["at"] * 1e6)
    ax = figures_hgd.hgd_fig4_bars(millions, ALGORITHMS, VARIANTS, "images processed").axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["500,000", "3,000,000"]


def test_changes_are_drawn_in_per_cent_with_intervals_that_may_be_infinite():
    units = [("c", "digits", "asha"), ("c", "digits", "pbt"), ("c", "digits", "all"), ("all", "all", "all")]
    frame = pd.DataFrame([(*unit, share) for unit in units for share in (1 / 6, 1)],
                         columns=["case", "dataset", "algorithm", "share"])  # fmt: skip
    frame["change"] = [0.5, 0.0, -0.1, 0.2, 0.2, 0.1, 0.2, 0.1]
    frame["low"], frame["high"] = frame.change - 0.1, frame.change + 0.2
    frame.loc[2, ["low", "high"]] = [-np.inf, np.inf]
    frame["paper"] = [0.44, np.nan, 0.3, 0.1, 0.3, 0.1, 0.3, 0.1]
    second = frame.assign(change=0.0, low=0.0, high=0.0, paper=np.nan)[::-1]
    figure = figures_hgd.paired_changes({"one": frame, "two": second}, ALGORITHMS)
    ax, other = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "digits: ASHA", "digits: PBT", "digits: mean", "mean of all",
    ]  # fmt: skip
    assert ax.yaxis_inverted() and "%" in ax.get_xlabel() and ax.get_title(loc="left") == "one"
    early, late = ax.containers
    assert list(early.lines[0].get_xdata()) == pytest.approx([50, -10, 20, 20])
    assert list(late.lines[0].get_xdata()) == pytest.approx([0, 20, 10, 10])
    assert list(early.lines[0].get_ydata()) == [-0.17, 0.83, 1.83, 2.83]  # above the end's
    first, infinite = [segment[:, 0] for segment in early.lines[2][0].get_segments()[:2]]
    low, high = ax.get_xlim()
    assert list(first) == pytest.approx([40, 70]) and infinite[0] < low < -10 and 50 < high < infinite[1]
    diamonds = [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "D"]
    assert diamonds[0] == pytest.approx([44, 30, 30, 30]) and diamonds[1] == pytest.approx(
        [np.nan, 10, 10, 10], nan_ok=True
    )
    assert other.get_xlim() == (-1, 1)  # nothing has changed
    assert list(other.containers[1].lines[0].get_ydata()) == [3.17, 2.17, 1.17, 0.17]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["early, at 1/6 of the time", "at the end", "paper, early, at 1/6 of the time", "paper, at the end"]


def test_learnt_rates_are_drawn_with_their_start_and_quartiles():
    rates = pd.DataFrame({"case": "c", "dataset": ["digits"] * 3 + ["x"], "epoch": [1, 2, 3, 1], "n": [9, 3, 1, 4]})
    for name, values in (("lr", [0.05, 0.04, 0.03, 0.02]), ("momentum", [0.9, 0.91, 0.92, 0.8])):
        rates[name], rates[f"{name}_low"], rates[f"{name}_high"] = (
            values,
            np.array(values) - 0.01,
            np.array(values) + 0.02,
        )
    lr, momentum = figures_hgd.learnt_rates(rates, {"lr": 0.06, "momentum": 0.88}).axes
    start, digits, x = lr.lines
    assert list(start.get_ydata()) == [0.06, 0.06] and list(momentum.lines[0].get_ydata()) == [0.88, 0.88]
    assert list(digits.get_xdata()) == [1, 2, 3] and list(digits.get_ydata()) == [0.05, 0.04, 0.03]
    assert list(x.get_ydata()) == [0.02] and list(momentum.lines[1].get_ydata()) == [0.9, 0.91, 0.92]
    band, dots = lr.collections[:2]
    y = band.get_paths()[0].vertices[:, 1]
    assert (y.min(), y.max()) == pytest.approx((0.02, 0.07))
    assert list(dots.get_sizes()) == pytest.approx([60, 10 + 50 / 3, 10 + 50 / 9])  # ever fewer models
    assert [text.get_text() for text in lr.get_legend().get_texts()] == ["start", "digits", "x"]
    assert lr.get_ylabel() == "α, learning rate" and momentum.get_ylabel() == "γ, momentum"


def test_paths_on_a_quadratic_are_drawn_and_cut_where_they_diverge():
    good = pd.DataFrame({"step": [0, 1, 2], "x": [-4.0, -1, 0.1], "y": [2.0, 0.5, 0], "loss": [16.0, 1.0, 0.01]})
    bad = pd.DataFrame({"step": [0, 1, 2], "x": [-4.0, 90, -1e9], "y": [2.0, 3e9, 1e200], "loss": [16.0, 1e20, np.inf]})
    plane, losses = figures_hgd.trajectories_quadratic({"heavy-ball": good, "mixed": bad}, (1.0, 4.0)).axes
    path, diverging, start, optimum = plane.lines
    assert list(path.get_xdata()) == [-4, -1, 0.1] and list(path.get_ydata()) == [2, 0.5, 0]
    assert list(diverging.get_xdata()) == [-4, 90, -1e9]
    assert (list(start.get_xdata()), list(start.get_ydata())) == ([-4], [2])
    assert (list(optimum.get_xdata()), list(optimum.get_ydata())) == ([0], [0])
    assert plane.get_xlim() == (-5, 5) and plane.get_ylim() == (-2.5, 2.5)
    assert [list(line.get_ydata()) for line in losses.lines] == [[16, 1, 0.01], [16, 1e20, np.inf]]
    assert losses.get_yscale() == "log" and 0 < losses.get_ylim()[0] < 0.01 and losses.get_ylim()[1] < 1e6
    lines = plane.collections[0].get_paths()  # a contour is an ellipse of equal loss
    x, y = next(path.vertices for path in lines if len(path.vertices)).T
    assert np.ptp(x**2 + 4 * y**2) < 0.02 * np.mean(x**2 + 4 * y**2)
    assert [text.get_text() for text in plane.get_legend().get_texts()] == ["heavy-ball", "mixed", "start", "optimum"]


def test_training_is_drawn_with_loss_and_both_rates():
    frame = pd.DataFrame({"name": ["b", "a", "b", "a"], "images": [100, 100, 200, 200], "loss": [2.3, 2.2, 2.1, 1.0],
                          "lr": [0.1, 0.2, 0.3, 0.4], "momentum": [0.9, 0.8, 0.7, 0.6]})  # fmt: skip
    figure = figures_hgd.trajectories_cnn(frame)
    drawn = [[list(line.get_ydata()) for line in ax.lines] for ax in figure.axes]
    assert drawn == [[[2.3, 2.1], [2.2, 1.0]], [[0.1, 0.3], [0.2, 0.4]], [[0.9, 0.7], [0.8, 0.6]]]
    assert list(figure.axes[2].lines[0].get_xdata()) == [100, 200]
    assert [ax.get_ylabel() for ax in figure.axes] == ["training loss (nats)", "α, learning rate", "γ, momentum"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"images processed"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "a"]


def test_variants_can_be_told_apart_without_colour():
    lines = [str(style["ls"]) for style in figures_hgd.VARIANT_STYLE.values()]
    assert len(set(lines)) == len(lines)


def test_sensitivity_has_a_panel_each_eta_and_frames_the_setting():
    index = pd.MultiIndex.from_product([[0.01, 0.1], [0, 1e-5], [0, 0.01]], names=["alpha_0", "beta", "eta"])
    accuracy = pd.Series(np.linspace(0.1, 0.8, 8), index)
    figure = figures_hgd.sensitivity(accuracy, {"alpha_0": 0.1, "beta": 1e-5, "eta": 0.01})
    left, right = figure.axes[:2]
    assert [text.get_text() for text in left.texts] == ["10", "30", "50", "70"]
    assert [text.get_text() for text in right.texts] == ["20", "40", "60", "80"]
    assert not left.patches and [patch.get_xy() for patch in right.patches] == [(1, 1)]
    assert [label.get_text() for label in right.get_xticklabels()] == ["0", "1e-05"]
