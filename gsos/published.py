"""The papers' own tables, typed from the papers with their errors left in; `name` is what this project calls a row."""

import pandas as pd

from gsos.paths import DATA


def table(name: str) -> pd.DataFrame:
    """A table or a figure's numbers, such as "hia_table_2". Raises ValueError for one that is not there."""
    path = DATA / "published" / f"{name}.csv"
    if not path.is_file():
        there = ", ".join(p.stem for p in sorted((DATA / "published").glob("*.csv")))
        raise ValueError(f"there is no published table {name!r}; there are {there}")
    return pd.read_csv(path)
