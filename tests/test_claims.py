"""Claims, their rules and verdicts."""

import numpy as np
import pandas as pd
import pytest

from gsos import claims
from gsos.claims import Result, judge, verdict
from gsos.space import ASSESSED

SCALE = {"n_records": 10_000, "n_datasets": 10}


def claim(rule, value=""):
    return pd.Series({"rule": rule, "value": value}, name="X-01")


def said(rule, value, ours, low=np.nan, high=np.nan):
    return verdict(claim(rule, value), Result(ours, 10, 1, low, high))


@pytest.mark.parametrize(
    ("rule", "value", "ours", "expected"),
    [
        ("sign", "", (0.2, 0.1, 0.3), "reproduced"),
        ("sign", "", (0.2, -0.1, 0.5), "partly"),
        ("sign", "", (-0.2, -0.3, 0.5), "contradicted"),
        ("sign", "0.5", (0.2,), "reproduced"),
        ("sign", "", (0.0,), "contradicted"),
        ("at least", "0.75", (0.9, 0.8, 1.0), "reproduced"),
        ("at least", "0.75", (0.9, 0.7, 1.0), "partly"),
        ("at least", "0.75", (0.7, 0.6, 0.8), "contradicted"),
        ("within interval", "0.4", (0.3, 0.1, 0.5), "reproduced"),
        ("within interval", "0.4", (0.3, 0.25, 0.35), "partly"),
        ("within interval", "0.46", (0.3, 0.25, 0.35), "contradicted"),
        ("within interval", "0.16", (0.3, 0.25, 0.35), "partly"),
        ("within interval", "0.4", (0.3, 0.0, 0.7), "partly"),  # an interval that holds nearly everything
        ("rel 10 %", "1", (0.95,), "reproduced"),
        ("rel 10 %", "1", (0.85, 0.8, 0.95), "partly"),
        ("rel 10 %", "1", (0.85, 0.8, 0.88), "contradicted"),
        ("rel 10 %", "-2", (-2.1,), "reproduced"),
        ("top-3", "a b c", (["c", "a", "b", "d"],), "reproduced"),
        ("top-3", "a b c", (["a", "b", "d", "c"],), "partly"),
        ("top-3", "a b c", (["a", "e", "d", "c"],), "contradicted"),
        ("top-1", "a", (["a", "b"],), "reproduced"),
        ("top-1", "a", (["b", "a"],), "contradicted"),
        ("bottom-2", "c d", (["a", "b", "d", "c"],), "reproduced"),
        ("bottom-2", "c d", (["c", "b", "a", "d"],), "contradicted"),
        ("order", "a b c d", (["a", "b", "c", "d"],), "reproduced"),
        ("order", "a b c d", (["a", "b", "d", "c"],), "partly"),  # tau = 2/3
        ("order", "a b c d", (["d", "b", "a", "c"],), "contradicted"),
    ],
)
def test_rules(rule, value, ours, expected):
    assert said(rule, value, *ours) == expected


def test_an_interval_is_needed_where_a_number_is_to_lie_in_one():
    with pytest.raises(ValueError, match="claim X-01 needs an interval"):
        said("within interval", "0.4", 0.4)


def test_an_unknown_rule_is_an_error():
    with pytest.raises(ValueError, match="claim X-01 has the unknown rule 'looks alike'"):
        said("looks alike", "", 1.0)


def test_every_claim_has_a_known_rule_and_a_whole_row():
    table = claims.load()
    assert table.index.is_unique and (table.min_records > 0).all() and (table.min_datasets > 0).all()
    assert (table["where"].str.len() > 0).all() and (table.statement.str.len() > 20).all()
    for _, row in table.iterrows():
        names = row.value.split() if row.rule.startswith(("top", "bottom", "order")) else None
        assert verdict(row, Result(names or 1.0, 1, 1, 0.5, 1.5)) in claims.VERDICTS
        if names and row.rule.startswith(("top", "bottom")):
            assert len(names) == int(row.rule.split("-")[1])


def test_claims_agree_with_the_published_tables():
    from gsos import published

    table = claims.load(paper="HIA")
    three, four = (published.table(f"hia_table_{i}").set_index("name").weight for i in (3, 4))
    assert [float(table.value[f"HIA-{i}"]) for i in (10, 11, 12)] == list(three[:3])
    assert [float(table.value[f"HIA-{i}"]) for i in (17, 18, 19)] == list(four[:3])
    assert table.value["HIA-09"].split() == list(ASSESSED) == list(three.index)
    assert float(table.value["HIA-22"]) == published.table("hia_table_5").weight[0]
    two_layers, three_layers = (published.table(f"hia_table_{i}").weight for i in (6, 7))
    assert float(table.value["HIA-24"]) == two_layers[0] and float(table.value["HIA-27"]) == three_layers[0]
    ahead = [w[0] - w[1] for w in (two_layers, three_layers)]
    assert [float(table.value[f"HIA-{i}"]) for i in (23, 26)] == pytest.approx(ahead)
    assert float(table.value["HIA-28"]) == pytest.approx(ahead[1] - ahead[0])
    assert float(table.value["HIA-01"]) == published.table("hia_figure_2").amount.sum()


def test_claims_agree_with_the_published_tables_of_gsos():
    from gsos import published

    value = claims.load(paper="GSOS").value
    three = published.table("gsos_table_3").set_index(["strategy", "name"])
    seconds = three[["total_time", "time_to_optimum"]].apply(lambda times: pd.to_timedelta(times).dt.total_seconds())
    accuracy = three[["val_accuracy", "test_accuracy"]]
    grouped, simultaneous = "grouped_sequential", "simultaneous"
    pooled = 1 - seconds.loc[grouped].sum() / seconds.loc[simultaneous].sum()
    assert [float(value[f"GSOS-0{i}"]) for i in (6, 7)] == pytest.approx(list(pooled), abs=5e-5)
    assert value["GSOS-05"] == value["GSOS-06"]
    least = (1 - seconds.loc[grouped] / seconds.loc[simultaneous]).min()
    assert [float(value[f"GSOS-0{i}"]) for i in (8, 9)] == pytest.approx(list(least), abs=5e-5)
    change = accuracy.loc[grouped].mean() / accuracy.loc[simultaneous].mean() - 1
    assert [float(value[f"GSOS-{i}"]) for i in (11, 12)] == pytest.approx(list(change), abs=5e-5)
    lower = (accuracy.loc[grouped] < accuracy.loc[simultaneous]).mean() - 0.5
    assert [float(value[f"GSOS-{i}"]) for i in (13, 14)] == pytest.approx(list(lower), abs=5e-5)
    four = published.table("gsos_table_4")
    assert float(value["GSOS-15"]) == four.test_accuracy_change.min()
    assert [100 * float(value[f"GSOS-{i}"]) for i in range(16, 22)] == pytest.approx(list(four.time_reduction_percent))
    five = published.table("gsos_table_5").set_index("d").seconds
    assert float(value["GSOS-30"]) == pytest.approx(five[12] / five[1], abs=5e-4)
    assert float(value["GSOS-31"]) == five[12]


def test_claims_agree_with_the_published_tables_of_hgd():
    from gsos import published

    table = claims.load(paper="HGD")
    value = table.value
    change, orders = {}, {}  # by seconds: algorithm x dataset; the algorithms of a table's row, the best first
    for number, dataset in ((3, "CIFAR-10"), (4, "CIFAR-100")):
        accuracy = published.table(f"hgd_table_{number}").set_index(["seconds", "variant", "algorithm"]).accuracy
        for seconds in (500, 3000):
            rows = accuracy[seconds]
            change.setdefault(seconds, pd.DataFrame())[dataset] = rows["hgd"] / rows["sgd"] - 1
            for variant in ("sgd", "hgd"):
                best_first = rows[variant].sort_values(ascending=False, kind="stable").index
                orders[f"T{number}", seconds, variant] = " ".join(best_first)
    early, end = change[500], change[3000]
    printed = [early.mean().mean(), *early.mean(), *(early > 0).mean()]
    assert [float(value[f"HGD-{i}"]) for i in range(12, 17)] == pytest.approx(printed, abs=1e-4)
    assert [float(value[f"HGD-{i}"]) for i in (22, 23, 24)] == pytest.approx([end.mean().min(), *end.mean()], abs=1e-4)
    assert [float(value["HGD-17"]) + 0.5, float(value["HGD-18"])] == pytest.approx([53 / 60] * 2, abs=5e-5)
    population = early.loc[["pbt", "pb2"]]
    ahead = (early.drop(population.index).mean() - population.mean()).mean()
    assert float(value["HGD-25"]) == pytest.approx(ahead, abs=1e-4)
    assert set(value["HGD-26"].split()) == set(early["CIFAR-10"].nsmallest(2).index)
    assert value["HGD-27"] == early["CIFAR-100"].idxmax()
    for name, (where, *_), order in zip(table.index[32:40], orders, orders.values(), strict=True):
        assert table["where"][name] == where and order.startswith(value[name])
        assert table.rule[name] == ("order" if value[name] == order else "top-2")


def test_claims_are_selected_by_paper_and_notebook():
    assert set(claims.load(notebook="02").notebook) == {"02"} and set(claims.load(paper="HIA").paper) == {"HIA"}
    with pytest.raises(ValueError, match="no claim has paper 'XYZ'; there are GSOS, HGD, HIA"):
        claims.load(paper="XYZ")


def test_below_its_scale_a_claim_is_not_tested_but_what_the_rule_gives_is_told():
    found = judge("02", {"HIA-14": Result(0.9, 600, 2, 0.85, 0.95), "HIA-05": Result(list(ASSESSED), **SCALE)})
    assert found.verdict["HIA-14"] == "not tested" and found["on these records"]["HIA-14"] == "reproduced"
    assert found.verdict["HIA-05"] == "reproduced" and found.ours["HIA-05"].startswith("num_conv_layers lr")
    assert found.verdict["HIA-15"] == found["on these records"]["HIA-15"] == "not tested"  # no result
    assert list(found.index) == list(claims.load(notebook="02").index)
    few = judge("02", {"HIA-14": Result(0.9, 10_000, 4, 0.85, 0.95)})
    assert few.verdict["HIA-14"] == "not tested"  # datasets


def test_a_result_without_a_claim_is_an_error():
    with pytest.raises(ValueError, match="notebook 02 has no claim 'HIA-01'; it has HIA-05"):
        judge("02", {"HIA-01": Result(1.0, **SCALE)})


def test_claims_in_seconds_are_of_the_paper_profile():
    table = claims.load()
    assert table[table.unit == "s"].needs.str.startswith("the paper profile").all() and (table.unit == "s").any()
