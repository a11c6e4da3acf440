"""All claims and their verdicts, joined from what a run's notebooks wrote; counted, explained, and told in short."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from gsos import claims
from gsos.paths import DATA

# what each paper is about, and what its own tables or equations say of it
HEADLINES = ("HIA-05", "HIA-08", "HIA-13", "HIA-15", "HIA-39", "GSOS-06", "GSOS-10", "GSOS-28", "GSOS-39")
HEADLINES += ("HGD-12", "HGD-20", "HGD-31", "HGD-06", "HGD-47")
TABLES, RECORDS = "the papers' own tables", "our records and measurements"  # what claims are tested on
_TESTED = {TABLES: "its tables", RECORDS: "records"}
_PERCENT = {"share": "%", "accuracy": "points"}
RESULT = ("ours", "low", "high", "n_records", "n_datasets", "verdict", "on these records")
BEGIN, END = "<!-- verdicts: written by `gsos figures` -->", "<!-- end of verdicts -->"


def join(folder: Path) -> pd.DataFrame:
    """Every claim (`claims.load`) with our result, its verdict, and `why` it was not tested where it was not.

    folder: of a run, such as runs/recorded; its claims/NN_*.csv are what the notebooks wrote. The columns after those
    of `claims.load` are ours (text: a number, or names), low, high, n_records, n_datasets, verdict,
    on these records (what the rule gives whatever the scale) and why.
    """
    every = claims.load()
    found = {path.name[:2]: _read(path) for path in sorted((folder / "claims").glob("[0-9][0-9]_*.csv"))}
    results = pd.concat(found.values()) if found else pd.DataFrame(columns=RESULT)
    table = every.join(results.reindex(columns=RESULT))
    for column in ("verdict", "on these records"):
        table[column] = table[column].fillna("not tested")
    table["ours"] = table.ours.fillna("")
    table["why"] = [_why(claim, claim.notebook in found) for _, claim in table.iterrows()]
    return table


def counts(table: pd.DataFrame, by: str = "paper", column: str = "verdict") -> pd.DataFrame:
    """How many claims have which verdict: a row each paper (or notebook), and all; columns `claims.VERDICTS`."""
    order = table[by].unique() if by == "paper" else sorted(table[by].unique())
    counted = pd.crosstab(table[by], table[column]).reindex(index=order, fill_value=0)
    counted = counted.reindex(columns=claims.VERDICTS, fill_value=0)
    return pd.concat([counted, counted.sum().to_frame("all").T]).rename_axis(by)


def deviations() -> pd.DataFrame:
    """Where this replication departs from the papers or had to choose: paper, where, paper says, we do, why."""
    return pd.read_csv(DATA / "published" / "deviations.csv", keep_default_na=False)


def rounded(value: str | float) -> str:
    """A result as it is shown: names as they are, numbers with four significant digits, a missing one empty."""
    try:
        number = float(value)
    except ValueError:
        return str(value)
    if pd.isna(number):
        return ""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Claims as they are shown: where, statement, printed, ours with interval, rule, verdict, on these records."""
    ours = [_with_interval(claim) for _, claim in table.iterrows()]
    columns = table.assign(printed=table.value.map(rounded), ours=ours)
    return columns[["where", "statement", "printed", "ours", "rule", "verdict", "on these records"]]


def in_short(table: pd.DataFrame) -> str:
    """The counts and the headline claims as two Markdown tables: what the README shows."""
    tested_on = table.notebook.map(lambda notebook: TABLES if notebook == "00" else RECORDS)
    counted = {name: counts(rows) for name, rows in table.groupby(tested_on)}
    head = ("tested on", "paper", "claims", *claims.VERDICTS)
    rows = [(name, paper, row.sum(), *row) for name, frame in counted.items() for paper, row in frame.iterrows()]
    words = table.statement.str.partition(" (")[0]  # without its definition
    told = [
        (name, words[name], _TESTED[tested_on[name]], in_unit(claim.value, claim.unit),
         _with_interval(claim, claim.unit), _with_records(claim))
        for name, claim in table.loc[list(HEADLINES)].iterrows()
    ]  # fmt: skip
    titles = ("claim", "in words", "tested on", "claimed", "ours", "verdict")
    return f"{_markdown(head, rows)}\n\n{_markdown(titles, told)}"


def in_unit(value: str | float, unit: str) -> str:
    """A result in the unit that a reader thinks in: shares in per cent, accuracies in percentage points."""
    percent = unit in _PERCENT and rounded(value)
    return f"{100 * float(value):.3g} {_PERCENT[unit]}" if percent else rounded(value)


def put_into(text: str, table: str) -> str:
    """A text (the README) with `table` between its two marks. Raises ValueError where it has not both."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the text has no place for verdicts: it needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, index_col="id", dtype={"ours": str}).reindex(columns=RESULT)


def _why(claim: pd.Series, was_run: bool) -> str:
    if claim.verdict != "not tested":
        return ""
    if not was_run:
        return f"notebook {claim.notebook} has not run"
    if not claim.ours:
        return f"needs {claim.needs}" if claim.needs else "these records say nothing of it"
    return (
        f"{claim.n_records:,.0f} records of {claim.n_datasets:.0f} dataset{'s' * (claim.n_datasets != 1)}; "
        f"needs {claim.min_records:,} of {claim.min_datasets}"
    )


def _with_interval(claim: pd.Series, unit: str = "") -> str:
    place, _, k = claim.rule.partition("-")
    if place in ("top", "bottom"):  # the names that the rule looks at
        names = claim.ours.split()
        return " ".join(names[: int(k)] if place == "top" else names[-int(k) :])
    ours = in_unit(claim.ours, unit)
    low, high = (in_unit(end, unit).partition(" ")[0] for end in (claim.low, claim.high))
    return ours if pd.isna(claim.low) else f"{ours} [{low}, {high}]"


def _with_records(claim: pd.Series) -> str:
    if claim.verdict != "not tested" or not claim.ours:
        return claim.verdict
    return f"{claim.verdict} (these records: {claim['on these records']})"


def _markdown(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    cells = [list(map(str, row)) for row in (head, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(cells[0]), *lines[1:]])
