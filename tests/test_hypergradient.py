"""HypergradientSGD beside a literal transcription of Algorithm 1, autograd, torch.optim.SGD and Baydin's SGD-HD."""

import copy
import io
import pickle
import re
from math import inf, nan
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, lr_scheduler

from gsos import hypergradient
from gsos.datasets import load
from gsos.hypergradient import FORMS, HypergradientSGD

SHAPES = [(3, 2), (4,), ()]
RATES = {"hyper_lr": 1e-4, "hyper_momentum_lr": 1e-2}
GENTLE = {"hyper_lr": 1e-6, "hyper_momentum_lr": 1e-3}  # for many parameters
STILL = {"hyper_lr": 0.0, "hyper_momentum_lr": 0.0}
FREE = {"lr_bounds": (-inf, inf), "momentum_bounds": (-inf, inf)}
FORM = pytest.mark.parametrize("form", FORMS)


def start(shapes=SHAPES, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def parameters(shapes=SHAPES, dtype=torch.float64, seed=0):
    return [nn.Parameter(theta) for theta in start(shapes, dtype, seed)]


def flat(tensors):
    return torch.cat([t.reshape(-1) for t in tensors])


def f(thetas):
    """Steeper in some directions than in others, not quadratic; couples all parameters."""
    x = flat(thetas)
    scale = torch.linspace(0.2, 3, len(x), dtype=x.dtype, device=x.device)
    return ((scale * x) ** 2).sum() / 2 + torch.sin(x).sum() + x.sum() ** 2 / len(x)


def valley(thetas):
    """A quadratic 100 times as steep in its steepest direction as in its flattest; least, 0, where all is 1."""
    x = flat(thetas)
    return (torch.logspace(0, -2, len(x), dtype=x.dtype) * (x - 1) ** 2).sum() / 2


def play(optimizer, params, steps, loss=f, scheduler=None):
    """The parameters, the learning rate and the momentum after each step."""
    thetas, lrs, momenta = [], [], []
    for _ in range(steps):
        optimizer.zero_grad()
        loss(params).backward()
        optimizer.step()
        thetas.append([p.detach().clone() for p in params])
        lrs.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        if scheduler is not None:
            scheduler.step()
    return thetas, lrs, momenta


def algorithm_1(
    thetas,
    steps,
    *,
    lr,
    momentum,
    hyper_lr,
    hyper_momentum_lr,
    form="heavy-ball",
    loss=f,
    scheduled=lambda t, lr: lr,
    moves=lambda t, i: True,
):
    """HGD's Algorithm 1 line by line with all of the past kept, as `play` returns it.

    form: "mixed" is the error of taking Eq 9 as printed with a step of heavy-ball momentum.
    scheduled(t, lr): what a scheduler makes of lr before step t; moves(t, i): whether parameter i has a gradient in it.
    """
    theta, past = [[x] for x in thetas], [[] for _ in thetas]
    result = [], [], []
    for t in range(steps):
        now = [x[-1].clone().requires_grad_() for x in theta]
        gradient = torch.autograd.grad(loss(now), now)
        moving = [i for i in range(len(theta)) if moves(t, i)]
        lr = scheduled(t, lr)
        for i in moving:
            if len(theta[i]) > 1:
                lr = lr + hyper_lr * (gradient[i] * past[i][-1]).sum().item()
            if len(theta[i]) > 2:
                along = (gradient[i] * (theta[i][-2] - theta[i][-3])).sum().item()
                momentum = momentum + (-1 if form == "heavy-ball" else 1) * hyper_momentum_lr * along
        for i in moving:
            last_step = theta[i][-1] - theta[i][-2] if len(theta[i]) > 1 else 0
            sign = -1 if form == "as-printed" else 1
            theta[i].append(theta[i][-1] - lr * gradient[i] + sign * momentum * last_step)
            past[i].append(gradient[i])
        for kept, value in zip(result, ([x[-1] for x in theta], lr, momentum), strict=True):
            kept.append(value)
    return result


def assert_same(ours, expected, rtol=1e-9):
    """Trajectories, but for rounding."""
    for thetas, others in zip(ours[0], expected[0], strict=True):
        torch.testing.assert_close(thetas, others, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(ours[1], expected[1], rtol=rtol)
    np.testing.assert_allclose(ours[2], expected[2], rtol=rtol)


def state_of(optimizer):
    """All that a step depends on besides the parameters, to be compared with =="""
    saved = optimizer.state_dict()
    numbers = {i: {k: v.tolist() if torch.is_tensor(v) else v for k, v in s.items()} for i, s in saved["state"].items()}
    return numbers, saved["param_groups"]


# Algorithm 1, and what it contains.


@FORM
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_it_is_algorithm_1(form, momentum):
    constants = {"lr": 0.02, "momentum": momentum, **RATES, "form": form}
    params = parameters()
    ours = play(HypergradientSGD(params, **constants, **FREE), params, 25)
    assert_same(ours, algorithm_1(start(), 25, **constants))
    assert len(set(ours[1])) == 25 and len(set(ours[2])) == 24  # from the second step on, and from the third


class Update(NamedTuple):
    """The step to theta_{t-1} as a function of alpha and gamma, and what the next step learns from it."""

    loss: object  # (alpha, gamma) -> f(theta_{t-1})
    gradient: torch.Tensor  # at theta_{t-1}
    last: torch.Tensor  # theta_{t-2}
    before: torch.Tensor  # theta_{t-3}
    ours: tuple[float, float]  # (df/d alpha, df/d gamma)


def an_update(form):
    params = parameters()
    optimizer = HypergradientSGD(params, 0.05, 0.7, **STILL, form=form, **FREE)
    before, last, now = map(flat, play(optimizer, params, 5)[0][-3:])
    gradients = [torch.autograd.grad(f([x]), x)[0] for x in (last.requires_grad_(), now.requires_grad_())]
    last = last.detach()

    def loss(alpha, gamma):
        return f([last - alpha * gradients[0] + (-1 if form == "as-printed" else 1) * gamma * (last - before)])

    assert loss(0.05, 0.7).item() == pytest.approx(f(params).item(), rel=1e-12)
    optimizer.param_groups[0].update(hyper_lr=1.0, hyper_momentum_lr=1.0)
    _, (lr,), (momentum,) = play(optimizer, params, 1)
    return Update(loss, gradients[1], last, before, (0.05 - lr, 0.7 - momentum))


def autograds(update):
    constants = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.05, 0.7)]
    return [derivative.item() for derivative in torch.autograd.grad(update.loss(*constants), constants)]


