"""What all figures share: their look, the colours and names of strategies, and how they are saved.

The figures themselves, one function each, are in `figures_hia`, `figures_gsos` and so on.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from gsos.strategy import STRATEGIES

COLOURS = dict(zip(("random", "bohb", "paper"), np.array(sns.color_palette("colorblind"))[[0, 1, 7]], strict=True))
LABELS = STRATEGIES | {"bohb": "BOHB"}
LINES = ("-", "-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), "-", "-", "--", "-.")
STRATEGY_STYLE = {
    name: {"color": colour, "ls": line}
    for name, colour, line in zip(STRATEGIES, [*sns.color_palette("colorblind"), (0.25,) * 3], LINES, strict=True)
}


def style() -> None:
    """The look of every figure: sober, colour-blind-safe, readable in print. A notebook calls it once."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=0.95)
    plt.rcParams |= {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "figure.constrained_layout.use": True,
        "figure.dpi": 110,
        "legend.frameon": False,
        "savefig.bbox": "tight",
        "savefig.dpi": 200,
        "svg.fonttype": "none",
        "svg.hashsalt": "gsos",
    }


def panel_grid(
    n: int, size: tuple[float, float], *, columns: int = 4, **shared: object
) -> tuple[Figure, list[plt.Axes]]:
    """A figure and its n panels of a size (width, height in inches), `columns` of them in a row at most."""
    columns = min(n, columns)
    rows = -(-n // columns)
    figsize = (size[0] * columns, size[1] * rows)
    figure, axes = plt.subplots(rows, columns, figsize=figsize, squeeze=False, **shared)
    for ax in axes.flat[n:]:
        ax.set_visible(False)
    for ax in axes.flat[max(0, n - columns) : n]:  # below these is nothing
        ax.tick_params(labelbottom=True)
    return figure, list(axes.flat[:n])


def save(figure: Figure, folder: Path, name: str, footer: str = "") -> None:
    """Write name.png and name.svg, with a footer that says what the figure rests on."""
    if footer:
        figure.supxlabel(footer, x=0.01, ha="left", fontsize=8, color="0.45")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    figure.set_layout_engine("none")  # the layout is found; each further drawing would find it again
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
