"""The trainer: it learns, it is reproducible, it continues, it survives divergence."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from gsos import datasets, training
from gsos.cnn import build_cnn
from gsos.space import DEFAULTS, SPACES, sample
from gsos.training import train

COSTS = ("train_seconds",)


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", n_train=200)


def config(**changes):
    return {**DEFAULTS["hia"], "num_conv_layers": 1, **changes}


def result(record):
    return {name: value for name, value in record._asdict().items() if name not in COSTS}


def epoch_seed(seed, epoch):
    """As `train` documents it: every epoch draws from a stream of its own."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def test_overfits_64_images():
    images = datasets.load("fashion_mnist_sample", n_train=64)
    own = images._replace(x_valid=images.x_train, y_valid=images.y_train)  # judged on what it was trained on
    record = train(config(epoch=40, dropout_rate=0.0, lr=3e-3, num_fc_units=128), own, seed=0, device="cpu")
    assert record.validation_accuracy == 1.0 and record.validation_loss < 0.1


def test_random_labels_are_not_learnt(digits):
    order = torch.randperm(len(digits.y_valid), generator=torch.Generator().manual_seed(0))
    shuffled = digits._replace(y_valid=digits.y_valid[order])
    record = train(config(epoch=5, dropout_rate=0.0), shuffled, seed=0, device="cpu")
    assert (
        record.validation_accuracy < 0.3 < train(config(epoch=5, dropout_rate=0.0), digits, seed=0).validation_accuracy
    )


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
def test_equals_a_plain_pytorch_loop(digits, optimizer):
    """Without dropout the trainer is a few textbook lines, in float64 where rounding does not accumulate."""
    c = config(optimizer=optimizer, lr=0.01, epoch=2, dropout_rate=0.0, batch_size=64)
    torch.manual_seed(epoch_seed(3, 0))
    model = build_cnn(c, digits.image_shape, 10).double()
    x = ((digits.x_train / 255 - digits.mean.view(1, -1, 1, 1)) / digits.std.view(1, -1, 1, 1)).double()
    kind = torch.optim.Adam if optimizer == "Adam" else torch.optim.SGD
    step = kind(model.parameters(), lr=0.01)
    for epoch in (1, 2):
        torch.manual_seed(epoch_seed(3, epoch))
        for rows in torch.randperm(200).split(64):
            step.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), digits.y_train[rows]).backward()
            step.step()
    x = ((digits.x_valid / 255 - digits.mean.view(1, -1, 1, 1)) / digits.std.view(1, -1, 1, 1)).double()
    loss = nn.functional.cross_entropy(model(x), digits.y_valid).item()
    record = train(c, digits, seed=3, device="cpu")
    assert record.validation_loss == pytest.approx(loss, rel=1e-4)
    assert record.validation_accuracy == pytest.approx((model(x).argmax(1) == digits.y_valid).double().mean().item())


def test_nothing_is_dropped_while_judging(digits):
    model = build_cnn(config(dropout_rate=0.9), digits.image_shape, 10)
    images = training.Normaliser(digits, torch.device("cpu"))
    first, second = (training.evaluate(model, images, digits) for _ in range(2))
    assert first == second
    logits = model.eval()(images(digits.x_valid))
    assert first[0] == pytest.approx(nn.functional.cross_entropy(logits, digits.y_valid).item(), rel=1e-5)
    assert first[1] == pytest.approx((logits.argmax(1) == digits.y_valid).double().mean().item())


def test_same_seed_same_record_also_in_a_fresh_process(digits):
    c = config(epoch=2)
    first = train(c, digits, seed=5, device="cpu")
    assert result(first) == result(train(c, digits, seed=5, device="cpu"))
    assert first.validation_loss != train(c, digits, seed=6, device="cpu").validation_loss
    code = (
        "from gsos import datasets\nfrom gsos.training import train\n"
        f"print(train({c!r}, datasets.load('digits', n_train=200), seed=5, device='cpu').validation_loss.hex())"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert fresh == first.validation_loss.hex()


def test_global_state_is_untouched(digits):
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    train(config(epoch=1), digits, seed=1, device="cpu")
    after = torch.random.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    assert torch.equal(before[0], after[0]) and (before[1] == after[1]).all() and before[2] == after[2]


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
def test_a_survivor_equals_one_trained_straight_through(digits, tmp_path, optimizer):
    straight = train(config(epoch=4, optimizer=optimizer), digits, seed=2, device="cpu")
    for epoch, last in ((1, None), (2, 1), (4, 2)):
        record = train(
            config(epoch=epoch, optimizer=optimizer),
            digits,
            seed=2,
            device="cpu",
            resume=tmp_path / f"{last}.pt",
            save=tmp_path / f"{epoch}.pt",
        )
        assert record.epochs_trained == epoch - (last or 0)
    assert result(record) | {"epochs_trained": 4} == result(straight)
    assert not list(tmp_path.glob("tmp*"))


def test_divergence_is_recorded_with_the_last_finite_accuracy(digits, tmp_path):
    wild = config(optimizer="SGD", lr=1e30, epoch=3, dropout_rate=0.0)
    record = train(wild, digits, seed=0, device="cpu", save=tmp_path / "w.pt")
    assert record.state == "diverged" and record.epochs_trained < 3
    assert 0 <= record.validation_accuracy <= 1 and np.isfinite(record.validation_loss)
    resumed = train(wild | {"epoch": 9}, digits, seed=0, device="cpu", resume=tmp_path / "w.pt")
    straight = train(wild | {"epoch": 9}, digits, seed=0, device="cpu")
    assert result(resumed) | {"epochs_trained": 0} == result(straight) | {"epochs_trained": 0}


def test_divergence_in_the_last_step_of_an_epoch_is_the_same_for_a_survivor(digits, tmp_path):
    """One batch an epoch: the loss of an epoch is finite, and the weights after it are not."""
    for lr in (1e5, 1e8, 1e12, 1e20):
        wild = config(optimizer="SGD", lr=lr, epoch=1, dropout_rate=0.0, batch_size=256)
        train(wild, digits, seed=0, device="cpu", save=tmp_path / f"{lr}.pt")
        resumed = train(wild | {"epoch": 4}, digits, seed=0, device="cpu", resume=tmp_path / f"{lr}.pt")
        straight = train(wild | {"epoch": 4}, digits, seed=0, device="cpu")
        assert str(result(resumed) | {"epochs_trained": 0}) == str(result(straight) | {"epochs_trained": 0}), lr
        assert straight.state == "diverged" and 0 <= straight.validation_accuracy <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 5.0}, "unknown hyperparameter 'learning_rate'; the CNN knows batch_size, dropout_rate"),
        ({"epoch": 0}, "epoch must be a positive integer, not 0"),
        ({"stride": 0}, "stride must be a positive integer, not 0"),
        ({"batch_size": 1.5}, "batch_size must be a positive integer, not 1.5"),
        ({"padding": "round"}, "padding must be 'same', 'valid' or a number of pixels, not 'round'"),
    ],
)
def test_a_wrong_configuration_is_named(digits, changes, message):
    with pytest.raises(ValueError, match=message):
        train(config(**changes), digits, seed=0, device="cpu")
    incomplete = {name: value for name, value in config().items() if name != "lr"}
    with pytest.raises(ValueError, match="the configuration lacks lr"):
        train(incomplete, digits, seed=0, device="cpu")