@FORM
def test_hypergradients_are_autograds(form):
    update = an_update(form)
    assert update.ours == pytest.approx(autograds(update), rel=1e-9)
    assert min(map(abs, update.ours)) > 0.1


@FORM
def test_hypergradients_are_finite_differences(form):
    update, h = an_update(form), 1e-6
    by_lr = (update.loss(0.05 + h, 0.7) - update.loss(0.05 - h, 0.7)).item() / (2 * h)
    by_momentum = (update.loss(0.05, 0.7 + h) - update.loss(0.05, 0.7 - h)).item() / (2 * h)
    assert update.ours == pytest.approx([by_lr, by_momentum], rel=1e-6)


def test_equation_8_as_printed_is_no_derivative():
    update = an_update("as-printed")
    _, expected = autograds(update)
    printed, meant = update.gradient @ (-update.last - update.before), update.gradient @ -(update.last - update.before)
    assert meant.item() == pytest.approx(expected, rel=1e-9)
    assert abs(printed.item() - expected) > abs(expected)


def test_equation_9_with_a_heavy_ball_step_descends_the_wrong_way():
    update = an_update("heavy-ball")
    _, expected = autograds(update)
    mixed = -(update.gradient @ (update.last - update.before)).item()  # Eq 9 descends along this
    assert mixed == pytest.approx(-expected, rel=1e-9) == pytest.approx(-update.ours[1], rel=1e-9)
    params, constants = parameters(), {"lr": 0.2, "momentum": 0.3, "hyper_lr": 0.0, "hyper_momentum_lr": 0.1}
    ours = play(HypergradientSGD(params, **constants), params, 60, valley)
    wrong = algorithm_1(start(), 60, form="mixed", loss=valley, **constants)
    assert ours[2][-1] > 0.5 and wrong[2][-1] < 0.1
    assert valley(ours[0][-1]) < 0.5 * valley(wrong[0][-1])


