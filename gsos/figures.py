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

from gsos.strategy import STRATEGIES

COLOURS = dict(zip(("random", "bohb", "paper"), np.array(sns.color_palette("colorblind"))[[0, 1, 7]], strict=True))
LABELS = STRATEGIES | {"bohb": "BOHB"}
_LINES = ("-", "-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), "-", "-", "--")
STRATEGY_STYLE = {
    name: {"color": colour, "ls": line}
    for name, colour, line in zip(STRATEGIES, sns.color_palette("colorblind"), _LINES, strict=False)
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


def save(figure: Figure, folder: Path, name: str, footer: str = "") -> None:
    """Write name.png and name.svg, with a footer that says what the figure rests on."""
    if footer:
        figure.supxlabel(footer, x=0.01, ha="left", fontsize=8, color="0.45")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    figure.set_layout_engine("none")  # the layout is found; each further drawing would find it again
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
    widths = [shares[judge].shape[1] for judge in groups]
    size = (2.4 + 0.75 * sum(widths) + len(widths), 0.34 * len(shares) + 1.9)
    figure, axes = plt.subplots(1, len(groups), figsize=size, sharey=True, squeeze=False, width_ratios=widths)
    for ax, (judge, title) in zip(axes[0], groups.items(), strict=True):
        last = ax is axes[0][-1]
        bar = {"label": "share of importance"} if last else None
        sns.heatmap(shares[judge], ax=ax, cmap="cividis", vmin=0, vmax=shares.to_numpy().max(), annot=True, fmt=".2f",
                    annot_kws={"size": 8}, cbar=last, cbar_kws=bar, linewidths=0.5)  # fmt: skip
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel="", ylabel="")
        ax.tick_params(left=ax is axes[0][0], rotation=0)
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
    columns = 4
    rows = -(-len(titles) // columns)
    size = (12, (0.27 * len(names) + 0.9) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for ax, title in zip(axes.flat, titles.values(), strict=False):
        ax.set_title(title, fontsize=9.5)
        ax.grid(axis="x", alpha=0.3)
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].invert_yaxis()
    for ax in axes[-1]:
        ax.set_xlabel(xlabel)
    for ax in axes.flat[len(titles) :]:
        ax.set_visible(False)
    return figure, dict(zip(titles, axes.flat, strict=False))


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


def gsos_fig1_groups(weights: pd.Series, groups: Mapping[str, list[str]]) -> Figure:
    """GSOS Fig 1: importance weights of the hyperparameters, a colour a group; groups: legend -> names."""
    names = [name for group in groups.values() for name in group]
    figure, ax = plt.subplots(figsize=(7.5, 0.32 * len(names) + 1.3))
    palette = sns.color_palette("colorblind")
    place = 0
    for colour, (title, group) in zip(palette, groups.items(), strict=False):
        bars = ax.barh(range(place, place + len(group)), weights[group], color=colour, label=title)
        ax.bar_label(bars, fmt="%.3f", padding=3, fontsize=8.5)
        place += len(group)
    ax.set(xlabel="normalised importance weight", yticks=range(len(names)), xlim=(0, weights.max() * 1.15))
    ax.set_yticklabels(names)
    ax.invert_yaxis()
    ax.legend(loc="lower right")
    return figure


def gsos_table_4(ours: pd.DataFrame, paper: pd.DataFrame, panels: Mapping[str, tuple[str, str]]) -> Figure:
    """GSOS T4, one row a dataset: ours with 95 % intervals, below them the paper's values.

    ours: index dataset, columns name, name_low, name_high; paper: index dataset, some of the names; panels: name ->
    (title, unit). Values in per cent or percentage points.
    """
    rows = [*ours.index, *(f"{name} (paper)" for name in paper.index)]
    figure, axes = plt.subplots(1, len(panels), figsize=(3.1 * len(panels) + 1, 0.3 * len(rows) + 1.4), sharey=True)
    for ax, (name, (title, unit)) in zip(axes, panels.items(), strict=True):
        error = [ours[name] - ours[f"{name}_low"], ours[f"{name}_high"] - ours[name]]
        ax.errorbar(ours[name], range(len(ours)), xerr=np.clip(error, 0, None), fmt="o", ms=5, capsize=3, lw=1.4,
                    color=COLOURS["random"])  # fmt: skip
        if name in paper:
            ax.plot(paper[name], range(len(ours), len(rows)), "D", ms=5, mfc="none", mew=1.6, color=COLOURS["bohb"])
        ax.axvline(0, color="0.4", lw=0.8)
        ax.axhline(len(ours) - 0.5, color="0.7", lw=0.8)
        ax.grid(axis="x", alpha=0.3)
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel=unit, yticks=range(len(rows)))
        ax.set_yticklabels(rows)
    axes[0].invert_yaxis()
    return figure


def gsos_fig2_density(
    frame: pd.DataFrame, places: np.ndarray, density: Mapping[tuple[str, str], np.ndarray], titles: Mapping[str, str]
) -> Figure:
    """GSOS Fig 2: where the accuracies lie over the iterations, a row a dataset, a column a strategy; dots are trials.

    frame: columns dataset, strategy, iteration, accuracy; places: (2, n, n) of iteration and accuracy; density:
    (dataset, strategy) -> (n, n), in parts of the dataset's largest; titles: strategy -> title.
    """
    datasets = list(dict.fromkeys(dataset for dataset, _ in density))
    size = (4.4 * len(titles) + 0.8, 2.6 * len(datasets) + 0.4)
    figure, axes = plt.subplots(len(datasets), len(titles), figsize=size, sharex=True, sharey=True, squeeze=False)
    for row, dataset in zip(axes, datasets, strict=True):
        for ax, (name, title) in zip(row, titles.items(), strict=True):
            trials = frame[(frame.dataset == dataset) & (frame.strategy == name)]
            mesh = ax.pcolormesh(*places, density[dataset, name], cmap="cividis", vmin=0, vmax=1, shading="gouraud",
                                 rasterized=True)  # fmt: skip
            ax.plot(trials.iteration + 1, trials.accuracy, ".", ms=4, color="white", alpha=0.7, mew=0)
            ax.set_title(f"{dataset}: {title}", fontsize="medium")
            ax.set(xlim=(1, places[0].max()), ylim=(0, 1))
        row[0].set_ylabel("validation accuracy")
        figure.colorbar(mesh, ax=row[-1], label="density, in parts of\nthe dataset's largest")
    for ax in axes[-1]:
        ax.set_xlabel("iteration")
    return figure


def schedule_saving(best: np.ndarray, saving: Mapping[str, np.ndarray], printed: float) -> Figure:
    """What the schedule of epochs alone saves, against the best number of epochs; the paper's saving as a line.

    best: (n,) epochs; saving: legend -> (n,) share of time; printed: the paper's.
    """
    figure, ax = plt.subplots(figsize=(6.5, 3.4))
    for (label, values), line in zip(saving.items(), _LINES, strict=False):
        ax.plot(best, 100 * values, lw=2, ls=line, label=label)
    ax.axhline(100 * printed, color=COLOURS["paper"], lw=1.4)
    ax.text(best[-1], 100 * printed + 1.5, "paper", color=COLOURS["paper"], ha="right", fontsize=9)
    ax.set(xlabel="best number of epochs, fixed after its group's turn", ylabel="time saved (%)")
    ax.legend(fontsize=9)
    ax.grid(alpha=0.3)
    return figure


def strategies_by_iteration(
    curves: Mapping[str, pd.DataFrame], strategies: Mapping[str, str], xlabel: Mapping[str, str] | str = "iteration"
) -> Figure:
    """Curves of strategies, a row a dataset, a column a quantity, with bands.

    curves: quantity (the axis label) -> frame with columns dataset, strategy, at, mean, low, high;
    strategies: name -> legend; xlabel: of all panels, or quantity -> label.
    """
    datasets = list(dict.fromkeys(next(iter(curves.values())).dataset))
    size = (4.2 * len(curves) + 0.5, 2.6 * len(datasets) + 0.7)
    figure, axes = plt.subplots(len(datasets), len(curves), figsize=size, sharex="col", squeeze=False)
    for row, dataset in zip(axes, datasets, strict=True):
        for ax, (quantity, frame) in zip(row, curves.items(), strict=True):
            for name, title in strategies.items():
                curve = frame[(frame.dataset == dataset) & (frame.strategy == name)]
                style = STRATEGY_STYLE[name]
                ax.fill_between(curve["at"], curve.low, curve.high, color=style["color"], alpha=0.18, lw=0)
                ax.plot(curve["at"], curve["mean"], lw=1.7, label=title, **style)
            ax.set_ylabel(quantity)
            ax.grid(alpha=0.3)
        row[0].set_title(dataset, fontsize="medium")
    for ax, quantity in zip(axes[-1], curves, strict=True):
        ax.set_xlabel(xlabel if isinstance(xlabel, str) else xlabel[quantity])
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9)
    return figure


