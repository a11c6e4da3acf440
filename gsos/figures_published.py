"""The figures of the papers' own tables, in the manner of `figures`. They draw what they are given."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREEN = sns.color_palette("colorblind")[:3]


def hia_table_5(pairs: pd.DataFrame) -> Figure:
    """HIA T5: the printed labels beside those that Eq 11 gives, joined where they are the same, and the weights.

    pairs: as from `recomputed.hia_pairs`. A name that moves more than one row is orange, one row blue, none grey.
    """
    figure, (names, weights) = plt.subplots(
        1, 2, figsize=(9.5, 0.36 * len(pairs) + 1.5), sharey=True, width_ratios=[1.35, 1]
    )
    row = dict(zip(pairs.recomputed, pairs.index, strict=True))
    for rank, name in pairs.printed.items():
        moved = abs(row[name] - rank)
        colour = "0.6" if moved == 0 else _BLUE if moved == 1 else _ORANGE
        names.plot([0, 1], [rank, row[name]], "o-", color=colour, lw=2.5 if moved > 1 else 1.5, ms=4)
        names.text(-0.06, rank, name, ha="right", va="center", fontsize=9, color="0.2")
        names.text(1.06, row[name], name, ha="left", va="center", fontsize=9, color="0.2")
    names.set(xlim=(-0.85, 1.85), ylabel="rank", title="paired with num_conv_layers")
    names.set_xticks([0, 1], ["as printed", "Eq 11 on Table 3"])
    names.set_yticks(pairs.index)
    names.spines["bottom"].set_visible(False)
    names.tick_params(axis="x", length=0)
    weights.plot(pairs.weight, pairs.index, "o", ms=10, mfc="none", color="0.4", label="as printed")
    weights.plot(pairs.recomputed_weight, pairs.index, "o", ms=4, color=_BLUE, label="Eq 11 on Table 3")
    weights.set(xlabel="joint importance", title="weights", ylim=(len(pairs) + 0.5, 0.5))
    weights.grid(axis="x", alpha=0.3)
    weights.legend(loc="center right")
    return figure


def means_of_ratios(changes: Mapping[str, pd.DataFrame], averages: pd.DataFrame, xlabels: Mapping[str, str]) -> Figure:
    """A change in several places, and the averages that stand for it: a panel each, two in a row.

    changes: title -> frame, one row a place, columns change in %, and share: of the whole, which the dots' areas show.
    averages: one row a title, in %: mean of ratios, ratio of sums, printed; xlabels: title -> what changes.
    """
    n_rows = int(np.ceil(len(changes) / 2))
    height = sum(0.32 * len(changes[title]) + 0.9 for title in list(changes)[::2])
    figure, axes = plt.subplots(n_rows, 2, figsize=(10.5, height + 0.6), sharey="row", squeeze=False)
    for ax, (title, frame) in zip(axes.flat, changes.items(), strict=False):
        average, y = averages.loc[title], np.arange(len(frame))
        ax.axvline(0, color="0.6", lw=0.8)
        ax.axvline(average.printed, color="0.8", lw=7, label="printed")
        ax.axvline(average["mean of ratios"], color=_ORANGE, lw=1.8, ls="--", label="mean of ratios", zorder=2.2)
        ax.axvline(average["ratio of sums"], color=_BLUE, lw=1.8, label="ratio of sums", zorder=2.1)
        ax.scatter(frame.change, y, s=700 * frame.share, color=_GREEN, alpha=0.75, lw=0, zorder=3)
        ax.set_yticks(y, frame.index)
        ax.set(xlabel=xlabels[title], ylim=(len(frame) - 0.4, -0.6))
        ax.set_title(f"{title}\n" + ", ".join(f"{kind} {value:.2f}" for kind, value in average.items()), fontsize=10)
        ax.grid(axis="x", alpha=0.3)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure
