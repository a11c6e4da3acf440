"""The figures of HGD, in the manner of `figures`. They draw what they are given and compute nothing."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREEN, _RED, _PINK = sns.color_palette("colorblind")[:5]
VARIANT_STYLE = {
    "hgd": {"color": _BLUE, "ls": "-"},
    "sgd": {"color": _RED, "ls": "--"},
    "fixed": {"color": "0.5", "ls": ":"},
    "hgd reset": {"color": _GREEN, "ls": "-."},
    "sgd log": {"color": _PINK, "ls": (0, (5, 1, 1, 1))},
}
_LINES = [  # the colours and dashes of up to five lines
    {"color": colour, "ls": dashes}
    for colour, dashes in zip(
        (_BLUE, _RED, _GREEN, _ORANGE, _PINK), ("-", "--", "-.", ":", (0, (5, 1, 1, 1))), strict=True
    )
]
_PAPER = {"marker": "D", "ls": "", "ms": 5, "mfc": "white", "mec": "black", "mew": 1.2}


def hgd_fig2_over_time(
    curves: pd.DataFrame, algorithms: Mapping[str, str], variants: Mapping[str, str], xlabel: str
) -> Figure:
    """HGD Fig 2 and 3: the best accuracy so far, mean over runs, with its interval as a band; a row a dataset.

    curves: as from `anytime.over_time`. algorithms: name -> title of its column; variants: name -> legend; xlabel: the
    axis with its unit.
    """
    figure, panels = _grid(curves, ["mean"], algorithms, xlabel)
    for ax, rows in panels:
        for name, label in variants.items():
            curve, style = rows[rows.variant == name], VARIANT_STYLE[name]
            ax.fill_between(curve["at"], curve.low, curve.high, color=style["color"], alpha=0.12, lw=0)
            ax.plot(curve["at"], curve["mean"], lw=1.7, label=label, **style)
    _legend_above(figure)
    return figure


def hgd_fig4_bars(
    table: pd.DataFrame, algorithms: Mapping[str, str], variants: Mapping[str, str], xlabel: str
) -> Figure:
    """HGD Fig 4 and 5, T3 and T4: the best accuracy at shares of the time with its interval, a row a dataset.

    table: as from `anytime.over_time` at a few shares; diamonds: the paper's values. The rest as in
    `hgd_fig2_over_time`.
    """
    figure, panels = _grid(table, ["mean", "paper"], algorithms, xlabel)
    width = 0.84 / len(variants)
    for ax, rows in panels:
        for i, (name, label) in enumerate(variants.items()):
            bars = rows[rows.variant == name]
            if bars.empty:  # its legend would have no colour
                continue
            x = np.arange(len(bars)) + (i - (len(variants) - 1) / 2) * width
            error = {"yerr": [bars["mean"] - bars.low, bars.high - bars["mean"]], "ecolor": "0.25"}
            error |= {"error_kw": {"lw": 0.9}}
            ax.bar(x, bars["mean"], width, color=VARIANT_STYLE[name]["color"], label=label, **error)
            label = "paper, with its own images, networks and time" if i == 0 else None
            ax.plot(x, bars.paper, **_PAPER | {"ms": 4, "mew": 0.9}, label=label)
            ticks = [f"{at:.3g}" if at < 100 else f"{at:,.0f}" for at in bars["at"]]
            ax.set_xticks(range(len(bars)), ticks, fontsize=8, rotation=45)
    _legend_above(figure)
    return figure


def _grid(
    frame: pd.DataFrame, shown: list[str], algorithms: Mapping[str, str], xlabel: str
) -> tuple[Figure, list[tuple[plt.Axes, pd.DataFrame]]]:
    """A figure with a row each case and dataset and a column each algorithm; its panels, and the rows of each.

    shown: the columns that set how high the panels reach; an interval may reach beyond.
    """
    problems = list(frame.groupby(["case", "dataset"]))
    size = (2.15 * len(algorithms) + 0.8, 2.3 * len(problems) + 1.1)
    figure, axes = plt.subplots(len(problems), len(algorithms), figsize=size, sharex="row", sharey="row", squeeze=False)
    for row, ((_, dataset), rows) in zip(axes, problems, strict=True):
        row[0].set_ylim(0, min(1, 1.2 * rows[shown].max(axis=None)))
        row[0].set_ylabel(f"{dataset}\nbest validation accuracy", fontsize="small")
    for ax, title in zip(axes[0], algorithms.values(), strict=True):
        ax.set_title(title, fontsize="medium")
    for ax in axes.flat:
        ax.grid(alpha=0.3, axis="y")
    for ax in axes[-1]:
        ax.set_xlabel(xlabel)
    of = [rows[rows.algorithm == name] for _, rows in problems for name in algorithms]
    return figure, list(zip(axes.flat, of, strict=True))


def _legend_above(figure: Figure) -> None:
    """One legend for all panels, the paper last."""
    named = {label: handle for ax in figure.axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    labels = sorted(named, key=lambda label: label.startswith("paper"))
    ncols = int(figure.get_figwidth() // 2.2)
    figure.legend([named[label] for label in labels], labels, loc="outside upper center", ncols=ncols, fontsize=9)


_MOMENTS = (
    ("early, at 1/6 of the time", {"color": _BLUE, "ecolor": (*_BLUE, 0.6), "fmt": "o"}, -0.17),
    ("at the end", {"color": _GREEN, "ecolor": (*_GREEN, 0.6), "fmt": "s"}, 0.17),
)


def paired_changes(changes: Mapping[str, pd.DataFrame], algorithms: Mapping[str, str]) -> Figure:
    """How one variant changes another's accuracy early and at the end, with 95 % intervals; a panel a title.

    changes: title -> frame as from `anytime.changes`, all of the same units. Diamonds: the paper's values. An interval
    without a cap goes on beyond its panel.
    """
    units = ["case", "dataset", "algorithm"]
    rows = list(dict.fromkeys(next(iter(changes.values()))[units].itertuples(index=False, name=None)))
    names = [f"{dataset}: {algorithms.get(algorithm, 'mean')}" for _, dataset, algorithm in rows]
    names[-1] = "mean of all"
    size = (3.3 * len(changes) + 1.8, 0.36 * len(rows) + 1.7)
    figure, axes = plt.subplots(1, len(changes), figsize=size, sharey=True, squeeze=False)
    for ax, (title, frame) in zip(axes[0], changes.items(), strict=True):
        values = frame[["change", "low", "high", "paper"]].mul(100)
        ends = [min(0, values[["change", "paper"]].min(axis=None)), max(0, values[["change", "paper"]].max(axis=None))]
        margin = 0.35 * (ends[1] - ends[0]) or 1.0
        values = values.clip(ends[0] - 2 * margin, ends[1] + 2 * margin)  # infinite ends would not be drawn
        for (_, moment), (label, style, shift) in zip(values.groupby(frame.share), _MOMENTS, strict=True):
            of = frame.loc[moment.index, units].itertuples(index=False, name=None)
            y = [rows.index(unit) + shift for unit in of]
            error = [moment.change - moment.low, moment.high - moment.change]
            ax.errorbar(moment.change, y, xerr=error, ms=5, capsize=2.5, label=label, **style)
            ax.plot(moment.paper, y, **_PAPER | {"ms": 5.5, "mec": style["color"]}, label=f"paper, {label}")
        ax.set(xlim=(ends[0] - margin, ends[1] + margin), ylim=(len(rows) - 0.5, -0.5), xlabel="change of accuracy (%)")
        ax.axvline(0, color="0.4", lw=0.8)
        for y, (_, _, algorithm) in enumerate(rows):
            if algorithm == "all":
                ax.axhspan(y - 0.5, y + 0.5, color="0.94", lw=0, zorder=0)
        ax.set_yticks(range(len(rows)), names)
        ax.grid(axis="x", alpha=0.3)
        ax.set_title(title, fontsize="medium")
    _legend_above(figure)
    return figure


def learnt_rates(rates: pd.DataFrame, start: Mapping[str, float]) -> Figure:
    """What HGD does to the learning rate and the momentum: medians by epoch, quartiles as bands, a line a dataset.

    The larger a dot, the more models reached that epoch.

    rates: as from `anytime.learnt_rates`; start: lr and momentum, where all begin.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.3))
    for ax, (name, value), symbol in zip(axes, start.items(), ("α, learning rate", "γ, momentum"), strict=True):
        ax.axhline(value, color="0.4", lw=0.9, ls=(0, (1, 2)), label="start")
        for ((_, dataset), rows), style in zip(rates.groupby(["case", "dataset"]), _LINES, strict=False):
            ax.fill_between(
                rows.epoch, rows[f"{name}_low"], rows[f"{name}_high"], color=style["color"], alpha=0.18, lw=0
            )
            ax.plot(rows.epoch, rows[name], lw=1.7, label=dataset, **style)
            ax.scatter(rows.epoch, rows[name], s=10 + 50 * rows.n / rows.n.max(), color=style["color"])
        ax.set(xlabel="epoch of the model", ylabel=symbol)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=9)
    return figure


