"""Train one configuration: the reference for every record of the project."""

import errno
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gsos.cnn import build_cnn, is_clipped, multiply_adds
from gsos.datasets import ImageDataset
from gsos.hypergradient import HypergradientSGD
from gsos.space import DEFAULTS, RATE_BOUNDS

_EVALUATION_BATCH = 256  # fits a core's cache; fixed, since it decides the last bits of a loss


class Record(NamedTuple):
    """What came of one training; units in `records.COLUMNS`."""

    state: str
    validation_accuracy: float
    test_accuracy: float
    validation_loss: float
    epochs_trained: int
    train_seconds: float
    multiply_adds: int
    n_parameters: int
    clipped: bool
    device: str


class Weights(NamedTuple):
    """A model's state at the end of an epoch, enough to go on as if it had never stopped."""

    epoch: int
    diverged: bool
    model: dict[str, Tensor]
    optimizer: dict


def train(
    config: Mapping[str, object],
    dataset: ImageDataset,
    *,
    seed: int,
    device: str = "auto",
    resume: str | Path | None = None,
    save: str | Path | None = None,
) -> Record:
    """Train the CNN of `config` for config["epoch"] epochs on the training part, and judge it on the other two.

    seed decides initial weights, order of images and dropout; epoch e draws from SeedSequence([seed, e]), so training
    to epoch 3 and on to 9 equals training to 9, bit for bit. On a CPU it takes one thread.
    device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1".
    save: a file for the weights at the end; resume: such a file, from which training goes on where it exists.

    state is "complete", or "diverged" when a loss was not finite: the rest is then of the last epoch that ended with
    finite losses and weights.
    train_seconds are of this call's epochs, without evaluation: CPU seconds of the process, or device seconds.
    """
    _check(config)
    device = torch_device(device)
    with one_thread(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(epoch_seed(seed, 0))
        model = build_cnn(config, dataset.image_shape, dataset.n_classes)
        model = model.to(device, memory_format=torch.channels_last)
        optimizer = make_optimizer(config, model)
        images = Normaliser(dataset, device)
        start, diverged = _resume(resume, model, optimizer)
        x, y = dataset.x_train.to(device), dataset.y_train.to(device)
        clock, epoch, good = Clock(device), start, _copy(model)
        while epoch < config["epoch"] and not diverged:
            good = _copy(model)
            torch.manual_seed(epoch_seed(seed, epoch + 1))
            with clock:
                loss = train_epoch(model, optimizer, images, x, y, config["batch_size"])
            diverged = not (np.isfinite(loss) and all(p.isfinite().all() for p in model.parameters()))
            epoch += 1
        if diverged:
            model.load_state_dict(good)
        result = evaluate(model, images, dataset)
        if save is not None:
            _save(Weights(epoch, diverged, model.state_dict(), optimizer.state_dict()), Path(save))
    validation_loss, validation_accuracy, test_accuracy = result
    return Record(
        state="complete" if np.isfinite(validation_loss) and not diverged else "diverged",
        validation_accuracy=validation_accuracy,
        test_accuracy=test_accuracy,
        validation_loss=validation_loss,
        epochs_trained=epoch - start,
        train_seconds=clock.seconds(),
        multiply_adds=multiply_adds(config, dataset.image_shape, dataset.n_classes),
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        clipped=is_clipped(config, dataset.image_shape),
        device=device_name(device),
    )


def train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: "Normaliser", x: Tensor, y: Tensor, batch_size: int
) -> float:
    """One pass over x uint8 (N, C, H, W) and y int64 (N,) in an order drawn from the global generator.

    Returns the sum of the batches' mean cross-entropies; not finite once training has diverged.
    """
    model.train()
    order = torch.randperm(len(y)).to(x.device)
    total = torch.zeros((), device=x.device)
    for xs, ys in zip(x[order].split(batch_size), y[order].split(batch_size), strict=True):
        loss = nn.functional.cross_entropy(model(images(xs)), ys)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach()
    return total.item()


def evaluate(model: nn.Module, images: "Normaliser", dataset: ImageDataset) -> tuple[float, float, float]:
    """(validation loss in nats an image, validation accuracy, test accuracy)."""
    loss, accuracy = loss_and_accuracy(model, images, dataset.x_valid, dataset.y_valid)
    return loss, accuracy, loss_and_accuracy(model, images, dataset.x_test, dataset.y_test)[1]


@torch.inference_mode()
def loss_and_accuracy(model: nn.Module, images: "Normaliser", x: Tensor, y: Tensor) -> tuple[float, float]:
    """(loss in nats an image, accuracy) on x uint8 (N, C, H, W) and y int64 (N,)."""
    model.eval()
    loss = correct = 0.0
    for xs, ys in zip(x.split(_EVALUATION_BATCH), y.split(_EVALUATION_BATCH), strict=True):
        ys = ys.to(images.device)
        logits = model(images(xs.to(images.device)))
        loss += nn.functional.cross_entropy(logits, ys, reduction="sum").double()
        correct += (logits.argmax(1) == ys).sum()
    return loss.item() / len(y), correct.item() / len(y)