@FORM
def test_with_rates_of_zero_it_is_momentum(form):
    params = parameters()
    ours = play(HypergradientSGD(params, 0.03, 0.8, **STILL, form=form), params, 30)
    x, last_step = flat(start()), torch.zeros(11, dtype=torch.float64)
    for thetas in ours[0]:
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(f([x]), x)
        last_step = -0.03 * gradient + (-0.8 if form == "as-printed" else 0.8) * last_step
        x = x.detach() + last_step
        torch.testing.assert_close(flat(thetas), x, rtol=1e-12, atol=1e-12)
    assert set(ours[1]) == {0.03} and set(ours[2]) == {0.8}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_with_rates_of_zero_it_is_torchs_sgd(momentum, dtype, tolerance):
    ours, theirs = parameters(dtype=dtype), parameters(dtype=dtype)
    played = play(HypergradientSGD(ours, 0.01, momentum, **STILL), ours, 50)
    expected = play(SGD(theirs, 0.01, momentum), theirs, 50)
    assert_same(played, expected, rtol=tolerance)


def test_without_momentum_it_is_sgd_hd():
    """Baydin et al. 2018, Algorithm 1."""
    params = parameters()
    ours = play(HypergradientSGD(params, 0.01, hyper_lr=1e-4, hyper_momentum_lr=0.0), params, 40)
    x, alpha, last_gradient = flat(start()), 0.01, torch.zeros(11, dtype=torch.float64)
    for thetas, lr in zip(*ours[:2], strict=True):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(f([x]), x)
        alpha += 1e-4 * (gradient @ last_gradient).item()
        x, last_gradient = x.detach() - alpha * gradient, gradient
        assert lr == pytest.approx(alpha, rel=1e-12)
        torch.testing.assert_close(flat(thetas), x, rtol=1e-10, atol=1e-12)
    assert ours[1][-1] > 0.02 and set(ours[2]) == {0.0}


# What it is good for.


def test_it_finds_the_optimum_of_a_quadratic_sooner():
    losses = {}
    for name, rates in (("learnt", {"hyper_lr": 1e-3, "hyper_momentum_lr": 0.3}), ("fixed", STILL)):
        params = parameters()
        thetas, *_ = play(HypergradientSGD(params, 0.05, 0.1, **rates), params, 300, valley)
        losses[name] = valley(thetas[-1]).item()
        if name == "learnt":
            torch.testing.assert_close(flat(thetas[-1]), torch.ones(11, dtype=torch.float64), rtol=0, atol=0.02)
    assert losses["learnt"] < 1e-4 * losses["fixed"]


def test_it_starts_from_nothing():
    params = parameters()
    optimizer = HypergradientSGD(params, 0.0, hyper_lr=1e-3, hyper_momentum_lr=0.3)
    thetas, lrs, momenta = play(optimizer, params, 300, valley)
    assert lrs[0] == momenta[0] == 0 and torch.equal(flat(thetas[0]), flat(start()))
    assert lrs[1] > 0 and momenta[-1] > 0.5
    assert valley(thetas[-1]) < 1e-4 * valley(start())


def test_momentum_is_learnt_from_zero():
    params, without = parameters(), parameters()
    ours = play(HypergradientSGD(params, 0.05, hyper_lr=0.0, hyper_momentum_lr=0.3), params, 100, valley)
    expected = play(HypergradientSGD(without, 0.05, **STILL), without, 100, valley)
    assert ours[2][:2] == [0, 0] and ours[2][-1] > 0.5
    assert valley(ours[0][-1]) < 0.1 * valley(expected[0][-1])


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_logistic_regression_as_baydin_et_al_have_it(one_thread):
    """On MNIST they report a validation loss of .374 with SGD and of .288 with SGD-HD, after 10 epochs."""
    data = load("fashion_mnist_sample")
    x, x_valid = (images.flatten(1) / 255 for images in (data.x_train, data.x_valid))
    losses = {}
    for hyper_lr in (0.0, 1e-3):
        torch.manual_seed(0)
        model = nn.Linear(x.shape[1], data.n_classes)
        optimizer = HypergradientSGD(model.parameters(), 1e-3, hyper_lr=hyper_lr, hyper_momentum_lr=0.0)
        for _ in range(10):
            for rows in torch.randperm(len(x)).split(128):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[rows]), data.y_train[rows]).backward()
                optimizer.step()
        losses[hyper_lr] = nn.functional.cross_entropy(model(x_valid), data.y_valid).item()
    assert losses[1e-3] < 0.7 * losses[0.0]


