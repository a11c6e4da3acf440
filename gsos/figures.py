"""One function a figure, named after it. They draw what they are given and compute nothing."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

COLOURS = dict(zip(("random", "bohb", "paper"), np.array(sns.color_palette("colorblind"))[[0, 1, 7]], strict=True))
LABELS = {"random": "random search", "bohb": "BOHB"}


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


def save(figure: Figure, folder: Path, name: str, footer: str = "") -> None:
    """Write name.png and name.svg, with a footer that says what the figure rests on."""
    if footer:
        figure.supxlabel(footer, x=0.01, ha="left", fontsize=8, color="0.45")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def hia_fig1_workflow() -> Figure:
    """HIA Fig 1, the workflow, with the modules that do each step; dashed where they do not exist yet."""
    steps = [
        ("Configurations", "random search : BOHB\n= 7 : 3", "space, bohb"),
        ("Images", "ten datasets,\nsplit 80 : 20", "datasets"),
        ("Training", "one CNN a\nconfiguration", "cnn, training"),
        ("Records", "hyperparameters,\naccuracy, seconds", "collect, records"),
        ("Importance", "N-RReliefF, single\nand joint; FANOVA", "relief, fanova"),
        ("Reliability", "ten subsets,\nICC", "agreement"),
    ]
    width, gap = 1.55, 0.4
    figure, ax = plt.subplots(figsize=(11, 2.3))
    for i, (title, what, modules) in enumerate(steps):
        x = i * (width + gap)
        colour = sns.color_palette("colorblind")[0 if i < 4 else 2]
        there = all(find_spec(f"gsos.{module}") for module in modules.split(", "))
        line = {"ec": colour, "lw": 1.4, "ls": "-" if there else "--"}
        box = FancyBboxPatch((x, 0), width, 1.25, boxstyle="round,pad=0.06", fc=(*colour, 0.12 if there else 0), **line)
        ax.add_patch(box)
        ax.text(x + width / 2, 1.08, title, ha="center", va="center", weight="bold", fontsize=11)
        ax.text(x + width / 2, 0.62, what, ha="center", va="center", fontsize=9)
        ax.text(x + width / 2, 0.12, modules, ha="center", va="center", fontsize=8.5, family="monospace", color="0.3")
        if i and i != 1:
            ax.annotate("", (x - 0.07, 0.62), (x - gap + 0.07, 0.62), arrowprops={"arrowstyle": "-|>", "color": "0.3"})
        elif i == 1:
            ax.text(x - gap / 2, 0.62, "+", ha="center", va="center", fontsize=14, color="0.3")
    ax.set(xlim=(-0.15, len(steps) * (width + gap) - gap + 0.15), ylim=(-0.15, 1.4), aspect="equal")
    ax.axis("off")
    return figure


def hia_fig2_amounts(amounts: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """HIA Fig 2: how many records each dataset has, beside the paper's.

    amounts: index dataset, columns random, bohb; published: columns dataset, amount.
    """
    rows = (len(amounts), len(published))
    figure, axes = plt.subplots(
        2, 1, figsize=(7.5, 0.34 * sum(rows) + 1.6), height_ratios=[n + 0.8 for n in rows], sharex=True
    )
    left = np.zeros(len(amounts))
    for strategy in ("random", "bohb"):
        bars = axes[0].barh(
            amounts.index, amounts[strategy], left=left, color=COLOURS[strategy], label=LABELS[strategy]
        )
        axes[0].bar_label(bars, label_type="center", color="white", fontsize=9)
        left = left + amounts[strategy].to_numpy()
    axes[0].set_title("Ours")
    axes[0].legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes[0].set_ylabel("dataset")
    bars = axes[1].barh(published.dataset, published.amount, color=COLOURS["paper"])
    axes[1].bar_label(bars, label_type="center", color="white", fontsize=9)
    axes[1].set_title("Paper (Fig 2)")
    axes[1].set(xlabel="records (evaluations of a configuration)", ylabel="dataset")
    for ax in axes:
        ax.invert_yaxis()
    figure.align_ylabels()
    return figure


def hia_fig3_distribution(shares: Mapping[str, pd.DataFrame], edges: np.ndarray) -> Figure:
    """HIA Fig 3: the distribution of accuracy, a panel for each dataset.

    shares: panel title -> frame with one row a bin and the columns random, bohb: shares of all records.
    edges: (bins + 1,) of the bins, accuracy in [0, 1].
    """
    figure, axes = plt.subplots(1, len(shares), figsize=(3.6 * len(shares), 3.2), sharey=True, squeeze=False)
    for ax, (title, share) in zip(axes[0], shares.items(), strict=True):
        bottom = np.zeros(len(share))
        for strategy in ("random", "bohb"):
            ax.bar(
                edges[:-1], 100 * share[strategy], np.diff(edges), 100 * bottom, align="edge",
                color=COLOURS[strategy], edgecolor="white", label=LABELS[strategy],
            )  # fmt: skip
            bottom = bottom + share[strategy].to_numpy()
        ax.set(title=title, xlabel="validation accuracy", xlim=(0, 1))
    axes[0][0].set_ylabel("share of records (%)")
    axes[0][-1].legend(loc="upper right")
    return figure


def hia_random_and_bohb(frame: pd.DataFrame, intervals: pd.DataFrame) -> Figure:
    """Where BOHB's evaluations lie against random search's: every record, and the median with its 95 % interval.

    frame: columns dataset, proposal, validation_accuracy; intervals: dataset, proposal, median, low, high.
    """
    datasets = list(dict.fromkeys(frame.dataset))
    order = list(dict.fromkeys(intervals.proposal))
    rng = np.random.default_rng(0)
    figure, axes = plt.subplots(1, len(datasets), figsize=(4.6 * len(datasets), 3.4), sharex=True, squeeze=False)
    for ax, dataset in zip(axes[0], datasets, strict=True):
        for y, proposal in enumerate(order):
            colour = COLOURS["random" if proposal.startswith("random") else "bohb"]
            accuracy = frame[(frame.dataset == dataset) & (frame.proposal == proposal)].validation_accuracy
            ax.plot(accuracy, y + rng.uniform(-0.28, 0.28, len(accuracy)), ".", ms=5, alpha=0.5, color=colour, mew=0)
            for row in intervals[(intervals.dataset == dataset) & (intervals.proposal == proposal)].itertuples():
                error = [[row.median - row.low], [row.high - row.median]]
                ax.errorbar(row.median, y, xerr=error, fmt="D", ms=6, color="black", capsize=4, lw=1.6, zorder=3)
        ax.set(title=dataset, xlabel="validation accuracy", xlim=(0, 1), yticks=range(len(order)))
        ax.set_yticklabels(order if ax is axes[0][0] else [])
        ax.invert_yaxis()
    return figure
