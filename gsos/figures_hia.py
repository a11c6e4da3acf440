"""The figures of HIA, in the manner of `figures`. They draw what they are given and compute nothing."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from gsos.figures import COLOURS, LABELS, panel_grid


def hia_fig1_workflow() -> Figure:
    """HIA Fig 1, the workflow, with the modules that do each step."""
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
        style = {"boxstyle": "round,pad=0.06", "ec": colour, "fc": (*colour, 0.12), "lw": 1.4}
        box = FancyBboxPatch((x, 0), width, 1.25, **style)
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
    figure, axes = panel_grid(len(shares), (3.6, 3.0), columns=5, sharey=True)
    for ax, (title, share) in zip(axes, shares.items(), strict=True):
        bottom = np.zeros(len(share))
        for strategy in ("random", "bohb"):
            ax.bar(
                edges[:-1], 100 * share[strategy], np.diff(edges), 100 * bottom, align="edge",
                color=COLOURS[strategy], edgecolor="white", label=LABELS[strategy],
            )  # fmt: skip
            bottom = bottom + share[strategy].to_numpy()
        ax.set(title=title, xlabel="validation accuracy", xlim=(0, 1))
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel("share of records (%)")
    axes[0].legend(loc="upper right")
    return figure


def hia_random_and_bohb(frame: pd.DataFrame, intervals: pd.DataFrame) -> Figure:
    """Where BOHB's evaluations lie against random search's: every record, and the median with its 95 % interval.

    frame: columns dataset, proposal, validation_accuracy; intervals: dataset, proposal, median, low, high.
    """
    datasets = list(dict.fromkeys(frame.dataset))
    order = list(dict.fromkeys(intervals.proposal))
    rng = np.random.default_rng(0)
    figure, axes = panel_grid(len(datasets), (4.2, 3.2), sharex=True)
    for ax, dataset in zip(axes, datasets, strict=True):
        for y, proposal in enumerate(order):
            colour = COLOURS["random" if proposal.startswith("random") else "bohb"]
            accuracy = frame[(frame.dataset == dataset) & (frame.proposal == proposal)].validation_accuracy
            ax.plot(accuracy, y + rng.uniform(-0.28, 0.28, len(accuracy)), ".", ms=5, alpha=0.5, color=colour, mew=0)
            for row in intervals[(intervals.dataset == dataset) & (intervals.proposal == proposal)].itertuples():
                error = [[row.median - row.low], [row.high - row.median]]
                ax.errorbar(row.median, y, xerr=error, fmt="D", ms=6, color="black", capsize=4, lw=1.6, zorder=3)
        ax.set(title=dataset, xlabel="validation accuracy", xlim=(0, 1), yticks=range(len(order)))
        ax.set_yticklabels(order if ax.get_subplotspec().is_first_col() else [])
        ax.invert_yaxis()
    return figure


def importance_beside_paper(
    ours: Mapping[str, pd.DataFrame], paper: Mapping[str, pd.Series], titles: Mapping[str, str]
) -> Figure:
    """HIA T3, T4, T6, T7: shares with their 95 % intervals, a panel a judge, the paper's values beside them.

    ours: judge -> frame with columns share, low, high, one row a hyperparameter; paper: judge -> printed weights, for
    the judges that have some.
    """
    rows = len(next(iter(ours.values())))
    size = (2.9 * len(ours) + 1.2, 0.32 * rows + 1.6)
    figure, axes = plt.subplots(1, len(ours), figsize=size, sharey=True, sharex=True, squeeze=False)
    style = {"fmt": "o", "ms": 5, "capsize": 3, "lw": 1.4, "color": COLOURS["random"], "label": "ours, 95 %"}
    for ax, (judge, frame) in zip(axes[0], ours.items(), strict=True):
        y = np.arange(len(frame))
        error = [frame.share - frame.low, frame.high - frame.share]
        ax.errorbar(frame.share, y, xerr=np.clip(error, 0, None), **style)
        if judge in paper:
            ax.plot(
                paper[judge].reindex(frame.index),
                y,
                "D",
                ms=5,
                mfc="none",
                mew=1.6,
                color=COLOURS["bohb"],
                label="paper",
            )
        ax.set_title(titles[judge], fontsize="medium")
        ax.set(xlabel="share of importance", yticks=y)
        ax.set_yticklabels(frame.index)
        ax.grid(axis="x", alpha=0.3)
    axes[0][0].invert_yaxis()
    axes[0][0].set_xlim(left=-0.02)
    axes[0][-1].legend(*axes[0][0].get_legend_handles_labels(), loc="lower right")
    return figure


def importance_readings(readings: Mapping[str, pd.DataFrame], paper: pd.Series) -> Figure:
    """HIA T3 under several readings: shares with their 95 % intervals, a panel each, the paper's weights beside them.

    readings: title -> frame with columns share, low, high, one row a hyperparameter; paper: the printed weights.
    """
    names = next(iter(readings.values())).index
    figure, panels = _judge_panels({title: title for title in readings}, names, "share of importance")
    y = np.arange(len(names))
    for title, ax in panels.items():
        frame = readings[title]
        error = np.clip([frame.share - frame.low, frame.high - frame.share], 0, None)
        style = {"fmt": "o", "ms": 4.5, "capsize": 2.5, "lw": 1.3, "color": COLOURS["random"], "label": "ours, 95 %"}
        ax.errorbar(frame.share, y, xerr=error, **style)
        ax.plot(paper.reindex(names), y, "D", ms=5, mfc="none", mew=1.4, color=COLOURS["bohb"], label="paper")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def hia_fig4_lists(lists: Mapping[str, pd.DataFrame]) -> Figure:
    """HIA Fig 4: the weights of ten subsets as dots, a panel a title.

    lists: panel title -> frame of shares, one row a hyperparameter, one column a subset.
    """
    rows = max(len(frame) for frame in lists.values())
    figure, axes = plt.subplots(
        1, len(lists), figsize=(3.2 * len(lists) + 1, 0.32 * rows + 1.7), sharey=True, squeeze=False
    )
    for ax, (title, frame) in zip(axes[0], lists.items(), strict=True):
        for y, weights in enumerate(frame.to_numpy()):
            ax.plot(weights, np.full(len(weights), y), "o", ms=6, alpha=0.45, color=COLOURS["random"], mew=0)
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel="share of importance", yticks=range(len(frame)))
        ax.set_yticklabels(frame.index)
        ax.grid(axis="x", alpha=0.3)
        ax.set_xlim(left=-0.02)
    axes[0][0].invert_yaxis()
    return figure


def importance_across(shares: pd.DataFrame, groups: Mapping[str, str]) -> Figure:
    """Shares as a heat map: one row a hyperparameter, one column a set of records, a panel a judge.

    shares: columns (judge, set of records); groups: judge -> panel title.
    """
    n_sets = max(shares[judge].shape[1] for judge in groups)
    size = (2.6 + 0.75 * n_sets, (0.34 * len(shares) + 1.5) * len(groups))
    figure, axes = plt.subplots(len(groups), 1, figsize=size, squeeze=False)
    for ax, (judge, title) in zip(axes.flat, groups.items(), strict=True):
        sns.heatmap(shares[judge], ax=ax, cmap="cividis", vmin=0, vmax=shares.to_numpy().max(), annot=True, fmt=".2f",
                    annot_kws={"size": 8}, cbar_kws={"label": "share of importance"}, linewidths=0.5)  # fmt: skip
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel="", ylabel="")
        ax.tick_params(rotation=0)
        ax.set_xticks(ax.get_xticks(), ax.get_xticklabels(), rotation=35, ha="right")
    return figure


def pair_matrices(matrices: Mapping[str, pd.DataFrame], units: Mapping[str, str]) -> Figure:
    """Weights of pairs as heat maps, one a title, without the diagonal; units: title -> what the colours mean."""
    figure, axes = plt.subplots(1, len(matrices), figsize=(5.2 * len(matrices), 4.4), squeeze=False)
    for ax, (title, frame) in zip(axes[0], matrices.items(), strict=True):
        hidden = np.triu(np.ones(frame.shape, dtype=bool))
        sns.heatmap(frame.iloc[1:, :-1], mask=hidden[1:, :-1], ax=ax, cmap="cividis", square=True, linewidths=0.5,
                    cbar_kws={"label": units[title], "shrink": 0.8})  # fmt: skip
        ax.set(title=title, xlabel="", ylabel="")
        ax.set_xticks(ax.get_xticks(), ax.get_xticklabels(), rotation=40, ha="right")
    return figure


def judges_on_known_truth(shares: pd.DataFrame, truth: pd.Series, titles: Mapping[str, str]) -> Figure:
    """What each judge says of a response whose true shares are known: ours as dots, the truth as lines.

    shares: one row a hyperparameter, one column a judge; truth: the shares of variance.
    """
    errors = shares.sub(truth, axis=0).abs().mean()
    titles = {judge: f"{titles[judge]}\nmean error {errors[judge]:.3f}" for judge in shares}
    figure, panels = _judge_panels(titles, shares.index, "share of importance")
    y = np.arange(len(shares))
    for judge, ax in panels.items():
        ax.hlines(y, truth, shares[judge], color="0.6", lw=1.2)
        ax.plot(truth, y, "|", ms=13, mew=2, color="black", label="truth")
        ax.plot(shares[judge], y, "o", ms=6, color=COLOURS["random"], label="found")
    figure.axes[0].legend(loc="lower right", fontsize=8.5)
    return figure


def weights_by_chance(
    real: Mapping[str, pd.Series], chance: Mapping[str, pd.DataFrame], titles: Mapping[str, str]
) -> Figure:
    """Each judge's weights on the real records, and grey those of the same records with performances permuted.

    real: judge -> weights as they come; chance: judge -> a row each hyperparameter, a column each permutation. Both in
    parts of the largest real weight, since judges have their own units.
    """
    names = next(iter(real.values())).index
    figure, panels = _judge_panels({judge: titles[judge] for judge in real}, names, "weight, in parts of the largest")
    for judge, ax in panels.items():
        for y, by_chance in enumerate((chance[judge] / real[judge].max()).to_numpy()):
            label = "by chance" if y == 0 else ""
            ax.plot(by_chance, np.full(len(by_chance), y), "o", ms=5, color="0.65", mew=0, label=label)
        weight = real[judge] / real[judge].max()
        ax.plot(weight, range(len(names)), "o", ms=6, color=COLOURS["random"], label="real records")
        ax.axvline(0, color="0.4", lw=0.8)
    figure.axes[0].legend(loc="lower right", fontsize=8.5)
    return figure


def _judge_panels(titles: Mapping[str, str], names: pd.Index, xlabel: str) -> tuple[Figure, dict[str, plt.Axes]]:
    """A figure with a panel a judge, four in a row, and a line each hyperparameter, the first on top."""
    figure, axes = panel_grid(len(titles), (3, 0.27 * len(names) + 0.9), sharex=True, sharey=True)
    for ax, title in zip(axes, titles.values(), strict=True):
        ax.set_title(title, fontsize=9.5)
        ax.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    for ax in axes[-4:]:
        ax.set_xlabel(xlabel)
    return figure, dict(zip(titles, axes, strict=True))


def importance_bars(shares: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """Importance of hyperparameters as bars, one colour a judge; dashed where all would be if they mattered alike.

    shares: index hyperparameter, the topmost first; one column a judge; labels: judge -> what the legend says of it.
    """
    k, n_judges = shares.shape
    figure, ax = plt.subplots(figsize=(7.5, k * (0.2 + 0.08 * n_judges) + 0.22 * n_judges + 1.2))
    width = 0.8 / n_judges
    for i, (judge, colour) in enumerate(zip(shares, sns.color_palette("colorblind", n_judges), strict=True)):
        at = np.arange(k) + (i - (n_judges - 1) / 2) * width
        ax.barh(at, shares[judge], width, color=colour, label=labels[judge])
    ax.axvline(1 / k, color="0.4", lw=0.9, ls="--", label=f"equal shares, 1/{k}")
    ax.set(xlabel="share of importance", ylabel="hyperparameter", yticks=range(k), xlim=(0, None), ylim=(k - 0.5, -0.5))
    ax.set_yticklabels(shares.index)
    handles, texts = ax.get_legend_handles_labels()
    figure.legend(handles[1:] + handles[:1], texts[1:] + texts[:1], loc="outside upper left")  # the line comes last
    return figure