# Learning rate and momentum: bounds, and what is not finite.


def step(optimizer, gradients):
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for p, gradient in zip(params, gradients, strict=True):
        p.grad = None if gradient is None else torch.as_tensor(gradient, dtype=p.dtype).expand_as(p).clone()
    optimizer.step()
    return tuple(optimizer.param_groups[0][name] for name in ("lr", "momentum", "nonfinite"))


def scalar(value=0.0, dtype=torch.float64):
    return nn.Parameter(torch.tensor([value], dtype=dtype))


def test_learning_rate_and_momentum_are_kept_in_bounds():
    bounds = {"lr_bounds": (0.05, 0.2), "momentum_bounds": (0.25, 0.5)}
    optimizer = HypergradientSGD([p := scalar()], 0.1, 0.3, hyper_lr=1.0, hyper_momentum_lr=10.0, **bounds)
    assert step(optimizer, [1.0]) == (0.1, 0.3, 0)
    assert step(optimizer, [1.0]) == (0.2, 0.3, 0)  # 0.1 + 1
    assert p.item() == pytest.approx(-0.1 + 0.3 * -0.1 - 0.2)  # moved by what is within bounds
    assert step(optimizer, [1.0]) == (0.2, 0.5, 0)  # 0.3 + 10 * 0.1
    assert step(optimizer, [-1.0]) == (0.05, 0.25, 0)  # 0.2 - 1, 0.5 - 10 * 0.23


def test_what_is_not_finite_is_left_alone_and_counted():
    optimizer = HypergradientSGD([scalar()], 1e-200, 0.5, hyper_lr=1.0, hyper_momentum_lr=1e-201, **FREE)
    assert step(optimizer, [1e200]) == (1e-200, 0.5, 0)
    assert step(optimizer, [1e200]) == (1e-200, 0.5, 1)  # g.g' overflows
    lr, momentum, count = step(optimizer, [1e200])
    assert (lr, count) == (1e-200, 2) and momentum == pytest.approx(0.6)  # g.D = -1e200 does not
    optimizer = HypergradientSGD([scalar()], 1e200, 0.5, hyper_lr=1e-9, hyper_momentum_lr=1.0, **FREE)
    step(optimizer, [1e3])
    step(optimizer, [1e-3])
    lr, momentum, count = step(optimizer, [1e200])
    assert lr == 1e200 + 1e-9 * 1e197 and momentum == 0.5 and count == 1  # g.D overflows, g.g' does not


def test_a_step_of_a_hyperparameter_that_overflows_is_not_taken():
    optimizer = HypergradientSGD([scalar()], 0.1, 0.5, hyper_lr=1e300, hyper_momentum_lr=0.0)
    step(optimizer, [1e10])
    assert step(optimizer, [1e10]) == (0.1, 0.5, 1)
    optimizer = HypergradientSGD([scalar()], 1e308, hyper_lr=1e308, hyper_momentum_lr=0.0)
    step(optimizer, [1.0])
    assert step(optimizer, [1.0]) == (1e308, 0.0, 1)


@pytest.mark.parametrize("bad", [nan, inf])
def test_gradients_that_are_not_finite_do_not_reach_the_hyperparameters(bad):
    optimizer = HypergradientSGD([scalar(), other := scalar()], 0.1, 0.5, **RATES)
    for _ in range(3):
        before, (lr, momentum, count) = other.item(), step(optimizer, [1.0, 1.0])
    last = other.item()
    assert count == 0 and lr > 0.1 and momentum > 0.5
    assert step(optimizer, [bad, 1.0]) == (lr, momentum, 2)
    assert other.item() == pytest.approx(last - lr + momentum * (last - before))


