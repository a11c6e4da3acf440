"""How far HGD depends on its settings: constants are SGD's, the same networks everywhere, gains by hand."""

from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import pytest
from torch.optim import SGD

from gsos import datasets, sensitivity
from gsos.derivation import learning_curve
from gsos.sensitivity import COLUMNS, SETTING, run_settings

ALPHAS, BETAS, ETAS = [0.001, 0.01], [0.0, 1e-4], [0.0, 0.01]
GRID = list(product(ALPHAS, [0.9], BETAS, ETAS))


@pytest.fixture(scope="module")
def images():
    return datasets.load("digits", n_train=100, valid_fraction=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sensitivity")


@pytest.fixture(scope="module")
def frame(images, folder):
    return run_settings(images, GRID, n_networks=2, n_epochs=3, store=folder, workers=2)


def test_every_setting_has_every_epoch_of_the_same_networks(frame):
    assert list(frame) == list(COLUMNS) and not frame.duplicated([*SETTING, "network", "epoch"]).any()
    assert len(frame) == 8 * 2 * 4 and set(map(tuple, frame[SETTING].to_numpy())) == set(GRID)
    untrained = frame[frame.epoch == 0]
    assert (untrained.groupby("network").validation_accuracy.nunique() == 1).all() and untrained.loss.isna().all()
    assert (untrained.lr == untrained.alpha_0).all() and (untrained.momentum == 0.9).all()
    constant = frame[(frame.beta == 0) & (frame.eta == 0)]
    assert (constant.lr == constant.alpha_0).all() and (constant.momentum == constant.gamma_0).all()
    learnt = frame[(frame.epoch == 3) & (frame.beta > 0) & (frame.eta > 0)]
    assert (learnt.lr != learnt.alpha_0).all() and (learnt.momentum != 0.9).all()
    assert set(frame.case) == {"hgd-cifar10"} and (frame.batch_size == frame.network.map({0: 4, 1: 8})).all()


def test_batch_sizes_come_in_turn():
    for case, sizes in (("hgd-cifar10", [4, 8, 16, 32, 64, 4]), ("hgd-cifar100", [32, 64, 128, 256, 32, 64])):
        assert [config["batch_size"] for config in sensitivity._networks(case, 8, 6, seed=0)] == sizes


def test_without_learning_it_is_sgd(frame, images):
    config = sensitivity._networks("hgd-cifar10", 8, 2, seed=0)[1]
    seed = sensitivity.study_seed(0, "digits", "network 1")
    expected = learning_curve(config, images, partial(SGD, lr=0.01, momentum=0.9), n_epochs=3, seed=seed)
    ours = frame[(frame.alpha_0 == 0.01) & (frame.beta == 0) & (frame.eta == 0) & (frame.network == 1)]
    np.testing.assert_allclose(ours.loss, expected.loss, rtol=1e-4)


def test_finished_settings_are_taken_up_again(frame, images, folder):
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    assert len(before) == 8
    more = [*GRID, (0.03, 0.7, 0, 0)]
    again = run_settings(images, more, n_networks=2, n_epochs=3, store=folder, workers=1)
    pd.testing.assert_frame_equal(again[again.alpha_0 != 0.03].reset_index(drop=True), frame)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(folder.glob("*.parquet"))) == 9 and not list(folder.glob("*.part"))


def test_a_diverged_network_has_accuracy_0(images, monkeypatch):
    curve = pd.DataFrame({"epoch": [0, 1, 2], "loss": [np.nan, 2.0, np.inf], "validation_accuracy": [0.1, 0.3, 0.1]})
    monkeypatch.setattr(sensitivity, "learning_curve", lambda *_, **__: curve)
    sensitivity._load(sensitivity.as_arrays(images), [{"batch_size": 4}], [0], 2)
    assert sensitivity._train((0.1, 0.9, 0.0, 0.0)).validation_accuracy.tolist() == [0.1, 0.3, 0.0]


def test_gains_by_hand():
    settings = [(0.01, 0.9, 0, 0), (0.01, 0.9, 1e-5, 0), (0.1, 0.9, 0, 0), (0.1, 0.9, 1e-5, 0)]
    rows = [
        (*setting, network, epoch, accuracy * (epoch == 2), lr, 0.9)
        for setting, accuracies, lr in zip(
            settings, ([0.5, 0.7], [0.6, 0.9], [0.3, 0.3], [0.2, 0.4]), (0.01, 0.2, 0.1, 1e-5), strict=True
        )
        for network, accuracy in enumerate(accuracies)
        for epoch in (1, 2)
    ]
    frame = pd.DataFrame(rows, columns=[*SETTING, "network", "epoch", "validation_accuracy", "lr", "momentum"])
    gains = sensitivity.gains(frame)
    assert gains.accuracy.tolist() == pytest.approx([0.6, 0.75, 0.3, 0.3])
    assert gains.gain.tolist() == pytest.approx([0, 0.15, 0, 0])
    half = 12.7062 * np.std([0.1, 0.2], ddof=1) / np.sqrt(2)  # Student's t of one degree of freedom
    assert gains.loc[settings[1], ["low", "high"]].tolist() == pytest.approx([0.15 - half, 0.15 + half], rel=1e-4)
    assert gains.lr_at_bound.tolist() == [0, 1, 0, 1] and not gains.momentum_at_bound.any()
    assert sensitivity.is_constant(gains.index).tolist() == [True, False, True, False]


def test_the_best_is_judged_on_a_network_that_it_was_not_chosen_on():
    found = pd.DataFrame([[0.9, 0.1, 0.1], [0.4, 0.5, 0.3]])
    # without the first network the second setting is best, without each of the others the first
    assert sensitivity.best_of(found) == pytest.approx((0.4 + 0.1 + 0.1) / 3)
    rng = np.random.default_rng(0)
    alike = [sensitivity.best_of(pd.DataFrame(rng.normal(0.5, 0.1, (50, 4)))) for _ in range(300)]
    assert np.mean(alike) == pytest.approx(0.5, abs=0.01)  # a maximum of means would be .61


def test_what_cannot_be_run_is_refused(images, tmp_path):
    for settings, counts, message in (
        (GRID, (0, 3), "n_networks must be at least 1, not 0"),
        (GRID, (2, 0), "n_epochs must be at least 1, not 0"),
        ([*GRID, (1, 0.9, 0, 0)], (2, 3), r"lr must be a finite number in \[1e-05, 0.2\], not 1"),
        ([*GRID, (0.03, 0.9, 0, 0.01)], (2, 3), r"must have the constants \(0.03, 0.9, 0.0, 0.0\) beside \(0.03, 0.9"),
    ):
        with pytest.raises(ValueError, match=message):
            run_settings(images, settings, n_networks=counts[0], n_epochs=counts[1], store=tmp_path)
    assert not list(tmp_path.iterdir())