def test_a_full_disk_leaves_no_torn_weights(digits, tmp_path, monkeypatch):
    def no_room(_, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", no_room)
    with pytest.raises(OSError, match="the weights could not be saved; make room"):
        train(config(epoch=1), digits, seed=0, device="cpu", save=tmp_path / "w.pt")
    assert not list(tmp_path.iterdir())


def test_weights_that_explode_in_the_last_step_count_as_divergence(digits, monkeypatch):
    def explode(model, *_):
        with torch.no_grad():
            next(model.parameters()).fill_(float("nan"))
        return 1.0

    monkeypatch.setattr(training, "train_epoch", explode)
    record = train(config(epoch=1), digits, seed=0, device="cpu")
    assert record.state == "diverged" and np.isfinite(record.validation_loss)


def test_sgd_has_momentum_only_where_the_configuration_has_one():
    model = nn.Linear(2, 2)
    assert training.make_optimizer(config(optimizer="sgd"), model).param_groups[0]["momentum"] == 0
    assert training.make_optimizer(config(optimizer="sgd", momentum=0.9), model).param_groups[0]["momentum"] == 0.9
    with pytest.raises(ValueError, match="optimizer must be Adam, SGD or hgd, not 'Lion'"):
        training.make_optimizer(config(optimizer="Lion"), model)


def test_lr_and_momentum_are_learnt_within_their_domains():
    rates = {"lr": 0.05, "momentum": 0.8, "hyper_lr": 1e-3, "hyper_momentum_lr": 1e-2}
    optimizer = training.make_optimizer(config(optimizer="hgd", **rates), nn.Linear(2, 2))
    assert {name: optimizer.param_groups[0][name] for name in rates} == rates
    assert optimizer.param_groups[0]["lr_bounds"] == (1e-5, 0.2)  # HGD T2
    assert optimizer.param_groups[0]["momentum_bounds"] == (0.7, 0.99)


def test_hypergradients_need_their_rates(digits):
    with pytest.raises(ValueError, match="optimizer hgd needs hyper_lr, hyper_momentum_lr in the configuration"):
        training.train(config(optimizer="hgd", momentum=0.9), digits, seed=0)


def test_a_network_can_be_trained_with_hypergradients(digits):
    rates = {"lr": 0.02, "momentum": 0.9, "hyper_lr": 1e-3, "hyper_momentum_lr": 1e-3}
    record = training.train(config(optimizer="hgd", epoch=3, **rates), digits, seed=0)
    assert record.state == "complete" and record.validation_accuracy > 0.3


def test_devices_are_checked():
    assert training.torch_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="device must be auto, cpu, cuda or cuda:N, not 'tpu0'"):
        training.torch_device("tpu0")
    with pytest.raises(ValueError, match=r"device 'cuda:99' is not there: PyTorch sees \d+ CUDA devices"):
        training.torch_device("cuda:99")


def test_every_papers_default_trains(digits):
    for name, defaults in DEFAULTS.items():
        record = train({**defaults, "epoch": 1}, digits, seed=0, device="cpu")
        assert record.state == "complete" and record.n_parameters > 0, name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_cpu(digits):
    rng = np.random.default_rng(0)
    for i in range(4):
        c = sample(SPACES["hia"], rng) | {"dropout_rate": 0.0}
        cpu, cuda = (train(c, digits, seed=i, device=device) for device in ("cpu", "cuda"))
        assert cuda.validation_loss == pytest.approx(cpu.validation_loss, rel=0.05)
        assert cuda.train_seconds > 0
