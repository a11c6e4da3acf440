"""The CNN that Ray Tune trains: its reports and its checkpoints, without Ray's processes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gsos import datasets, trainable
from gsos.evaluation import as_arrays
from gsos.space import DEFAULTS, SPACES, divide_widths
from gsos.trainable import CNN, NETWORK
from gsos.training import train

CASE = "hgd-cifar100"
_, BASE = divide_widths(SPACES[CASE], DEFAULTS[CASE], 64)
START = {"lr": 0.05, "momentum": 0.9}
HGD = {"optimizer": "hgd", "hyper_lr": 1e-2, "hyper_momentum_lr": 1e-2}
NETWORKS = [
    {"num_filters_1": 4, "num_filters_2": 8, "num_filters_3": 4, "num_fc_units_1": 16, "num_fc_units_2": 4},
    {"num_filters_1": 4, "num_filters_2": 4, "num_filters_3": 8, "num_fc_units_1": 8, "num_fc_units_2": 16},
]
SGD_CONFIG = NETWORKS[0] | {"batch_size": 32, "lr": 0.02, "momentum": 0.8}
HGD_CONFIG = NETWORKS[0] | {"batch_size": 32}
SEED = 3


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", n_train=150, valid_fraction=0.3)


@pytest.fixture
def build(digits):
    """A model of a trial, as Tune builds it in its actor."""

    def build(config, variant="sgd", trial="t_00000", reset=False):
        fixed = {"sgd": BASE, "hgd": BASE | START | HGD, "fixed": BASE | START}[variant]
        model = object.__new__(CNN)  # Tune's own __init__ wants a folder
        model._trial_info = SimpleNamespace(trial_id=trial)
        model.setup(config, as_arrays(digits), fixed, SEED, "cpu", reset)
        return model

    return build


def network_seed(config):
    """Of the run's seed and of what the network is: nothing else may change how it starts."""
    sizes = [config[name] for name in NETWORK]
    return int(np.random.SeedSequence([SEED, *sizes]).generate_state(1)[0])


def rates(model):
    group = model._optimizer.param_groups[0]
    return group["lr"], group["momentum"]


def weights(model):
    return torch.cat([p.detach().flatten() for p in model._model.parameters()])


def comparable(report):
    return {name: value for name, value in report.items() if name != "train_seconds"}


def checkpoint(model, folder):
    folder.mkdir()
    model.save_checkpoint(str(folder))
    return str(folder)


@pytest.mark.parametrize(("variant", "config"), [("sgd", SGD_CONFIG), ("hgd", HGD_CONFIG), ("fixed", HGD_CONFIG)])
def test_a_step_is_an_epoch_of_the_reference_training(build, digits, variant, config):
    model = build(config, variant)
    reports = [model.step() for _ in range(3)]
    complete = {"sgd": BASE, "hgd": BASE | START | HGD, "fixed": BASE | START}[variant] | config
    for report in reports:
        reference = train(complete | {"epoch": report["epoch"]}, digits, seed=network_seed(config), device="cpu")
        assert report["validation_accuracy"] == reference.validation_accuracy
        assert report["multiply_adds"] == reference.multiply_adds
    assert [report["epoch"] for report in reports] == [1, 2, 3]
    assert len({report["validation_accuracy"] for report in reports}) > 1  # it learns: the comparison says something
    assert reports[-1]["loss"] < reports[0]["loss"] < 1.1 * np.log(10)  # nats; an untrained network guesses


def test_a_report_is_complete(build):
    report = build(SGD_CONFIG).step()
    known = {"epoch": 1, "copied_from": "", "images": 150, "state": "complete", "error": ""} | SGD_CONFIG
    assert known.items() <= report.items()
    assert set(report) == set(known) | {"loss", "validation_accuracy", "train_seconds", "multiply_adds"}
    assert 0 < report["train_seconds"] < 60


def test_reports_say_where_learning_has_taken_lr_and_momentum(build):
    hgd, fixed = build(HGD_CONFIG, "hgd"), build(HGD_CONFIG, "fixed")
    reports = [hgd.step(), hgd.step()]
    assert len({report["lr"] for report in reports} | {START["lr"]}) == 3
    assert len({report["momentum"] for report in reports} | {START["momentum"]}) == 3
    report = fixed.step()
    assert (report["lr"], report["momentum"]) == (START["lr"], START["momentum"])


def test_a_network_starts_alike_in_every_variant_and_apart_from_others(build):
    models = [build(SGD_CONFIG), build(SGD_CONFIG | {"lr": 0.1}), build(HGD_CONFIG, "hgd"), build(HGD_CONFIG, "fixed")]
    for model in models[1:]:
        assert torch.equal(weights(model), weights(models[0]))
    assert not torch.equal(weights(build(SGD_CONFIG | {"batch_size": 64})), weights(models[0]))


@pytest.mark.parametrize(("position", "batch_size"), [(5.0, 32), (5.4, 32), (5.6, 64), (8.0, 256)])
def test_pb2_has_batch_sizes_as_logarithms(build, position, batch_size):
    model = build(NETWORKS[0] | {"log2_batch_size": position, "lr": 0.02, "momentum": 0.8})
    report = model.step()
    assert report["batch_size"] == batch_size and type(report["batch_size"]) is int
    assert comparable(report) == comparable(build(SGD_CONFIG | {"batch_size": batch_size}).step())


