"""HGD's Algorithm 1 written out, its equations checked through one update, and what its forms do to a CNN."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gsos.cnn import build_cnn
from gsos.datasets import ImageDataset
from gsos.training import Normaliser, epoch_seed, loss_and_accuracy, one_thread, train_epoch

SIGNS = {  # of the momentum in the step (Eq 2), and of eta in the rule for it (Eq 9)
    "heavy-ball": (1, -1),
    "as printed": (-1, 1),
    "mixed": (1, 1),  # the heavy-ball step with the printed Eq 9
}


def algorithm_1(
    loss: Callable[[NDArray], float],
    gradient: Callable[[NDArray], NDArray],
    theta: ArrayLike,
    *,
    alpha: float,
    gamma: float,
    beta: float,
    eta: float,
    signs: str,
    n_steps: int,
) -> pd.DataFrame:
    """Algorithm 1 from a point (d,), with the signs of a key of SIGNS and no bounds.

    Returns one row a step, the first being the start: step, loss, alpha, gamma, and the point as theta_0, theta_1, ...
    """
    of_step, of_rule = SIGNS[signs]
    thetas = [np.array(theta, dtype=float)] * 3  # theta_{t-3}, theta_{t-2}, theta_{t-1}
    last = np.zeros_like(thetas[0])  # grad f(theta_{t-2}): there is none before the first step
    rows = [(loss(thetas[-1]), alpha, gamma, *thetas[-1])]
    for _ in range(n_steps):
        g = gradient(thetas[-1])
        alpha += beta * g @ last
        gamma += of_rule * eta * g @ (thetas[-2] - thetas[-3])
        thetas = [*thetas[1:], thetas[-1] - alpha * g + of_step * gamma * (thetas[-1] - thetas[-2])]
        last = g
        rows.append((loss(thetas[-1]), alpha, gamma, *thetas[-1]))
    names = ["loss", "alpha", "gamma", *(f"theta_{i}" for i in range(len(thetas[-1])))]
    return pd.DataFrame(rows, columns=names).rename_axis("step").reset_index()


def check_equations(*, seed: int = 0, d: int = 20) -> dict[str, float]:
    """How far the printed equations are from what Eq 2 implies, at a random point of a smooth function of d numbers.

    The truth is autograd's, through the one update that made theta_{t-1}. Relative deviations: of Eq 4 from Eq 2 one
    step earlier, of Eq 5 from d f/d alpha, of what is said before Eq 8 from "dθ/dγ", of Eq 8 from d f/d gamma,
    of Eq 9's change from -eta d f/d gamma; and of Eq 9's change where the step is heavy-ball. And "cosine", of Eq 2's
    momentum with the step before it.
    """
    generator = torch.Generator().manual_seed(seed)
    theta_3, theta_2, b = torch.randn(3, d, dtype=torch.float64, generator=generator).unbind()
    A = torch.randn(d, d, dtype=torch.float64, generator=generator)
    alpha, gamma = torch.tensor([0.05, 0.8], dtype=torch.float64, requires_grad=True).unbind()

    def f(theta: Tensor) -> Tensor:
        return torch.log1p((A @ theta - b) ** 2).sum()

    def grad(theta: Tensor) -> Tensor:
        return torch.autograd.functional.jacobian(f, theta)

    D, g_2 = theta_2 - theta_3, grad(theta_2)
    found = {}
    for sign in (-1, 1):  # as Eq 2 is printed, and heavy-ball
        theta_1 = theta_2 - alpha * g_2 + sign * gamma * D
        by_alpha, by_gamma = torch.autograd.grad(f(theta_1), (alpha, gamma), retain_graph=True)
        g_1 = grad(theta_1.detach())
        eq_9 = -(g_1 @ D)  # its change in units of -eta
        found |= {"Eq 5": _deviation(-(g_1 @ g_2), by_alpha)} if sign == -1 else {}
        found |= {"Eq 9" if sign == -1 else "Eq 9, heavy-ball": _deviation(eq_9, by_gamma)}
        if sign == -1:
            by_gamma_theta = torch.autograd.functional.jacobian(lambda c: theta_2 - alpha * g_2 - c * D, gamma)
            printed = theta_2 - alpha * g_1 - gamma * D
            found |= {
                "Eq 4": _deviation(printed - theta_2, theta_1 - theta_2),
                "dθ/dγ": _deviation(D, by_gamma_theta),
                "Eq 8": _deviation(g_1 @ (-theta_2 - theta_3), by_gamma),
                "cosine": float(torch.cosine_similarity(-gamma.detach() * D, D, dim=0)),
            }
    return found


def _deviation(printed: Tensor, true: Tensor) -> float:
    return float((printed - true).detach().norm() / true.detach().norm())


def learning_curve(
    config: Mapping[str, object],
    dataset: ImageDataset,
    make: Callable[[Iterator[Tensor]], torch.optim.Optimizer],
    *,
    n_epochs: int,
    seed: int = 0,
) -> pd.DataFrame:
    """What an optimiser does to a CNN (`space.DEFAULTS`): one row an epoch, with images (trained on so far), loss (mean
    cross-entropy of the epoch's batches, nats), validation_accuracy, and lr and momentum at the epoch's end. Row 0 is
    the untrained network, without a loss.

    make: gives the optimiser of parameters. The seed decides initial weights and the order of images.
    """
    images = Normaliser(dataset, torch.device("cpu"))
    n_batches = -(-len(dataset.y_train) // config["batch_size"])
    with one_thread(), torch.random.fork_rng([]):
        torch.manual_seed(epoch_seed(seed, 0))
        model = build_cnn(config, dataset.image_shape, dataset.n_classes).to(memory_format=torch.channels_last)
        optimizer, loss, rows = make(model.parameters()), np.nan, []
        for epoch in range(n_epochs + 1):
            if epoch:
                torch.manual_seed(epoch_seed(seed, epoch))
                loss = train_epoch(model, optimizer, images, dataset.x_train, dataset.y_train, config["batch_size"])
            accuracy = loss_and_accuracy(model, images, dataset.x_valid, dataset.y_valid)[1]
            rates = [optimizer.param_groups[0][name] for name in ("lr", "momentum")]
            rows.append((epoch, epoch * len(dataset.y_train), loss / n_batches, accuracy, *rates))
    return pd.DataFrame(rows, columns=["epoch", "images", "loss", "validation_accuracy", "lr", "momentum"])