@given(
    gradients=st.lists(st.floats(width=32), min_size=1, max_size=8),
    lr=st.floats(0, 1),
    rates=st.tuples(st.floats(0, 1e300), st.floats(0, 1e300)),
    form=st.sampled_from(list(FORMS)),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
@settings(max_examples=100, deadline=None)
def test_learning_rate_and_momentum_are_always_floats_in_bounds(gradients, lr, rates, form, dtype):
    optimizer = HypergradientSGD(
        [scalar(dtype=dtype)], lr, hyper_lr=rates[0], hyper_momentum_lr=rates[1], form=form, lr_bounds=(0, 1)
    )
    for gradient in gradients:
        lr, momentum, nonfinite = step(optimizer, [gradient])
        assert type(lr) is type(momentum) is float and type(nonfinite) is int
        assert 0 <= lr <= 1 and 0 <= momentum <= 1


# A torch.optim.Optimizer.


def test_a_closure_is_called_with_gradients_and_its_loss_returned():
    ours, theirs = parameters(), parameters()
    optimizer = HypergradientSGD(ours, 0.02, 0.5, **RATES)

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = f(ours)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(10)]
    expected = play(HypergradientSGD(theirs, 0.02, 0.5, **RATES), theirs, 10)
    assert losses == [f(thetas).item() for thetas in [start(), *expected[0][:-1]]]
    assert torch.equal(flat(ours), flat(theirs))
    assert optimizer.step() is None


def test_groups_learn_with_their_own_settings():
    """Where the loss is a sum over groups, each is an optimiser of its own."""
    own = [
        {"lr": 0.01, "momentum": 0.3, "hyper_lr": 1e-4, "hyper_momentum_lr": 1e-2, "form": "heavy-ball"},
        {"lr": 0.03, "momentum": 0.1, "hyper_lr": 2e-4, "hyper_momentum_lr": 3e-2, "form": "as-printed"},
        {"lr": 0.02, "momentum": 0.9, "hyper_lr": 1e-2, "hyper_momentum_lr": 1e-1, "lr_bounds": (0.01, 0.021)},
    ]
    ours, alone = (parameters([(2,), (3,), (4,)]) for _ in range(2))
    optimizer = HypergradientSGD(
        [{"params": [p], **group} for p, group in zip(ours[:2], own, strict=False)], 9.0, 0.9, **STILL
    )
    play(optimizer, ours, 4, lambda params: f(params[:1]) + f(params[1:2]))
    optimizer.add_param_group({"params": ours[2:], **own[2]})
    play(optimizer, ours, 6, lambda params: sum(f([p]) for p in params))
    for p, q, group, constants, steps in zip(ours, alone, optimizer.param_groups, own, (10, 10, 6), strict=True):
        _, lrs, momenta = play(HypergradientSGD([q], **constants), [q], steps)
        assert (group["lr"], group["momentum"]) == (lrs[-1], momenta[-1])
        assert torch.equal(p, q)
    assert len({group["lr"] for group in optimizer.param_groups}) == 3
    assert optimizer.param_groups[2]["lr"] == 0.021


def a_copy(way, params, optimizer):
    if way == "deepcopy":
        return copy.deepcopy((params, optimizer))
    if way == "pickle":
        return pickle.loads(pickle.dumps((params, optimizer)))
    file = io.BytesIO()
    torch.save((params, optimizer.state_dict()), file)
    file.seek(0)
    params, state = torch.load(file, weights_only=True)
    fresh = HypergradientSGD(params, 9.0, hyper_lr=9.0, hyper_momentum_lr=9.0, form="as-printed", lr_bounds=(8, 9))
    fresh.load_state_dict(state)
    return params, fresh