@pytest.mark.parametrize(("variant", "config"), [("sgd", SGD_CONFIG), ("hgd", HGD_CONFIG)])
def test_a_reused_actor_trains_as_a_new_one(build, tmp_path, variant, config):
    used, source = build(config, variant, reset=True), build(config, variant, "t_00001")
    used.step()
    source.step()
    used.load_checkpoint(checkpoint(source, tmp_path / "source"))  # leaves an epoch and a copied_from
    other = config | NETWORKS[1] | {"batch_size": 64}
    assert used.reset_config(other) is True
    new = build(other, variant)
    assert [comparable(used.step()) for _ in range(2)] == [comparable(new.step()) for _ in range(2)]
    assert torch.equal(weights(used), weights(new))


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(("variant", "config"), [("sgd", SGD_CONFIG), ("hgd", HGD_CONFIG)])
def test_from_its_own_checkpoint_a_model_goes_on_as_if_never_stopped(build, tmp_path, variant, config, reset):
    uninterrupted = build(config, variant, reset=reset)
    expected = [comparable(uninterrupted.step()) for _ in range(4)]
    stopped = build(config, variant, reset=reset)
    reports = [comparable(stopped.step()) for _ in range(2)]
    resumed = build(config, variant, reset=reset)
    resumed.load_checkpoint(checkpoint(stopped, tmp_path / "own"))
    reports += [comparable(resumed.step()) for _ in range(2)]
    assert reports == expected
    assert torch.equal(weights(resumed), weights(uninterrupted))


def test_a_copy_keeps_what_its_source_has_learnt(build, tmp_path):
    source = build(HGD_CONFIG, "hgd", "t_00004")
    source.step()
    source.step()
    learnt = rates(source)
    assert learnt != (START["lr"], START["momentum"])
    copy = build(HGD_CONFIG | {"batch_size": 64}, "hgd", "t_00001")
    copy.load_checkpoint(checkpoint(source, tmp_path / "source"))
    assert rates(copy) == learnt
    assert torch.equal(weights(copy), weights(source))
    first, second = copy.step(), copy.step()
    assert (first["epoch"], first["copied_from"], first["batch_size"]) == (3, "t_00004", 64)
    assert (second["epoch"], second["copied_from"]) == (4, "")


def test_a_copy_that_is_reset_starts_again_from_alpha_0_and_gamma_0_and_only_once(build, tmp_path):
    source = build(HGD_CONFIG, "hgd", "t_00004", reset=True)
    source.step()
    copy = build(HGD_CONFIG, "hgd", "t_00001", reset=True)
    copy.load_checkpoint(checkpoint(source, tmp_path / "source"))
    assert rates(copy) == (START["lr"], START["momentum"])
    assert torch.equal(weights(copy), weights(source))
    copy.step()
    resumed = build(HGD_CONFIG, "hgd", "t_00001", reset=True)
    resumed.load_checkpoint(checkpoint(copy, tmp_path / "copy"))
    assert rates(resumed) == rates(copy) != (START["lr"], START["momentum"])


def test_searched_lr_and_momentum_are_those_of_the_new_configuration(build, tmp_path):
    source = build(SGD_CONFIG, trial="t_00004")
    source.step()
    copy = build(SGD_CONFIG | {"lr": 0.07, "momentum": 0.95}, trial="t_00001")
    copy.load_checkpoint(checkpoint(source, tmp_path / "source"))
    assert rates(copy) == (0.07, 0.95)
    assert torch.equal(weights(copy), weights(source))
    buffers = [
        [model._optimizer.state[p]["momentum_buffer"] for p in model._model.parameters()] for model in (copy, source)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*buffers, strict=True))  # of what the source's steps were
    assert copy.step()["lr"] == 0.07


def test_equal_copies_see_the_images_in_orders_of_their_own(build, tmp_path):
    source = build(HGD_CONFIG, "hgd", "t_00000")
    source.step()
    folder = checkpoint(source, tmp_path / "source")
    copies = []
    for trial in ("t_00001", "t_00002", "u_00002"):  # what stands before the number is another in every experiment
        copy = build(HGD_CONFIG, "hgd", trial)
        copy.load_checkpoint(folder)
        copy.step()
        copies.append(weights(copy))
    source.step()
    assert not torch.equal(copies[0], copies[1]) and not torch.equal(copies[0], weights(source))
    assert torch.equal(copies[1], copies[2])


def test_a_diverged_epoch_is_a_report(build):
    model = build(SGD_CONFIG | {"lr": 1e30})
    report = model.step()
    assert (report["state"], report["validation_accuracy"], report["epoch"]) == ("diverged", 0.0, 1)
    assert not np.isfinite(report["loss"])
    assert model.step()["state"] == "diverged"  # of a population, it trains on until it copies


def test_an_error_of_pytorch_is_a_report_but_for_a_lost_device(build, monkeypatch):
    def fails(message):
        def train_epoch(*_):
            raise RuntimeError(message)

        return train_epoch

    model = build(SGD_CONFIG)
    monkeypatch.setattr(trainable, "train_epoch", fails("not enough memory"))
    report = model.step()
    assert (report["state"], report["validation_accuracy"]) == ("failed", 0.0) and np.isnan(report["loss"])
    assert report["error"] == "RuntimeError: not enough memory"
    assert report["train_seconds"] >= 0 and report["images"] == 150
    monkeypatch.setattr(trainable, "train_epoch", fails("CUDA error: unspecified launch failure"))
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        model.step()
