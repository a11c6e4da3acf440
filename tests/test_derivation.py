"""Algorithm 1 written out against the optimiser and by hand; the equations against what is known of their misprints."""

from functools import partial

import numpy as np
import pytest
import torch

from gsos.datasets import load
from gsos.derivation import SIGNS, algorithm_1, check_equations, learning_curve
from gsos.hypergradient import HypergradientSGD
from gsos.space import DEFAULTS

A = np.diag([1.0, 10.0])


def loss(theta):
    return float(theta @ A @ theta) / 2


def descend(signs, n_steps=40, **settings):
    settings = {"alpha": 0.02, "gamma": 0.5, "beta": 1e-5, "eta": 1e-4} | settings
    return algorithm_1(loss, lambda theta: A @ theta, [4.0, 1.0], signs=signs, n_steps=n_steps, **settings)


def test_two_steps_by_hand():
    path = algorithm_1(
        lambda x: float(x @ x) / 2, lambda x: x, [1.0], alpha=0.1, gamma=0.5, beta=0.1, eta=0.1,
        signs="as printed", n_steps=3,
    )  # fmt: skip
    # step 1: nothing is behind it. step 2: alpha = .1 + .1 (.9)(1), D = 0, momentum -.5 (.9 - 1).
    theta_2 = 0.9 - 0.19 * 0.9 + 0.05
    # step 3: alpha += .1 theta_2 (.9), gamma += .1 theta_2 (.9 - 1)
    alpha, gamma = 0.19 + 0.09 * theta_2, 0.5 - 0.01 * theta_2
    theta_3 = theta_2 - alpha * theta_2 - gamma * (theta_2 - 0.9)
    assert path.theta_0.tolist() == pytest.approx([1, 0.9, theta_2, theta_3])
    assert path.alpha.tolist() == pytest.approx([0.1, 0.1, 0.19, alpha])
    assert path.gamma.tolist() == pytest.approx([0.5, 0.5, 0.5, gamma])
    assert path.loss.tolist() == pytest.approx(list(path.theta_0**2 / 2))


@pytest.mark.parametrize(("signs", "form"), [("heavy-ball", "heavy-ball"), ("as printed", "as-printed")])
def test_it_is_what_the_optimiser_does(signs, form):
    path = descend(signs)
    theta = torch.tensor([4.0, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = HypergradientSGD([theta], 0.02, 0.5, hyper_lr=1e-5, hyper_momentum_lr=1e-4, form=form)
    for row in path.iloc[1:].itertuples():
        theta.grad = torch.from_numpy(A) @ theta.detach()
        optimizer.step()
        assert theta.tolist() == pytest.approx([row.theta_0, row.theta_1])
        group = optimizer.param_groups[0]
        assert (group["lr"], group["momentum"]) == pytest.approx((row.alpha, row.gamma))


def test_forms_differ_where_the_paper_says_so():
    paths = {signs: descend(signs, eta=1e-3) for signs in SIGNS}
    assert paths["heavy-ball"].loss.iloc[-1] < paths["as printed"].loss.iloc[-1]
    first = {signs: path.gamma.diff().iloc[3] for signs, path in paths.items()}  # on the way down, D is along -g
    assert first["heavy-ball"] > 0 and first["mixed"] < 0  # the mixed form unlearns a momentum that helps


def test_what_the_printed_equations_get_right_and_wrong():
    for seed in range(5):
        found = check_equations(seed=seed)
        assert found["Eq 5"] < 1e-12 and found["Eq 9"] < 1e-12
        assert found["dθ/dγ"] == pytest.approx(2) and found["Eq 9, heavy-ball"] == pytest.approx(2)
        assert found["Eq 4"] > 1e-3 and found["Eq 8"] > 1e-3
        assert found["cosine"] == pytest.approx(-1)


def test_a_learning_curve_is_that_of_its_optimiser():
    digits = load("digits", n_train=100)
    config = DEFAULTS["hgd-cifar10"] | {f"num_filters_{i}": 8 for i in (1, 2, 3)}
    sgd = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    curve, again = (learning_curve(config, digits, sgd, n_epochs=4, seed=3) for _ in range(2))
    assert curve.equals(again)
    assert curve.epoch.tolist() == [0, 1, 2, 3, 4] and curve.images.tolist() == [0, 100, 200, 300, 400]
    assert np.isnan(curve.loss[0]) and curve.loss[1:].between(0, 3).all()
    assert set(curve.lr) == {0.05} and set(curve.momentum) == {0.9}
    still = partial(HypergradientSGD, lr=0.05, momentum=0.9, hyper_lr=0.0, hyper_momentum_lr=0.0)
    assert learning_curve(config, digits, still, n_epochs=4, seed=3).loss[1:].to_numpy() == pytest.approx(
        curve.loss[1:].to_numpy(), rel=1e-3
    )
    learning = partial(HypergradientSGD, lr=0.05, momentum=0.9, hyper_lr=1e-3, hyper_momentum_lr=1e-3)
    assert learning_curve(config, digits, learning, n_epochs=1, seed=3).lr[1] != 0.05
