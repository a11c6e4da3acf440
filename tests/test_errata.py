"""Every erratum is whole, and says what a calculation by hand gives."""

import pytest

from gsos import errata


@pytest.fixture(scope="module")
def found():
    return errata.table()


def test_every_erratum_is_whole_and_of_its_paper(found):
    assert found.index.is_unique and set(found.paper) == {"HIA", "GSOS", "HGD"}
    assert all(name.startswith(f"{paper}-E") for name, paper in found.paper.items())
    for column in ("where", "printed", "recomputed", "follows"):
        assert (found[column].str.len() > 0).all() and not found[column].str.contains("nan").any(), column


def test_what_is_printed_is_not_what_is_recomputed(found):
    assert (found.printed != found.recomputed).all()


@pytest.mark.parametrize(
    ("name", "printed", "recomputed"),
    [
        (
            "HIA-E1",
            ["0.679271", "dropout_rate", "row 7"],
            ["0.385284 + 0.227982", "for lr", "num_fc_units, batch_size"],
        ),
        ("HIA-E2", [], ["0.385 + 0.015 > 0.228 + 0.131", "0.368", "0.380"]),
        ("HIA-E3", [], ["1.026492"]),
        ("HIA-E4", ["kernel is 9th", "num_fc_units 10th"], ["0.005545 and 0.005563"]),
        ("HIA-E5", ["five colour"], ["6 datasets with three", "4 with one"]),
        ("HIA-E6", ["37,000", "channel_num 3"], ["27,000", "channel_num 1"]),
        ("HIA-E7", ["1, 3 and the default 0"], ["0 is none of 1, 3"]),
        ("HIA-E8", ["1,000"], ["7 of the ten", "11,150"]),
        ("HIA-E9", ["0.9889"], ["54%"]),
        ("GSOS-E1", ["19.69 %", "31.90 %"], ["21.22% and 31.94%", "19.69% and 31.90%"]),
        ("GSOS-E2", [], ["1330 s", "1151 s", "+15.55%"]),
        ("GSOS-E3", [], ["75.7%", "64.2%"]),
        ("GSOS-E4", ["2.23 %", "0.44 %"], ["1.85 and 0.35 points", "-2.23% and -0.44%", "-0.51 points"]),
        ("GSOS-E5", ["0.00019"], ["0.7605 - 0.7513 = 0.0092"]),
        ("GSOS-E6", ["10 hyperparameters"], ["11", "11,150"]),
        ("GSOS-E7", ["classes 4", "7,599"], ["classes 10", "17,034"]),
        ("GSOS-E8", [], ["epoch 1 of 91", "kernel 1 of 2", "num_conv_layers 2 of 3", "lr 4 of 5 decades"]),
        ("GSOS-E9", ["100 iterations"], ["145 evaluations against 115"]),
        ("GSOS-E10", ["minimally"], ["56% to 67%", "1.40 s + 0.045 s d"]),
        ("GSOS-E11", ["y^+"], ["y^*"]),
        ("GSOS-E12", ["[18]"], ["[21]"]),
        ("HGD-E1", ["36.62 %", "23.16 %"], ["28.02% and 19.53%", "36.63% and 23.17%", "-45.0% and +83.8%"]),
        ("HGD-E2", [], ["3 of six", "AHB -5.21%", "-1.10%"]),
        ("HGD-E3", ["88.3 %"], ["53 of 60", "11 of 12"]),
        ("HGD-E4", [], ["places 1 and 2 of six on CIFAR-10, 5 and 6", "-20.2%", "65.0%", "43.1%", "13.2%"]),
        ("HGD-E5", ["0.6347", "0.3491"], ["81.8%", "57.76%"]),
        ("HGD-E6", ["0.7986 and 0.7986"], ["0.1636"]),
        ("HGD-E7", ["0.5473", "0.7033"], ["36.9%"]),
        ("HGD-E8", ["significantly"], ["p = 0.13 and 0.12"]),
        ("HGD-E9", ["(-theta_(t-2) - theta_(t-3))"], ["grad f(theta_(t-2))"]),
        ("HGD-E10", ["momentum"], ["cosine -1", "2 times"]),
        ("HGD-E11", ["theta_0"], ["theta_(-1)"]),
        ("HGD-E12", [], ["2 of the 14", "18 methods"]),
        ("HGD-E13", ["18 methods", "conditional HPs"], ["AHB and ASHA", "'-'"]),
        ("HGD-E14", ["four", "CIFAR-10"], ["five", "CIFAR-100"]),
        ("HGD-E15", ["cross validation"], ["70 %"]),
    ],
)
def test_an_erratum_says_what_is_printed_and_what_is_not(found, name, printed, recomputed):
    for column, words in (("printed", printed), ("recomputed", recomputed)):
        for word in words:
            assert word in found[column][name]


def test_every_erratum_is_tested_here(found):
    (mark,) = test_an_erratum_says_what_is_printed_and_what_is_not.pytestmark
    assert [name for name, *_ in mark.args[1]] == list(found.index)