@FORM
@pytest.mark.parametrize("way", ["state_dict", "deepcopy", "pickle"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_copy_goes_on_bit_for_bit(way, form, dtype, n):
    params = parameters(dtype=dtype)
    optimizer = HypergradientSGD(params, 0.02, 0.5, **RATES, form=form, momentum_bounds=(0.5, 0.7))
    optimizer.param_groups[0]["nonfinite"] = 3
    play(optimizer, params, n)
    params_2, optimizer_2 = a_copy(way, params, optimizer)
    assert not n or params_2[0] is not params[0]
    ours, theirs = play(optimizer, params, 5), play(optimizer_2, params_2, 5)
    for thetas, others in zip(ours[0], theirs[0], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(thetas, others, strict=True))
    assert ours[1:] == theirs[1:] and state_of(optimizer) == state_of(optimizer_2)
    assert optimizer_2.param_groups[0]["nonfinite"] == 3


def test_a_scheduler_sets_what_the_next_step_starts_from():
    constants = {"lr": 0.02, "momentum": 0.5, **RATES}
    params = parameters()
    optimizer = HypergradientSGD(params, **constants)
    ours = play(optimizer, params, 12, scheduler=lr_scheduler.StepLR(optimizer, 4, 0.5))
    expected = algorithm_1(start(), 12, **constants, scheduled=lambda t, lr: lr / 2 if t in (4, 8) else lr)
    assert_same(ours, expected)


def test_a_scheduler_cannot_leave_the_bounds():
    optimizer = HypergradientSGD([scalar()], 0.1, **STILL, lr_bounds=(0.05, 0.2))
    lr_scheduler.LambdaLR(optimizer, lambda t: 10.0)
    assert optimizer.param_groups[0]["lr"] == 1.0
    assert step(optimizer, [1.0])[0] == 0.2


def test_a_parameter_without_a_gradient_is_left_alone_and_goes_on_from_its_own_last_step():
    constants = {"lr": 0.02, "momentum": 0.5, **RATES}
    moves = [(True, True, True), (True, False, True), (False, False, True), (True, True, False), (False, True, True)]
    params = parameters()
    optimizer = HypergradientSGD(params, **constants)
    ours = [], [], []
    for t in range(20):
        optimizer.zero_grad()
        f(params).backward()
        for p, moving in zip(params, moves[t % 5], strict=True):
            p.grad = p.grad if moving else None
        optimizer.step()
        group = optimizer.param_groups[0]
        for kept, value in zip(
            ours, ([p.detach().clone() for p in params], group["lr"], group["momentum"]), strict=True
        ):
            kept.append(value)
    assert_same(ours, algorithm_1(start(), 20, **constants, moves=lambda t, i: moves[t % 5][i]))


def test_nothing_happens_without_gradients():
    optimizer = HypergradientSGD([scalar(), frozen := nn.Parameter(torch.ones(2), requires_grad=False)], 0.1, **RATES)
    optimizer.step()
    assert not optimizer.state
    step(optimizer, [1.0, None])
    assert frozen not in optimizer.state and torch.equal(frozen, torch.ones(2))


def test_it_remembers_two_tensors_a_parameter():
    params = parameters([(30, 20), (7,)], torch.float32)
    optimizer = HypergradientSGD(params, 0.02, 0.5, **RATES)
    play(optimizer, params, 4)
    for p in params:
        tensors = [value for value in optimizer.state[p].values() if torch.is_tensor(value)]
        assert [(t.shape, t.dtype, t.requires_grad) for t in tensors] == [(p.shape, p.dtype, False)] * 2
        assert sum(t.untyped_storage().nbytes() for t in tensors) == 2 * p.nbytes
        assert all(t.data_ptr() != p.grad.data_ptr() for t in tensors)  # which the next backward may overwrite


# Tensors of every kind.


def test_bfloat16_follows_float32():
    ours, theirs = parameters(dtype=torch.bfloat16), parameters(dtype=torch.float32)
    constants = {"lr": 0.02, "momentum": 0.5, **RATES}
    played, expected = (play(HypergradientSGD(params, **constants), params, 10) for params in (ours, theirs))
    assert all(p.dtype == torch.bfloat16 for p in ours)
    assert played[1][-1] == pytest.approx(expected[1][-1], rel=0.02)
    assert played[2][-1] == pytest.approx(expected[2][-1], rel=0.02)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_products_are_added_up_in_float32_at_least(dtype):
    optimizer = HypergradientSGD([nn.Parameter(torch.zeros(2049, dtype=dtype))], 0.0, hyper_lr=1.0, hyper_momentum_lr=0)
    assert [step(optimizer, [1.0])[0] for _ in range(2)] == [0, 2049]  # no bfloat16, nor float16


def test_a_group_may_mix_precisions():
    params = [scalar(dtype=dtype) for dtype in (torch.float32, torch.float64, torch.bfloat16)]
    optimizer = HypergradientSGD(params, 0.1, 0.5, hyper_lr=0.01, hyper_momentum_lr=0.0)
    step(optimizer, [1.0, 2.0, 3.0])
    assert step(optimizer, [1.0, 2.0, 3.0])[0] == pytest.approx(0.1 + 0.01 * 14)
    assert [p.item() for p in params] == pytest.approx([-0.39, -0.78, -1.17], rel=1e-2)


LAYOUTS = {
    "channels last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "transposed": lambda t: t.transpose(0, 3).contiguous().transpose(0, 3),
    "with gaps": lambda t: torch.stack([t, t], -1)[..., 0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("of_gradient", ["same", *LAYOUTS, "contiguous"])
@pytest.mark.parametrize("cache", [4, 2**19])
def test_the_layout_in_memory_does_not_matter(layout, of_gradient, cache, monkeypatch):
    monkeypatch.setattr(hypergradient, "_CACHE", cache)
    values = start([(4, 3, 2, 5), (6, 1, 3, 3)])
    params = [nn.Parameter(LAYOUTS[layout](value.clone())) for value in values]
    strides = [p.stride() for p in params]
    assert strides[0] != values[0].stride()
    constants = {"lr": 0.02, "momentum": 0.5, **GENTLE}
    optimizer = HypergradientSGD(params, **constants)
    for _ in range(4):
        gradients = torch.autograd.grad(f(params), params)
        for p, gradient in zip(params, gradients, strict=True):
            p.grad = LAYOUTS.get(layout if of_gradient == "same" else of_gradient, torch.Tensor.contiguous)(gradient)
        optimizer.step()
    lr, momentum = optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]
    expected = algorithm_1(values, 4, **constants)
    assert (lr, momentum) == pytest.approx((expected[1][-1], expected[2][-1]), rel=1e-9)
    torch.testing.assert_close(flat(params), flat(expected[0][-1]), rtol=1e-9, atol=1e-12)
    assert [p.stride() for p in params] == strides
    if layout != "with gaps":
        assert all(
            optimizer.state[p][name].stride() == p.stride() for p in params for name in ("gradient", "displacement")
        )


def test_products_are_taken_without_a_copy(monkeypatch):
    taken, dot = [], torch.dot
    monkeypatch.setattr(torch, "dot", lambda a, b: taken.append((a, b)) or dot(a, b))
    for layout in ("channels last", "transposed"):
        p = nn.Parameter(LAYOUTS[layout](*start([(4, 3, 2, 5)])))
        optimizer = HypergradientSGD([p], 0.02, **RATES)
        p.grad = p.detach().clone()
        optimizer.step()
        tensors = p.grad, *optimizer.state[p].values()
        assert {t.data_ptr() for pair in taken for t in pair} == {t.data_ptr() for t in tensors if torch.is_tensor(t)}
        taken.clear()


@pytest.mark.parametrize("cache", [1, 2, 7, 16, 1000])
def test_pieces_and_batches_do_not_matter(cache, monkeypatch):
    monkeypatch.setattr(hypergradient, "_CACHE", cache)
    shapes = [(1, 30), (5, 4), (40,), (), (1,), (0, 3), (2, 3, 4), (3,)]
    params, constants = parameters(shapes), {"lr": 0.02, "momentum": 0.5, **GENTLE}
    ours = play(HypergradientSGD(params, **constants), params, 6)
    assert_same(ours, algorithm_1(start(shapes), 6, **constants))
    assert len(set(ours[1])) == 6 and len(set(ours[2])) == 5


def test_batches_hold_what_the_cache_does_and_lose_nothing(monkeypatch):
    monkeypatch.setattr(hypergradient, "_CACHE", 100)
    rows = [(t, t + 0.5) for t in start([(1000,), (10, 10), (3,), (), (40, 5), (7,)])]
    batches = list(hypergradient._batches(rows))
    for column in (0, 1):
        assert torch.equal(flat(t for batch in batches for t in batch[column]), flat(row[column] for row in rows))
    sizes = [sum(t.numel() for t in batch[0]) for batch in batches]
    assert all(100 <= size < 200 for size in sizes[:-1]) and len(sizes) == 14
    elsewhere = [(torch.empty(shape, device="meta"),) for shape in (1000, 3, 200)]
    assert list(hypergradient._batches(elsewhere)) == [(tuple(t for (t,) in elsewhere),)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_gpu_does_what_a_cpu_does(dtype):
    cpu = parameters([(300, 20), (7,), ()], dtype)
    gpu = [nn.Parameter(p.detach().cuda()) for p in cpu]
    constants = {"lr": 1e-4, "momentum": 0.5, "hyper_lr": 1e-12, "hyper_momentum_lr": 1e-8}
    ours, expected = (play(HypergradientSGD(params, **constants), params, 10) for params in (gpu, cpu))
    tolerance = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.05}[dtype]
    assert_same(([[p.cpu() for p in thetas] for thetas in ours[0]], *ours[1:]), expected, tolerance)


# Errors.


def test_sparse_gradients_are_refused_before_anything_has_changed():
    embedding, other = nn.Embedding(5, 3, sparse=True), scalar(1.0)
    optimizer = HypergradientSGD([{"params": [other]}, {"params": embedding.parameters()}], 0.1, **RATES)
    (embedding(torch.tensor([1, 2])).sum() + other.sum()).backward()
    message = (
        "gradients must be dense and real; a parameter of shape (5, 3) has one of torch.float32 and torch.sparse_coo"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        optimizer.step()
    assert other.item() == 1.0 and not optimizer.state


def test_complex_gradients_are_refused():
    p = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    optimizer = HypergradientSGD([p], 0.1, **RATES)
    p.abs().sum().backward()
    with pytest.raises(ValueError, match="must be dense and real; a parameter of shape .* has one of torch.complex64"):
        optimizer.step()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lr": -0.1}, "lr must be a finite number in [0.0, inf], not -0.1"),
        ({"lr": nan}, "lr must be a finite number in [0.0, inf], not nan"),
        ({"lr": inf}, "lr must be a finite number in [0.0, inf], not inf"),
        ({"lr": "0.1"}, "lr must be a finite number in [0.0, inf], not '0.1'"),
        ({"lr": torch.tensor(0.1)}, "lr must be a finite number in [0.0, inf], not tensor(0.1000)"),
        ({"lr": 0.3, "lr_bounds": (0.0, 0.2)}, "lr must be a finite number in [0.0, 0.2], not 0.3"),
        ({"momentum": 1.5}, "momentum must be a finite number in [0.0, 1.0], not 1.5"),
        ({"momentum": 0.1, "momentum_bounds": [0.7, 1]}, "momentum must be a finite number in [0.7, 1.0], not 0.1"),
        ({"hyper_lr": -1e-3}, "hyper_lr must be a finite number in [0.0, inf], not -0.001"),
        ({"hyper_lr": None}, "hyper_lr must be a finite number in [0.0, inf], not None"),
        ({"hyper_momentum_lr": inf}, "hyper_momentum_lr must be a finite number in [0.0, inf], not inf"),
        ({"lr_bounds": (0.2, 0.1)}, "lr_bounds must be a low and a high number, in this order, not (0.2, 0.1)"),
        ({"lr_bounds": (nan, 1.0)}, "lr_bounds must be a low and a high number, in this order, not (nan, 1.0)"),
        ({"lr_bounds": 0.1}, "lr_bounds must be a low and a high number, in this order, not 0.1"),
        ({"momentum_bounds": (0.5,)}, "momentum_bounds must be a low and a high number, in this order, not (0.5,)"),
        ({"momentum_bounds": "01"}, "momentum_bounds must be a low and a high number, in this order, not '01'"),
        ({"form": "nesterov"}, "form must be one of heavy-ball, as-printed, not 'nesterov'"),
    ],
)
def test_settings_that_cannot_be_are_refused_also_of_a_group(wrong, message):
    good = {"lr": 0.1, "momentum": 0.5, **RATES}
    with pytest.raises(ValueError, match=re.escape(message)):
        HypergradientSGD([scalar()], **(good | wrong))
    with pytest.raises(ValueError, match=re.escape(message)):
        HypergradientSGD([{"params": [scalar()], **wrong}], **good)
    optimizer = HypergradientSGD([scalar()], **good)
    with pytest.raises(ValueError, match=re.escape(message)):
        optimizer.add_param_group({"params": [scalar()], **wrong})
    assert len(optimizer.param_groups) == 1


def test_numbers_of_any_kind_become_floats():
    optimizer = HypergradientSGD(
        [scalar()], np.float32(0.5), 1, hyper_lr=0, hyper_momentum_lr=np.int64(0), lr_bounds=[0, 1]
    )
    group = optimizer.param_groups[0]
    assert [group[name] for name in ("lr", "momentum", "lr_bounds")] == [0.5, 1.0, (0.0, 1.0)]
    assert all(type(group[name]) is float for name in ("lr", "momentum", "hyper_lr", "hyper_momentum_lr"))