def make_optimizer(config: Mapping[str, object], model: nn.Module) -> torch.optim.Optimizer:
    """Adam; SGD, plain (HIA, GSOS) unless the configuration has a momentum; "hgd", which learns its lr and momentum.

    "hgd" is `HypergradientSGD`: it starts from the configuration's lr and momentum, takes its hyper_lr and
    hyper_momentum_lr, and keeps lr and momentum within `space.RATE_BOUNDS`.
    """
    match str(config["optimizer"]).lower():
        case "adam":
            return torch.optim.Adam(model.parameters(), lr=config["lr"], fused=True)
        case "sgd":
            return torch.optim.SGD(
                model.parameters(), lr=config["lr"], momentum=config.get("momentum", 0.0), fused=True
            )
        case "hgd":
            return HypergradientSGD(
                model.parameters(),
                **{name: config[name] for name in ("lr", "momentum", "hyper_lr", "hyper_momentum_lr")},
                lr_bounds=RATE_BOUNDS["lr"],
                momentum_bounds=RATE_BOUNDS["momentum"],
            )
    raise ValueError(f"optimizer must be Adam, SGD or hgd, not {config['optimizer']!r}")


class Normaliser:
    """uint8 images to float32, each channel with mean 0 and standard deviation 1 over the training images."""

    def __init__(self, dataset: ImageDataset, device: torch.device):
        self.device = device
        self.scale = (1 / (255 * dataset.std)).view(1, -1, 1, 1).to(device)
        self.shift = (-dataset.mean / dataset.std).view(1, -1, 1, 1).to(device)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x.to(torch.float32, memory_format=torch.channels_last), self.scale)


class Clock:
    """Adds up the seconds spent inside `with clock`: CPU seconds of the process, or device seconds on CUDA."""

    def __init__(self, device: torch.device):
        self._device, self._cuda = device, device.type == "cuda"
        self._spans: list[tuple] = []

    def _now(self):
        if not self._cuda:
            return time.process_time()
        event = torch.cuda.Event(enable_timing=True)
        torch.cuda.current_stream(self._device).record_event(event)
        return event

    def __enter__(self) -> None:
        self._start = self._now()

    def __exit__(self, *_) -> None:
        self._spans.append((self._start, self._now()))

    def seconds(self) -> float:
        if not self._cuda:
            return sum(end - start for start, end in self._spans)
        torch.cuda.synchronize(self._device)
        return sum(start.elapsed_time(end) for start, end in self._spans) / 1000


def torch_device(device: str) -> torch.device:
    """The device of this name; "auto" is CUDA where there is one. Raises ValueError for one that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, not {device!r}") from error
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, not {device!r}")
    if chosen.type == "cuda" and not (chosen.index or 0) < torch.cuda.device_count():
        raise ValueError(f"device {device!r} is not there: PyTorch sees {torch.cuda.device_count()} CUDA devices")
    return chosen


def device_name(device: torch.device) -> str:
    """What a reader of a record should know of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


_KNOWN = {name for defaults in DEFAULTS.values() for name in defaults} | {"hyper_lr", "hyper_momentum_lr"}
_NEEDED = {
    name for name in set.intersection(*map(set, DEFAULTS.values())) if not name.startswith("num_filters_")
}  # filters depend on the layers; `cnn` asks for them


def _check(config: Mapping[str, object]) -> None:
    if unknown := [name for name in config if name not in _KNOWN]:
        raise ValueError(f"unknown hyperparameter {unknown[0]!r}; the CNN knows {', '.join(sorted(_KNOWN))}")
    if missing := sorted(_NEEDED - set(config)):
        raise ValueError(f"the configuration lacks {', '.join(missing)}; `space.DEFAULTS` has complete ones")
    rates = ("momentum", "hyper_lr", "hyper_momentum_lr")
    if str(config["optimizer"]).lower() == "hgd" and (missing := [name for name in rates if name not in config]):
        raise ValueError(f"optimizer hgd needs {', '.join(missing)} in the configuration")
    for name in ("epoch", "batch_size", "num_conv_layers", "kernel", "stride"):
        if not (isinstance(config[name], Integral) and config[name] >= 1):
            raise ValueError(f"{name} must be a positive integer, not {config[name]!r}")


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of an epoch of a training, its initial weights being of epoch 0."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch with one thread, as every training of the project has: fast side by side, and the same everywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _resume(path: str | Path | None, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, bool]:
    """(epochs done, diverged) of saved weights, loaded into model and optimizer; (0, False) where there are none."""
    if path is None or not Path(path).is_file():
        return 0, False
    weights = Weights(*torch.load(path, weights_only=True))
    model.load_state_dict(weights.model)
    optimizer.load_state_dict(weights.optimizer)
    return weights.epoch, weights.diverged


def _save(weights: Weights, path: Path) -> None:
    """Written beside and moved, so that a file that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            torch.save(tuple(weights), file)
        except (OSError, RuntimeError):  # torch reports a full disk as either
            os.unlink(file.name)
            raise OSError(errno.ENOSPC, "the weights could not be saved; make room", str(path)) from None
    os.replace(file.name, path)
