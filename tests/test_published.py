"""The papers' tables as typed, with their inconsistencies."""

import numpy as np
import pytest

from gsos import published
from gsos.importance import ranked_pairs
from gsos.relief import joint_importance
from gsos.space import ASSESSED


@pytest.fixture(scope="module")
def tables():
    return {number: published.table(f"hia_table_{number}") for number in range(3, 8)}


def test_names_are_ours(tables):
    assert list(tables[3].name) == list(tables[4].name) == list(ASSESSED)
    for layers in (2, 3):
        assert list(tables[layers + 4].name) == [f"num_filters_{i + 1}" for i in range(layers)]
    for table in tables.values():
        assert list(table["rank"]) == list(range(1, len(table) + 1))


def test_table_3_is_normalised(tables):
    assert tables[3].weight.sum() == pytest.approx(1, abs=2e-6) and tables[3].weight.is_monotonic_decreasing


def test_table_4_sums_to_more_than_one_and_its_ninth_and_tenth_are_swapped(tables):
    weights = tables[4].weight
    assert weights.sum() == pytest.approx(1.026492, abs=1e-6)
    assert weights[8] < weights[9] and list(tables[4].name[8:10]) == ["kernel", "num_fc_units"]


def test_table_5_is_eq_11_on_table_3_with_shifted_labels(tables):
    ours = ranked_pairs(joint_importance(tables[3].weight), tables[3].name)[:10]
    assert np.allclose(ours, tables[5].weight, atol=2e-6)
    assert {first for first, _ in ours.index} == set(tables[5].name) == {"num_conv_layers"}
    true, printed = [second for _, second in ours.index], list(tables[5]["with"])
    assert sorted(true) == sorted(printed)
    assert true[0] == "lr" and printed[6] == "lr"
    # every name up to the one before lr's printed place is one row too high
    assert true[1:7] == printed[:6] and true[7] == printed[7] == "kernel"
    assert true[8:] == printed[8:][::-1]


def test_tables_6_and_7_sum_to_one(tables):
    assert tables[6].weight.sum() == pytest.approx(1) and tables[7].weight.sum() == pytest.approx(1)


def test_eq_11_knows_no_interaction(tables):
    """It is monotone in the sum of two weights."""
    joint = ranked_pairs(joint_importance(tables[3].weight), tables[3].name)
    weight = tables[3].set_index("name").weight
    sums = [weight[a] + weight[b] for a, b in joint.index]
    assert np.all(np.diff(sums) <= 0)