def sensitivity(accuracy: pd.Series, chosen: Mapping[str, float]) -> Figure:
    """Mean accuracy by alpha_0 and beta, a panel each eta; framed: the study's setting.

    accuracy: in [0, 1], index with the levels alpha_0, beta, eta; chosen: the study's value of each.
    """
    etas = accuracy.index.unique("eta")
    figure, axes = plt.subplots(1, len(etas), figsize=(3.3 * len(etas) + 1.2, 3.6), squeeze=False, sharey=True)
    limits = {"vmin": 100 * accuracy.min(), "vmax": 100 * accuracy.max()}
    for ax, eta in zip(axes[0], etas, strict=True):
        table = 100 * accuracy.xs(eta, level="eta").unstack("beta")
        mesh = sns.heatmap(table, ax=ax, annot=True, fmt=".0f", cmap="cividis", cbar=False, linewidths=0.5, **limits)
        ax.set_title(f"η = {eta:g}" + (", constant γ" if eta == 0 else ""), fontsize="medium")
        ax.set(xlabel="β", ylabel="α₀" if eta == etas[0] else "")
        ax.set_xticklabels([f"{beta:g}" for beta in table.columns], rotation=0)
        ax.set_yticklabels([f"{alpha:g}" for alpha in table.index], rotation=0)
        if eta == chosen["eta"] and chosen["beta"] in table.columns and chosen["alpha_0"] in table.index:
            corner = table.columns.get_loc(chosen["beta"]), table.index.get_loc(chosen["alpha_0"])
            ax.add_patch(plt.Rectangle(corner, 1, 1, fill=False, ec=_ORANGE, lw=3))
    figure.colorbar(mesh.collections[0], ax=list(axes[0]), label="validation accuracy (%)")
    return figure


