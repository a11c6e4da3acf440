"""The figures of the replication report, in the manner of `figures`. They draw what they are given."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from gsos import chain

_BLUE, _ORANGE, _GREEN, _RED = sns.color_palette("colorblind")[:4]
VERDICT_COLOURS = {"reproduced": _GREEN, "partly": _BLUE, "contradicted": _ORANGE, "not tested": "0.85"}
SERIES = {
    "printed": {"label": "the paper's", "marker": "o", "ms": 11, "mfc": "none", "color": "0.45", "mew": 1.5},
    "replicated": {"label": "replicated", "marker": "o", "ms": 5.5, "color": _BLUE},
    "control": {"label": "not in the paper", "marker": "D", "ms": 5, "color": _ORANGE},
}
AXES = {
    chain.MATTERS: ("share of importance", (-0.02, 0.72)),
    chain.ORDER: ("less time", (-1, 1)),
    chain.LEARNT: ("change of validation accuracy", (-1, 1)),
    chain.BETTER: ("regret at the end, in parts of multivariate Optuna's", (0.4, 3)),
}


def chain_of_papers(links: Mapping[str, pd.DataFrame]) -> Figure:
    """The links of the chain, a panel each: printed values beside ours, with intervals; axes cut what lies beyond.

    links: as from `chain.links`.
    """
    figure, axes = plt.subplots(2, 2, figsize=(12.5, 7.2), height_ratios=[1.35, 1])
    for ax, (title, (xlabel, limits)) in zip(axes.flat, AXES.items(), strict=True):
        ax.set_title(title, fontsize="medium", fontweight="bold")
        if title not in links:
            ax.text(0.5, 0.5, "its notebook has not run", transform=ax.transAxes, ha="center", color="0.45")
            ax.set_axis_off()
            continue
        _link(ax, links[title], limits)
        ax.set(xlabel=xlabel, xlim=limits)
        ax.grid(axis="x", alpha=0.3)
        if title == chain.BETTER:
            ax.axvline(1, color="0.6", lw=0.8)
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(FixedLocator([0.5, 0.7, 1, 1.5, 2, 3]))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            ax.axvline(0, color="0.6", lw=0.8)
            ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    handles = [plt.Line2D([], [], ls="", **style) for style in SERIES.values()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _link(ax: plt.Axes, link: pd.DataFrame, limits: tuple[float, float]) -> None:
    labels = list(dict.fromkeys(link.label))
    both = len(link) == 3 * len(labels)  # each label has all series
    for name in SERIES:
        rows = link[link.series == name]
        apart = {"replicated": -0.15, "control": 0.15}.get(name, 0.0) if both else 0.0
        y = np.array([labels.index(label) for label in rows.label]) + apart
        style = {key: value for key, value in SERIES[name].items() if key != "label"}
        ax.plot(rows.value, y, ls="", zorder=3, **style)
        low, high = rows.low.astype(float), rows.high.astype(float)
        ax.hlines(y, low, high, color=style["color"], lw=1.5)
        for marker, end, beyond in (("<", limits[0], low < limits[0]), (">", limits[1], high > limits[1])):
            if beyond.any():  # the panel's end cuts these bars
                ax.plot(np.full(beyond.sum(), end), y[beyond], marker, color=style["color"], ms=6, clip_on=False)
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)


def verdict_counts(counts: Mapping[str, pd.DataFrame]) -> Figure:
    """How many claims have which verdict: a panel each frame, a bar each of its rows, with its numbers written in.

    counts: title -> frame as from `verdicts.counts`.
    """
    figure, axes = plt.subplots(1, len(counts), figsize=(5.6 * len(counts), 3.4), squeeze=False)
    for ax, (title, frame) in zip(axes.flat, counts.items(), strict=True):
        left = np.zeros(len(frame))
        for verdict, colour in VERDICT_COLOURS.items():
            widths = frame[verdict].to_numpy()
            bars = ax.barh(frame.index.astype(str), widths, left=left, color=colour, label=verdict, height=0.7)
            ax.bar_label(
                bars,
                [str(n) if n else "" for n in widths],
                label_type="center",
                fontsize=9,
                color="white" if verdict == "partly" else "0.1",
            )
            left += widths
        ax.invert_yaxis()
        ax.set(title=title, xlabel="claims", ylabel=frame.index.name)
        sns.despine(ax=ax, left=True)
        ax.tick_params(axis="y", length=0)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure
