"""The chain's four links, read from tables written by hand."""

import numpy as np
import pandas as pd
import pytest

from gsos import chain, published


@pytest.fixture
def run(tmp_path):
    tables = tmp_path / "tables"
    tables.mkdir()
    names = published.table("hia_table_3").name
    columns = pd.MultiIndex.from_product([["nrrelieff-raw", "calibrated"], ["weight", "share", "low", "high"]])
    values = np.tile([0.5, 0.1, 0.05, 0.2, 0.4, 0.3, 0.25, 0.35], (len(names), 1))
    values[list(names).index("epoch"), 1] = 0.9
    pd.DataFrame(values, index=names.rename("hyperparameter"), columns=columns).to_csv(tables / "02_hia_table_3.csv")
    percent = {"time_reduction": [20.0, -10.0], "time_reduction_low": [5.0, -30.0], "time_reduction_high": [35.0, 10.0]}
    pd.DataFrame(percent, index=["simultaneous", "random groups"]).to_csv(tables / "04_controls.csv")
    changes = [
        ("HGD against SGD", "train_seconds", 1 / 6, 0.1, -0.2, 0.4, 0.3),
        ("HGD against SGD", "images", 1 / 6, 0.7, 0.6, 0.8, 0.3),
        ("HGD against fixed", "train_seconds", 1.0, -0.05, -0.1, 0.0, np.nan),
    ]
    columns = ["comparison", "axis", "share", "change", "low", "high", "paper"]
    pd.DataFrame(changes, columns=columns).to_csv(tables / "06_changes.csv", index=False)
    ratios = pd.DataFrame(
        {"ratio": [1.4, 2.0, 0.7], "low": [1.1, 1.6, 0.5], "high": [1.7, 2.4, 0.9]},
        index=pd.MultiIndex.from_tuples(
            [("5 evaluations", "random"), ("100 evaluations", "random"), ("100 evaluations", "blocks")],
            names=[None, "strategy"],
        ),
    )
    ratios.to_csv(tables / "07_ratios.csv")
    return tmp_path


def row(link, label, series):
    return link[(link.label == label) & (link.series == series)].iloc[0]


def test_links_hold_printed_values_beside_ours(run):
    links = chain.links(run)
    assert list(links) == [chain.MATTERS, chain.ORDER, chain.LEARNT, chain.BETTER]
    matters = links[chain.MATTERS]
    assert row(matters, "lr", "printed").value == 0.227982  # HIA T3
    assert tuple(row(matters, "epoch", "replicated")[["value", "low", "high"]]) == (0.9, 0.05, 0.2)
    assert row(matters, "lr", "control").value == 0.3
    order = links[chain.ORDER]
    assert row(order, "than simultaneous TPE", "printed").value == pytest.approx(0.31903, abs=1e-5)
    assert tuple(row(order, "than simultaneous TPE", "replicated")[["value", "low", "high"]]) == (0.2, 0.05, 0.35)
    assert row(order, "than GSOS, random groups", "control").value == -0.1
    learnt = links[chain.LEARNT]
    assert len(learnt) == 3  # of seconds only
    assert row(learnt, "HGD against SGD, early", "printed").value == 0.3
    assert row(learnt, "HGD against good values, at the end", "control").value == -0.05
    assert links[chain.BETTER].value.tolist() == [2.0, 0.7]  # after the last evaluation


def test_a_link_whose_notebook_has_not_run_is_left_out(run):
    (run / "tables" / "06_changes.csv").unlink()
    assert chain.LEARNT not in chain.links(run) and len(chain.links(run)) == 3


def test_links_are_told_in_sentences(run):
    said = {title: chain.tell(title, link) for title, link in chain.links(run).items()}
    assert "paper: num_conv_layers, lr, dropout_rate; N-RReliefF as printed, here: epoch," in said[chain.MATTERS]
    assert "than simultaneous TPE: paper +32%, here +20% (+5% to +35%)" in said[chain.ORDER]
    assert "Block TPE: 0.70 (0.50 to 0.90)." in said[chain.BETTER]
