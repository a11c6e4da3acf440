"""The papers' questions as four links: what matters, tuning in that order, hypergradients, and what is better.

Each link is a frame of what one panel of the chain's figure shows: label, series ("printed", "replicated", "control"),
value, and the ends of its interval, low and high, NaN where there is none: 95 %, of the last link 90 %. It is read from
the tables that a run's notebooks wrote; a link whose notebook has not run there is left out.
"""

from pathlib import Path

import pandas as pd

from gsos import published
from gsos.strategy import STRATEGIES

MATTERS, ORDER, LEARNT, BETTER = (
    "What matters? (HIA)",
    "Does tuning in that order save time? (GSOS)",
    "Does learning lr and momentum help? (HGD)",
    "And what is better? (recorded tables)",
)
COLUMNS = ("label", "series", "value", "low", "high")
_TELLS = {ORDER: "Less time ", BETTER: "Regret at the end in parts of multivariate Optuna's, with 90 % intervals. "}
_RIVALS = {"random": "random search", "gsos": "GSOS, true order", "gsos reversed": "GSOS, reversed order"}
_RIVALS |= {"hyperopt": "Hyperopt", "optuna multivariate": "Optuna, multivariate", "blocks": "Block TPE"}


def links(folder: Path) -> dict[str, pd.DataFrame]:
    """The links whose tables are in `folder`/tables: title -> frame. folder: of a run, such as runs/recorded."""
    made = {
        MATTERS: (_matters, "02_hia_table_3"),
        ORDER: (_order, "04_controls"),
        LEARNT: (_learnt, "06_changes"),
        BETTER: (_better, "07_ratios"),
    }
    paths = {title: folder / "tables" / f"{name}.csv" for title, (_, name) in made.items()}
    return {
        title: pd.DataFrame(make(paths[title]), columns=COLUMNS)
        for title, (make, _) in made.items()
        if paths[title].is_file()
    }


def _matters(path: Path) -> list[tuple]:
    shares = pd.read_csv(path, index_col=0, header=[0, 1])
    printed = published.table("hia_table_3")
    rows = [(name, "printed", weight, None, None) for name, weight in zip(printed.name, printed.weight, strict=True)]
    for series, judge in (("replicated", "nrrelieff-raw"), ("control", "calibrated")):
        found = shares[judge].loc[[name for name in printed.name if name in shares.index]]
        rows += [
            (name, series, *row) for name, row in zip(found.index, found[["share", "low", "high"]].values, strict=True)
        ]
    return rows


def _order(path: Path) -> list[tuple]:
    saved = pd.read_csv(path, index_col=0)[["time_reduction", "time_reduction_low", "time_reduction_high"]] / 100
    printed = float(published.averages(*(run.total_time for run in published.gsos_runs())).ratio_of_sums)
    rows = [(_against("simultaneous"), "printed", -printed, None, None)]
    for name, row in saved.iterrows():
        rows.append((_against(name), "replicated" if name == "simultaneous" else "control", *row))
    return rows


def _against(name: str) -> str:
    return f"than {STRATEGIES[name]}"


def _learnt(path: Path) -> list[tuple]:
    changes = pd.read_csv(path)
    changes = changes[changes.axis == "train_seconds"]
    rows = []
    for row in changes.itertuples():
        when = "at the end" if row.share == 1 else "early"
        label = f"{row.comparison.replace('fixed', 'good values')}, {when}"
        if pd.notna(row.paper):
            rows.append((label, "printed", row.paper, None, None))
        rows.append((label, "replicated" if pd.notna(row.paper) else "control", row.change, row.low, row.high))
    return rows


def _better(path: Path) -> list[tuple]:
    ratios = pd.read_csv(path, index_col=[0, 1])
    last = [title for title in ratios.index.unique(0) if title.endswith("evaluations")][-1]
    found = ratios.loc[last]
    return [
        (label, "control", *found.loc[name, ["ratio", "low", "high"]])
        for name, label in _RIVALS.items()
        if name in found.index
    ]


def tell(title: str, link: pd.DataFrame) -> str:
    """What a link says, in a sentence: of what matters the first three of each series, else each value and interval."""
    if title == MATTERS:
        first = link.sort_values("value", ascending=False).groupby("series", sort=False).label
        said = {series: ", ".join(labels.head(3)) for series, labels in first}
        words = {"printed": "paper", "replicated": "N-RReliefF as printed, here", "control": "calibrated RReliefF"}
        return f"{title} " + "; ".join(f"{words[series]}: {said[series]}" for series in words if series in said) + "."
    show = "{:.2f}" if title == BETTER else "{:+.0%}"
    lines = []
    for label, rows in link.groupby("label", sort=False):
        values = []
        for row in rows.itertuples():
            cut = title != BETTER and max(abs(row.low), abs(row.high)) > 1
            ends = f" ({show.format(row.low)} to {show.format(row.high)})"
            ends = "" if pd.isna(row.low) else " (an interval of more than 100 %)" if cut else ends
            where = "paper " if row.series == "printed" else "here " if title in (ORDER, LEARNT) else ""
            values.append(f"{where}{show.format(row.value)}{ends}")
        lines.append(f"{label}: {', '.join(values)}")
    return f"{title} {_TELLS.get(title, '')}{'; '.join(lines)}."
