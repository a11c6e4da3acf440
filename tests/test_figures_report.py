"""The report's figures: what they hold, read from their artists."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from gsos import chain, claims, figures_report


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_the_chain_has_a_panel_a_link_and_says_what_has_not_run():
    rows = [("than a", "printed", 0.3, np.nan, np.nan), ("than a", "replicated", 0.2, 0.1, 0.3)]
    rows += [("than b", "control", -0.1, -0.2, 0.05)]
    link = pd.DataFrame(rows, columns=chain.COLUMNS)
    figure = figures_report.chain_of_papers({chain.ORDER: link})
    by_title = {ax.get_title(loc="left") or ax.get_title(): ax for ax in figure.axes}
    assert set(by_title) == set(figures_report.AXES)
    ax = by_title[chain.ORDER]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["than a", "than b"]
    points = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() in ("o", "D")])
    assert sorted(points) == [-0.1, 0.2, 0.3]
    bars = np.vstack([path.vertices[:, 0] for lines in ax.collections for path in lines.get_paths()])
    assert [0.1, 0.3] in bars.tolist() and [-0.2, 0.05] in bars.tolist()
    assert "its notebook has not run" in [text.get_text() for text in by_title[chain.MATTERS].texts]


def test_verdicts_are_counted_in_bars():
    counts = pd.DataFrame([[3, 0, 2, 5]], index=pd.Index(["HIA"], name="paper"), columns=claims.VERDICTS)
    figure = figures_report.verdict_counts({"by paper": counts})
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == [3, 0, 2, 5] and [bar.get_x() for bar in figure.axes[0].patches] == [0, 3, 3, 5]
    assert [text.get_text() for text in figure.axes[0].texts] == ["3", "", "2", "5"]
    assert set(figures_report.VERDICT_COLOURS) == set(claims.VERDICTS)
