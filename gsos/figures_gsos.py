"""The figures of GSOS, in the manner of `figures`. They draw what they are given and compute nothing."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from gsos.figures import COLOURS, LINES, STRATEGY_STYLE


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
    for (label, values), line in zip(saving.items(), LINES, strict=False):
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


_MARKERS = dict(zip(STRATEGY_STYLE, "oPs^vD<X*hd", strict=True))


def cost_and_accuracy(panels: Mapping[str, pd.DataFrame], reference: str, titles: Mapping[str, str]) -> Figure:
    """What strategies take and find against one reference, a panel each title, with 95 % intervals.

    panels: panel title -> frame with strategy as index and the columns time (per cent of the reference's), change (of
    test accuracy, percentage points), each with _low and _high; titles: strategy -> legend.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels) + 2.2, 4.2), squeeze=False, sharey=True)
    for ax, (title, frame) in zip(axes[0], panels.items(), strict=True):
        ax.axhline(0, color="0.4", lw=0.8)
        ax.axvline(100, color="0.4", lw=0.8)
        ax.plot(100, 0, "k+", ms=11, mew=2, label=titles[reference])
        for i, (name, row) in enumerate(frame.iterrows()):
            x_error = [[row.time - row.time_low], [row.time_high - row.time]]
            y_error = [[row.change - row.change_low], [row.change_high - row.change]]
            errors = {"xerr": np.clip(x_error, 0, None), "yerr": np.clip(y_error, 0, None)}
            look = {"fmt": _MARKERS[name], "color": STRATEGY_STYLE[name]["color"], "ms": 7, "lw": 1.3}
            on_top = 2 + 1 / (1 + i)  # the first over the others
            ax.errorbar(row.time, row.change, **errors, **look, label=titles[name], zorder=on_top)
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel=f"total time, % of {titles[reference]}'s", xlim=(0, None))
        ax.grid(alpha=0.3)
    axes[0][0].set_ylabel(f"test accuracy less {titles[reference]}'s\n(percentage points)")
    widest = max(axes[0], key=lambda ax: len(ax.get_legend_handles_labels()[1]))
    figure.legend(*widest.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
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
