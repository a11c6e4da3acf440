"""The papers' own tables, typed from the papers with their errors left in; `name` is what this project calls a row."""

from typing import NamedTuple

import pandas as pd

from gsos.paths import DATA


def table(name: str) -> pd.DataFrame:
    """A table or a figure's numbers, such as "hia_table_2". Raises ValueError for one that is not there."""
    path = DATA / "published" / f"{name}.csv"
    if not path.is_file():
        there = ", ".join(p.stem for p in sorted((DATA / "published").glob("*.csv")))
        raise ValueError(f"there is no published table {name!r}; there are {there}")
    return pd.read_csv(path)


class Averages(NamedTuple):
    """One change in several places, averaged in the two ways that the papers mix up; shares."""

    mean_of_ratios: float  # each place counts alike
    ratio_of_sums: float  # each place counts as much as it is large: the same as a ratio of means


def averages(new: pd.Series, old: pd.Series) -> Averages:
    """Of the change from old to new, both indexed by place: new / old - 1."""
    return Averages((new / old).mean() - 1, new.sum() / old.sum() - 1)


def gsos_runs() -> tuple[pd.DataFrame, pd.DataFrame]:
    """GSOS T3 as (grouped, simultaneous): one row a dataset; time_to_optimum and total_time in s, two accuracies."""
    runs = table("gsos_table_3").set_index(["strategy", "name"]).drop(columns="dataset")
    for column in ("time_to_optimum", "total_time"):
        runs[column] = pd.to_timedelta(runs[column]).dt.total_seconds()
    return runs.loc["grouped_sequential"], runs.loc["simultaneous"]


def hgd_accuracy() -> pd.DataFrame:
    """HGD T3 and T4: one row an algorithm, columns (dataset, seconds, variant)."""
    numbers = {"cifar10": table("hgd_table_3"), "cifar100": table("hgd_table_4")}
    long = pd.concat(numbers, names=["dataset"]).reset_index("dataset")
    return long.pivot(index="algorithm", columns=["dataset", "seconds", "variant"], values="accuracy")


def hgd_gains() -> pd.DataFrame:
    """HGD's accuracy over SGD's, less one: one row an algorithm, columns (dataset, seconds)."""
    accuracy = hgd_accuracy()
    return accuracy.xs("hgd", axis=1, level="variant") / accuracy.xs("sgd", axis=1, level="variant") - 1