def strategies_beside(table: pd.DataFrame, panels: Mapping[str, tuple[str, str]], titles: Mapping[str, str]) -> Figure:
    """Strategies against one reference, a row each, with 95 % intervals.

    table: index strategy, columns name, name_low, name_high; panels: name -> (title, unit); titles: strategy -> label.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(3.1 * len(panels) + 2.6, 0.36 * len(table) + 1.3), sharey=True)
    for ax, (name, (title, unit)) in zip(axes, panels.items(), strict=True):
        for y, (strategy, row) in enumerate(table.iterrows()):
            error = np.clip([[row[name] - row[f"{name}_low"]], [row[f"{name}_high"] - row[name]]], 0, None)
            colour = STRATEGY_STYLE[strategy]["color"]
            ax.errorbar(row[name], y, xerr=error, fmt="o", ms=6, capsize=3, lw=1.6, color=colour)
        ax.axvline(0, color="0.4", lw=0.8)
        ax.grid(axis="x", alpha=0.3)
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel=unit, yticks=range(len(table)), ylim=(len(table) - 0.5, -0.5))
        ax.set_yticklabels([titles[strategy] for strategy in table.index])
    return figure


GOOD, BAD, CHOICE = np.array(sns.color_palette("colorblind"))[[0, 3, 2]]  # l, g, and the acquisition function


def ei_beside_acquisition(cases: Mapping[str, pd.DataFrame]) -> Figure:
    """Expected improvement against the acquisition function, a dot each x, a panel each title.

    cases: panel title -> frame with the columns gamma, acquisition, ei. Proportional means a line through the origin.
    """
    figure, axes = plt.subplots(1, len(cases), figsize=(4.4 * len(cases), 3.6), squeeze=False)
    for ax, (title, frame) in zip(axes[0], cases.items(), strict=True):
        for colour, (gamma, rows) in zip((CHOICE, BAD), frame.groupby("gamma"), strict=False):
            ax.plot(rows.acquisition, rows.ei, ".", ms=6, mew=0, alpha=0.7, color=colour, label=f"γ = {gamma:g}")
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel=r"acquisition $(\gamma + (1-\gamma)\,g/l)^{-1}$", xlim=(0, None), ylim=(0, None))
        ax.grid(alpha=0.3)
    axes[0][0].set_ylabel("expected improvement (units of y)")
    axes[0][0].legend()
    return figure


def tpe_densities(
    truth: pd.DataFrame, trials: pd.DataFrame, y_star: float, estimates: Mapping[str, pd.DataFrame]
) -> Figure:
    """What TPE makes of the same trials: l and g on the left, the acquisition function on the right, a row a title.

    truth: columns x, loss, acquisition; trials: x, loss, good; y_star: the threshold. estimates: row title -> frame
    with columns x, l, g, acquisition. Shaded: where the loss really lies below the threshold.
    """
    n_rows = 1 + len(estimates)
    figure, axes = plt.subplots(n_rows, 2, figsize=(10, 1.55 * n_rows + 0.9), sharex=True)
    for ax in axes.flat:
        shaded = {"where": truth.loss <= y_star, "transform": ax.get_xaxis_transform()}
        ax.fill_between(truth.x, 0, 1, color=CHOICE, alpha=0.15, lw=0, **shaded)
    axes[0][0].plot(truth.x, truth.loss, color="0.3", lw=1.4)
    axes[0][0].axhline(y_star, color="0.3", lw=0.8, ls="--")
    axes[0][1].plot(truth.x, truth.acquisition, color=CHOICE, lw=1.6)
    for good, label, colour in ((True, "good trials", GOOD), (False, "bad trials", BAD)):
        rows = trials[trials.good == good]
        axes[0][0].plot(rows.x, rows.loss, "o", ms=5, mew=0, color=colour, label=label)
        for ax in axes[1:, 0]:
            below = {"transform": ax.get_xaxis_transform(), "clip_on": False}
            ax.plot(rows.x, np.full(len(rows), -0.06), "|", ms=6, color=colour, **below)
    for row, (title, frame) in zip(axes[1:], estimates.items(), strict=True):
        row[0].plot(frame.x, frame.l, color=GOOD, lw=1.6, label="l")
        row[0].plot(frame.x, frame.g, color=BAD, lw=1.6, label="g")
        row[0].set(title=title, ylim=(0, None), ylabel="density")
        row[0].tick_params(axis="x", pad=8)
        row[1].plot(frame.x, frame.acquisition, color=CHOICE, lw=1.6)
        row[1].set_ylabel("acquisition")
    for ax in axes[:, 1]:
        ax.set_ylim(0, 1.05 * max(frame.acquisition.max() for frame in (truth, *estimates.values())))
    for ax in axes[-1]:
        ax.set(xlabel="x", xlim=(0, 1))
    axes[0][0].set(ylabel="loss", title="the function and its trials")
    axes[0][1].set(ylabel="acquisition", title="the truth")
    axes[0][0].legend(fontsize=8.5, loc="lower center")
    axes[1][0].legend(fontsize=9, loc="upper right", bbox_to_anchor=(0.87, 1.1), ncols=2)
    return figure


def tpe_ingredients(kernels: Mapping[str, pd.DataFrame], categories: pd.DataFrame) -> Figure:
    """What a density is made of: its kernels, a panel each title, and last a categorical hyperparameter.

    kernels: panel title -> frame with x as index, one column a kernel and the column "prior", each with its weight;
    beyond [0, 1] is outside of the domain. categories: a row each choice, a column each estimate of its share.
    """
    figure, axes = plt.subplots(1, len(kernels) + 1, figsize=(4.2 * (len(kernels) + 1), 3.5))
    for ax, (title, frame) in zip(axes, kernels.items(), strict=False):
        ax.axvspan(-0.5, 0, color="0.9", lw=0)
        ax.axvspan(1, 1.5, color="0.9", lw=0)
        ax.plot(frame.index, frame.drop(columns="prior"), color=GOOD, lw=0.9, alpha=0.7)
        if frame.prior.any():
            ax.plot(frame.index, frame.prior, color="black", lw=1.1, ls="--", label="prior")
        ax.plot(frame.index, frame.sum(axis=1), color=GOOD, lw=2.4, label="l, their sum")
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel="x", xlim=(frame.index.min(), frame.index.max()), ylim=(0, None))
        ax.legend(fontsize=8.5)
    axes[0].set_ylabel("density")
    colours = ("0.55", GOOD, BAD)
    categories.plot.bar(ax=axes[-1], color=colours[: categories.shape[1]], width=0.8, rot=0)
    axes[-1].set_title("a category: shares in l", fontsize="medium")
    axes[-1].set(xlabel="", ylabel="share")
    axes[-1].legend(fontsize=8.5)
    return figure


def tpe_bandwidth_sweep(parts: pd.DataFrame, bandwidths: Mapping[str, float], titles: Mapping[str, str]) -> Figure:
    """Regret as a part of random search's, by bandwidth: Algorithm 1 as printed, and the robust estimator as a band.

    parts: index problem, strategy; columns quotient, low, high. bandwidths: strategy -> h; titles: problem -> title.
    """
    columns = 4
    rows = -(-len(titles) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(12, 2.6 * rows + 0.6), sharex=True, sharey=True, squeeze=False)
    h = list(bandwidths.values())
    for ax, (problem, title) in zip(axes.flat, titles.items(), strict=False):
        plain, robust = parts.loc[problem].loc[list(bandwidths)], parts.loc[(problem, "robust")]
        error = np.clip([plain.quotient - plain.low, plain.high - plain.quotient], 0, None)
        ax.axhline(1, color="0.3", lw=1, ls="--", label="random search")
        ax.axhspan(robust.low, robust.high, color=CHOICE, alpha=0.2, lw=0)
        ax.axhline(robust.quotient, color=CHOICE, lw=1.6, label="TPE, robust")
        ax.errorbar(h, plain.quotient, yerr=error, fmt="o-", ms=5, capsize=3, lw=1.4, color=BAD, label="TPE as printed")
        ax.set_title(title, fontsize="medium")
        ax.set(xscale="log", yscale="log")
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    for ax in axes[-1]:
        ax.set_xlabel("bandwidth h")
    for ax in axes.flat[len(titles) :]:
        ax.set_visible(False)
    figure.supylabel("regret, in parts of random search's", fontsize="medium")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9)
    return figure


_PEER_STYLE = {
    name: {"color": sns.color_palette("colorblind")[hue], "ls": line, "marker": marker, "ms": 6, "lw": 1.6}
    for name, hue, line, marker in (
        ("gsos", 0, "-", "o"),
        ("gsos plain", 0, "--", "s"),
        ("hyperopt", 2, "-", "^"),
        ("optuna", 4, "-", "v"),
        ("optuna independent", 4, "--", "P"),
    )
}


def gsos_table_5(
    seconds: Mapping[str, pd.DataFrame], paper: Mapping[str, pd.Series], titles: Mapping[str, str]
) -> Figure:
    """GSOS T5: seconds of a run against the number of hyperparameters, a panel a title, the last on a log scale.

    seconds: title -> columns peer, d, median, low, high; the last has every peer. paper: title -> seconds by d;
    titles: peer -> legend.
    """
    figure, axes = plt.subplots(1, len(seconds), figsize=(4.9 * len(seconds) + 1.6, 3.9), sharex=True)
    for ax, (title, frame) in zip(axes, seconds.items(), strict=True):
        for name, rows in frame.groupby("peer", sort=False):
            error = [rows["median"] - rows.low, rows.high - rows["median"]]
            ax.errorbar(rows.d, rows["median"], yerr=error, capsize=3, label=titles[name], **_PEER_STYLE[name])
        diamonds = {"ms": 6, "mfc": "none", "mew": 1.6, "color": COLOURS["bohb"], "label": "paper"}
        ax.plot(paper[title].index, paper[title], "D", **diamonds)
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel="number of hyperparameters d", xticks=paper[title].index)
        ax.grid(alpha=0.3)
    axes[0].set(ylabel="seconds a run", ylim=(0, None))
    axes[-1].set_yscale("log")
    axes[-1].yaxis.set_major_formatter("{x:g}")
    axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    return figure


def tpe_growth(milliseconds: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """How long a proposal takes after so many trials, both on log scales; one row each number, one column a peer."""
    figure, ax = plt.subplots(figsize=(7.6, 3.6))
    for name, column in milliseconds.items():
        ax.plot(column.index, column, label=titles[name], **_PEER_STYLE[name])
    ax.set(xscale="log", yscale="log", xlabel="trials before the proposal", ylabel="milliseconds a proposal")
    ax.set_xticks(milliseconds.index, milliseconds.index)
    ax.minorticks_off()
    ax.yaxis.set_major_formatter("{x:g}")
    ax.grid(alpha=0.3)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    return figure
