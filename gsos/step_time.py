"""What hypergradients cost: seconds of training steps with HypergradientSGD, beside SGD with momentum (HGD 4, 6)."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch

from gsos.cnn import build_cnn
from gsos.hypergradient import HypergradientSGD
from gsos.space import Config
from gsos.training import one_thread

OPTIMIZERS = {
    "SGD": partial(torch.optim.SGD, lr=0.01, momentum=0.9, foreach=True),
    "HGD": partial(HypergradientSGD, lr=0.01, momentum=0.9, hyper_lr=1e-8, hyper_momentum_lr=1e-8),
}


def least_seconds(steps: Mapping[str, Callable[[], object]], n_repeats: int) -> pd.Series:
    """The least wall seconds of each step over so many repeats, taken in turn so that a busy moment meets all alike."""
    seconds = {name: [] for name in steps}
    for _ in range(n_repeats + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return pd.Series({name: min(times[1:]) for name, times in seconds.items()})  # the first makes state


def of_training(config: Config, image_shape: tuple[int, int, int], n_repeats: int, n_classes: int = 10) -> pd.Series:
    """Seconds of forward, backward and update of a configuration's CNN, on one thread; index: OPTIMIZERS."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(config["batch_size"], *image_shape, generator=generator).to(memory_format=torch.channels_last)
    y = torch.randint(n_classes, (len(x),), generator=generator)
    steps = {}
    for name, make in OPTIMIZERS.items():
        model = build_cnn(config, image_shape, n_classes).to(memory_format=torch.channels_last)
        steps[name] = partial(_train, model, make(model.parameters()), x, y)
    with one_thread():
        return least_seconds(steps, n_repeats)


def _train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()


def of_updates(sizes: Sequence[int], n_repeats: int, n_tensors: int = 8) -> pd.DataFrame:
    """Seconds of the update alone of so many parameters (index) in equal tensors on one thread; columns: OPTIMIZERS."""
    rows = {}
    for size in sizes:
        steps = {}
        for name, make in OPTIMIZERS.items():
            params = [torch.nn.Parameter(torch.ones(size // n_tensors)) for _ in range(n_tensors)]
            for param in params:
                param.grad = torch.ones_like(param)
            steps[name] = make(params).step
        with one_thread():
            rows[size] = least_seconds(steps, n_repeats)
    return pd.DataFrame(rows).T.rename_axis("parameters")


def slopes(seconds: pd.DataFrame) -> pd.Series:
    """By which power of the number of parameters (index) the seconds of each column grow: least squares of logs."""
    power, _ = np.polyfit(np.log(seconds.index.to_numpy(float)), np.log(seconds.to_numpy()), 1)
    return pd.Series(power, index=seconds.columns)


def numbers_stored(n_parameters: int = 1000) -> float:
    """Numbers that the optimiser keeps from step to step, a parameter."""
    param = torch.nn.Parameter(torch.ones(n_parameters))
    optimizer = OPTIMIZERS["HGD"]([param])
    for _ in range(3):
        param.grad = torch.ones_like(param)
        optimizer.step()
    stored = [value for state in optimizer.state.values() for value in state.values()]
    return sum(value.numel() for value in stored if isinstance(value, torch.Tensor)) / n_parameters