def trajectories_quadratic(paths: Mapping[str, pd.DataFrame], eigenvalues: tuple[float, float]) -> Figure:
    """Descent on f(x, y) = (a x² + b y²) / 2: the paths over its contours, and the loss by step.

    paths: name -> columns step, x, y, loss, from one start; eigenvalues: (a, b). A path that leaves the start's
    surroundings is cut there.
    """
    figure, (plane, losses) = plt.subplots(1, 2, figsize=(11, 4))
    first = next(iter(paths.values())).iloc[0]
    reach_x, reach_y = 1.25 * abs(first.x), 1.25 * abs(first.y)
    x, y = np.meshgrid(np.linspace(-reach_x, reach_x, 200), np.linspace(-reach_y, reach_y, 200))
    f = (eigenvalues[0] * x**2 + eigenvalues[1] * y**2) / 2
    plane.contour(x, y, np.sqrt(f), levels=12, colors="0.8", linewidths=0.8)
    for (name, path), style in zip(paths.items(), _LINES, strict=False):
        plane.plot(path.x, path.y, lw=1.4, marker="o", ms=2.5, label=name, **style)
        losses.plot(path.step, path.loss, lw=1.7, label=name, **style)
    plane.plot(first.x, first.y, "o", ms=8, mfc="white", mec="black", label="start")
    plane.plot(0, 0, "*", ms=13, mfc="white", mec="black", label="optimum")
    plane.set(xlabel="x", ylabel="y", xlim=(-reach_x, reach_x), ylim=(-reach_y, reach_y))
    lowest = max(min(path.loss.min() for path in paths.values()), 1e-16 * first.loss)
    losses.set(xlabel="step", ylabel="loss f(x, y)", yscale="log", ylim=(0.5 * lowest, 10 * first.loss))
    losses.grid(alpha=0.3)
    plane.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    return figure


def trajectories_cnn(frame: pd.DataFrame) -> Figure:
    """Training of the paper's CNN by several forms of the optimiser: the loss, learning rate and momentum.

    frame: columns name (of the form), images (processed), loss (nats), lr, momentum.
    """
    figure, axes = plt.subplots(1, 3, figsize=(12.5, 3.5))
    labels = {"loss": "training loss (nats)", "lr": "α, learning rate", "momentum": "γ, momentum"}
    for ax, (column, label) in zip(axes, labels.items(), strict=True):
        for (name, rows), style in zip(frame.groupby("name", sort=False), _LINES, strict=False):
            ax.plot(rows.images, rows[column], lw=1.7, label=name, **style)
        ax.set(xlabel="images processed", ylabel=label)
        ax.grid(alpha=0.3)
    _legend_above(figure)
    return figure
