"""Claims of several notebooks joined: verdicts, counts, why some are not tested, and what is shown of them."""

import numpy as np
import pandas as pd
import pytest

from gsos import claims, verdicts
from gsos.claims import Result, judge
from gsos.paths import DATA


@pytest.fixture
def run(tmp_path):
    """Of notebook 02 three results at three scales, of notebook 04 one; the others have not run."""
    (tmp_path / "claims").mkdir()
    importance = {
        "HIA-05": Result(["lr", "num_conv_layers", "dropout_rate", "epoch"], 6000, 8),
        "HIA-13": Result(0.97, 600, 2, 0.5, 0.99),
        "HIA-08": Result(["lr", "epoch", "batch_size", "kernel"], 6000, 8),
    }
    judge("02", importance).to_csv(tmp_path / "claims" / "02_importance.csv")
    judge("04", {"GSOS-06": Result(0.3, 7000, 6, 0.2, 0.4)}).to_csv(tmp_path / "claims" / "04_gsos_experiments.csv")
    return tmp_path


def test_every_claim_is_there_with_its_verdict(run):
    table = verdicts.join(run)
    assert list(table.index) == list(claims.load().index)
    assert table.verdict["HIA-05"] == "reproduced" and table.ours["HIA-05"] == "lr num_conv_layers dropout_rate epoch"
    assert table.verdict["HIA-13"] == "not tested" and table["on these records"]["HIA-13"] == "reproduced"
    assert table.verdict["HIA-08"] == "contradicted"
    assert table.verdict["GSOS-06"] == "reproduced" and table.low["GSOS-06"] == 0.2
    assert (table.verdict == "not tested").sum() == len(table) - 3


def test_it_says_why_a_claim_is_not_tested(run):
    why = verdicts.join(run).why
    assert why["HIA-05"] == ""
    assert why["HIA-13"] == "600 records of 2 datasets; needs 5,000 of 5"
    assert why["GSOS-16"] == "needs AHE"
    assert why["GSOS-05"] == "these records say nothing of it"
    assert why["HGD-12"] == "notebook 06 has not run"


def test_without_any_run_nothing_is_tested(tmp_path):
    table = verdicts.join(tmp_path)
    assert (table.verdict == "not tested").all() and (table.ours == "").all()
    assert table.why.str.endswith("has not run").all()


def test_counts_by_hand(run):
    table = verdicts.join(run)
    by_paper = verdicts.counts(table)
    assert list(by_paper.index) == ["HIA", "GSOS", "HGD", "all"] and list(by_paper.columns) == list(claims.VERDICTS)
    assert by_paper.loc["HIA"].tolist()[:3] == [1, 0, 1] and by_paper.loc["GSOS"].tolist()[:3] == [1, 0, 0]
    assert by_paper.loc["all"].sum() == len(table)
    here = verdicts.counts(table, "notebook", "on these records")
    assert list(here.index) == [*sorted(set(table.notebook)), "all"]
    assert here.loc["02"].tolist() == [2, 0, 1, (table.notebook == "02").sum() - 3]


def test_what_is_shown_are_the_names_that_the_rule_looks_at(run):
    shown = verdicts.shown(verdicts.join(run))
    assert shown.ours["HIA-05"] == "lr num_conv_layers dropout_rate"  # top-3
    assert shown.ours["HIA-08"] == "batch_size kernel"  # bottom-2
    assert shown.ours["HIA-13"] == "0.97 [0.5, 0.99]" and shown.printed["HIA-13"] == "0.9889"
    assert shown.ours["HGD-12"] == "" and shown.printed["HIA-02"] == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.385284", "0.3853"),
        ("11150", "11,150"),
        ("lr epoch", "lr epoch"),
        (np.nan, ""),
        ("", ""),
        (-0.0223, "-0.0223"),
    ],
)
def test_rounding(value, expected):
    assert verdicts.rounded(value) == expected


def test_in_short_a_markdown_table_of_each_headline(run):
    text = verdicts.in_short(verdicts.join(run))
    n = (claims.load().query("paper == 'HIA' and notebook != '00'")).shape[0]
    assert f"| our records and measurements | HIA | {n} | 1 | 0 | 1 | {n - 2} |" in text
    assert "| GSOS-06 | Reduction of the total time | records | 31.9 % | 30 % [20, 40] | reproduced |" in text
    assert (
        "| GSOS-10 | Model performance is not compromised: test accuracy loses at most half a percentage point " in text
    )
    assert "| records | -0.5 points |  | not tested |" in text and "| its tables | 0 % |" in text
    assert "not tested (these records: reproduced)" in text
    rows = [line for line in text.splitlines() if line.startswith(tuple(f"| {name} |" for name in verdicts.HEADLINES))]
    assert len(rows) == len(verdicts.HEADLINES)


def test_a_text_takes_the_table_between_its_marks():
    text = f"before\n{verdicts.BEGIN}\nold\n{verdicts.END}\nafter\n"
    new = verdicts.put_into(text, "| new |")
    assert new == f"before\n{verdicts.BEGIN}\n| new |\n{verdicts.END}\nafter\n"
    assert verdicts.put_into(new, "| new |") == new
    with pytest.raises(ValueError, match="the text has no place for verdicts"):
        verdicts.put_into("no marks", "| new |")


def test_deviations_are_whole():
    table = verdicts.deviations()
    assert list(table.columns) == ["paper", "where", "paper says", "we do", "why"]
    assert set(table.paper) == {"HIA", "GSOS", "HGD", "all"} and not table.duplicated().any()
    assert (table[["paper says", "we do", "why"]].map(len) > 3).all(axis=None)
    assert pd.read_csv(DATA / "published" / "deviations.csv").shape == table.shape
