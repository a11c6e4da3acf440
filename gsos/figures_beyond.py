"""The figures of the studies on recorded tables, in the manner of `figures`. They draw what they are given."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, PercentFormatter

_BLUE, _ORANGE, _GREEN, _RED, _PINK, _BROWN = sns.color_palette("colorblind")[:6]
JUDGE_STYLE = {
    "fanova": {"color": _BLUE, "ls": "-", "marker": "o"},
    "correlation-ratio": {"color": _ORANGE, "ls": "--", "marker": "^"},
    "fanova-total": {"color": _GREEN, "ls": "-", "marker": "s"},
    "calibrated": {"color": _RED, "ls": "-.", "marker": "D"},
    "blend": {"color": _PINK, "ls": (0, (5, 1, 1, 1)), "marker": "P"},
    "ped-anova": {"color": _BROWN, "ls": ":", "marker": "v"},
    "nrrelieff": {"color": "0.35", "ls": "-", "marker": "x"},
    "rrelieff": {"color": "0.5", "ls": "--", "marker": "+"},
    "nrrelieff-raw": {"color": "0.65", "ls": ":", "marker": "1"},
}
_FINE, _COARSE = (0.5, 0.8, 1, 1.25, 1.5, 2), (0.1, 0.2, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10)  # ratios that an axis names


def judges_over_trials(
    summary: pd.DataFrame, judges: Mapping[str, str], families: Mapping[str, str], ylabel: str
) -> Figure:
    """What judges of importance score against the number of trials: a row each effect, a column each family.

    summary: as from `judging.summarise`; bands are its intervals. judges: name -> legend; families: name -> title of
    its column; ylabel: the measure, and which way is better.
    """
    effects = list(dict.fromkeys(summary.effect))
    size = (2.9 * len(families) + 0.7, 2.7 * len(effects) + 0.9)
    figure, axes = plt.subplots(len(effects), len(families), figsize=size, sharex=True, sharey=True, squeeze=False)
    for row, effect in zip(axes, effects, strict=True):
        row[0].set_ylabel(f"{ylabel}\n{effect} effects", fontsize="small")
        for ax, family in zip(row, families, strict=True):
            shown = summary[(summary.effect == effect) & (summary.family == family)]
            for judge, label in judges.items():
                line, style = shown[shown.judge == judge].sort_values("n"), JUDGE_STYLE[judge]
                ax.fill_between(line.n, line.low, line.high, color=style["color"], alpha=0.07, lw=0)
                ax.plot(line.n, line["mean"], lw=1.5, ms=4.5, label=label, **style)
            ax.grid(alpha=0.3)
    for ax, title in zip(axes[0], families.values(), strict=True):
        ax.set_title(title, fontsize="medium")
    sizes = sorted(summary.n.unique())
    for ax in axes[-1]:
        ax.set(xlabel="trials", xscale="log")
        ax.set_xticks(sizes, [f"{n:,}" for n in sizes], fontsize=8, rotation=45)
        ax.minorticks_off()
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=9)
    return figure


def regret_over(panels: Mapping[str, Mapping[str, pd.DataFrame]], strategies: Mapping[str, str]) -> Figure:
    """Regret against what was spent: a row each kind of budget, a column each group of problems.

    panels: label of the x axis -> title of the column -> frame as from `regret.curves`. strategies: name -> legend; the
    last one is drawn thick.
    """
    columns = list(next(iter(panels.values())))
    size = (3.1 * len(columns) + 0.6, 2.7 * len(panels) + 1.0)
    figure, axes = plt.subplots(len(panels), len(columns), figsize=size, sharex="row", sharey="col", squeeze=False)
    palette = dict(zip(strategies, sns.color_palette("colorblind", len(strategies)), strict=True))
    dashes = ("-", "--", "-.", ":")
    for row, (xlabel, frames) in zip(axes, panels.items(), strict=True):
        for ax, (title, frame) in zip(row, frames.items(), strict=True):
            for i, (name, label) in enumerate(strategies.items()):
                if name in frame:
                    is_last = i == len(strategies) - 1
                    style = {"color": "black", "lw": 2.4} if is_last else {"color": palette[name], "lw": 1.4}
                    ax.plot(frame.index, frame[name], ls="-" if is_last else dashes[i % 4], label=label, **style)
            ax.set(yscale="log", xlabel=xlabel)
            ax.set_title(title, fontsize="medium")
            ax.yaxis.set_major_locator(FixedLocator([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]))
            ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            ax.minorticks_off()
            ax.grid(alpha=0.3)
        row[0].set_ylabel("regret (% of the mean's)", fontsize="small")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=9)
    return figure


def ratio_intervals(tables: Mapping[str, pd.DataFrame], strategies: Mapping[str, str], base: str) -> Figure:
    """Regret of strategies in parts of another's, with intervals: a panel each title, a row each strategy.

    Intervals that lie below 1 are blue.
    tables: title -> frame as from `regret.ratios`; strategies: name -> label; base: the label of the other.
    """
    every = pd.concat([table.reindex(strategies) for table in tables.values()])
    ticks = _FINE if every.high.max() < 4 * every.low.min() else _COARSE
    size = (2.7 * len(tables) + 2.0, 0.34 * len(strategies) + 1.3)
    figure, axes = plt.subplots(1, len(tables), figsize=size, sharey=True, sharex=True, squeeze=False)
    y = range(len(strategies))
    for ax, (title, table) in zip(axes[0], tables.items(), strict=True):
        shown = table.reindex(strategies)
        better = shown.high < 1
        for chosen, colour in ((better, _BLUE), (~better, "0.35")):
            rows = shown[chosen]
            at = [i for i, is_chosen in enumerate(chosen) if is_chosen]
            error = [rows.ratio - rows.low, rows.high - rows.ratio]
            ax.errorbar(rows.ratio, at, xerr=error, fmt="o", ms=4.5, capsize=2.5, color=colour)
        ax.axvline(1, color="0.4", lw=0.8)
        ax.set(xscale="log", xlabel=f"regret / {base}'s\n(logarithmic)", ylim=(len(strategies) - 0.5, -0.5))
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
        ax.set_yticks(y, strategies.values())
        ax.set_title(title, fontsize="medium")
        ax.grid(axis="x", alpha=0.3)
    return figure


def rank_diagram(panels: Mapping[str, pd.Series], strategies: Mapping[str, str], difference: float) -> Figure:
    """Mean ranks of strategies, the best on top, each with a bar, the critical difference (Demsar 2006).

    Strategies whose point lies within the best one's bar do not differ from it significantly. panels: title -> ranks as
    from `regret.mean_ranks`.
    """
    height = 0.3 * max(map(len, panels.values())) + 1.3
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels) + 1.2, height))
    for ax, (title, ranks) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        ranks = ranks.sort_values()
        y = np.arange(len(ranks))
        ax.axvspan(ranks.iloc[0], ranks.iloc[0] + difference, color=_BLUE, alpha=0.12, lw=0)
        ax.plot(ranks, y, "o", color=_BLUE, ms=5)
        ax.hlines(y, ranks, ranks + difference, color="0.6", lw=1)
        ax.set_yticks(y, [strategies[name] for name in ranks.index], fontsize=9)
        ax.set(xlabel="mean rank", ylim=(len(ranks) - 0.5, -0.5))
        ax.set_title(title, fontsize="medium")
        ax.grid(axis="x", alpha=0.3)
    return figure
