"""Gradient descent that learns its learning rate and its momentum while it trains (HGD 4, Eq 2-9, Algorithm 1)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import inf, isfinite
from numbers import Real

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

FORMS = {"heavy-ball": 1, "as-printed": -1}  # the sign s of the momentum
_CACHE = 2**19  # elements of each list that a CPU works on at a time; three lists of float32 are 6 MB


class HypergradientSGD(Optimizer):
    """SGD whose learning rate alpha and momentum gamma descend along the gradients that the loss f has in them.

    With g = grad f(theta_{t-1}), g' = grad f(theta_{t-2}) and D = theta_{t-2} - theta_{t-3}, step t is

        alpha_t = alpha_{t-1} + beta g.g'                                           Eq 6: df/d alpha = -g.g'
        gamma_t = gamma_{t-1} - s eta g.D                                           Eq 9: df/d gamma = s g.D
        theta_t = theta_{t-1} - alpha_t g + s gamma_t (theta_{t-1} - theta_{t-2})   Eq 2

    form: "heavy-ball", s = 1; or "as-printed", s = -1, where momentum opposes the step before. The paper has s = -1 in
    Eq 2 and 9, and a sign wrong in Eq 8.
    lr, momentum: alpha_0 and gamma_0; both can be learnt from 0. hyper_lr, hyper_momentum_lr: beta and eta. D is of the
    size of alpha g', so eta = beta / alpha moves both alike. With beta = eta = 0 this is SGD with momentum, with
    gamma = eta = 0 it is SGD-HD (Baydin et al. 2018).
    lr_bounds, momentum_bounds: (low, high), to which alpha and gamma are clipped. The paper has none.

    A parameter group may have settings of its own, and learns an alpha and a gamma of its own, with one dot product
    each over all its parameters, and one synchronisation with the device a step. They are floats, group["lr"] and
    group["momentum"]; what a scheduler sets there is alpha_{t-1}. Where beta g.g' or eta g.D is not finite, alpha or
    gamma stays what it is and group["nonfinite"] counts one more. A parameter that has no gradient in a step does not
    move, and goes on later from its own last step.

    Memory: g' and D of every parameter. Algorithm 1 keeps one tensor more, but theta_{t-1} - theta_{t-2} follows from
    these two, by Eq 2.

    Raises ValueError for settings that cannot be, and in `step` for sparse or complex gradients, before any change.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        momentum: float = 0.0,
        *,
        hyper_lr: float,
        hyper_momentum_lr: float,
        form: str = "heavy-ball",
        lr_bounds: tuple[float, float] = (0.0, inf),
        momentum_bounds: tuple[float, float] = (0.0, 1.0),
    ):
        settings = {"lr": lr, "momentum": momentum, "hyper_lr": hyper_lr, "hyper_momentum_lr": hyper_momentum_lr}
        settings |= {"form": form, "lr_bounds": lr_bounds, "momentum_bounds": momentum_bounds, "nonfinite": 0}
        super().__init__(params, _checked(settings))

    def add_param_group(self, param_group: dict) -> None:
        super().add_param_group(_checked({**self.defaults, **param_group}))

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One step. closure: computes the gradients anew and returns the loss, which is then returned here."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, params in [(group, _with_gradient(group["params"])) for group in self.param_groups]:
            if params:
                self._step(group, params)
        return loss

    def _step(self, group: dict, params: list[Tensor]) -> None:
        """What the last step tells, then alpha and gamma, then theta."""
        sign, batches, dots = FORMS[group["form"]], [], []
        rows = [(p, self._memory(p)) for p in params]
        for (lr, momentum), alike in groupby(rows, lambda row: (row[1]["lr"], row[1]["momentum"])):
            for batch in _batches((p, p.grad, memory["gradient"], memory["displacement"]) for p, memory in alike):
                _, grads, last_grads, displacements = batch
                for tensors in zip(grads, last_grads, displacements, strict=True):
                    dots += _dots(*tensors)
                torch._foreach_mul_(displacements, sign * momentum)  # to theta_{t-1} - theta_{t-2}, by Eq 2
                torch._foreach_add_(displacements, last_grads, alpha=-lr)
                torch._foreach_copy_(last_grads, grads)
                batches.append(batch)
        products = torch.stack([dot.to(dots[0].device) for dot in dots]).view(-1, 2)
        grad_dot_grad, grad_dot_displacement = products.sum(0).tolist()
        lr = _learn(group, "lr", group["hyper_lr"] * -grad_dot_grad)  # Eq 6
        momentum = _learn(group, "momentum", group["hyper_momentum_lr"] * sign * grad_dot_displacement)  # Eq 9
        for thetas, grads, _, displacements in batches:
            torch._foreach_add_(thetas, displacements, alpha=sign * momentum)
            torch._foreach_add_(thetas, grads, alpha=-lr)
        for _, memory in rows:
            memory.update(lr=lr, momentum=momentum)

    def _memory(self, p: Tensor) -> dict:
        """g' and D of a parameter, and the alpha and gamma of its last step; all 0 before its first."""
        memory = self.state[p]
        if not memory:
            memory.update(gradient=torch.zeros_like(p), displacement=torch.zeros_like(p), lr=0.0, momentum=0.0)
        return memory


def _learn(group: dict, name: str, change: float) -> float:
    """The hyperparameter less `change`, where that is finite, clipped to its bounds."""
    value = group[name] - change
    if not isfinite(value):
        value = group[name]
        group["nonfinite"] += 1
    low, high = group[f"{name}_bounds"]
    group[name] = float(min(max(value, low), high))
    return group[name]


def _dots(grad: Tensor, *others: Tensor) -> Iterator[Tensor]:
    """Dot products of a gradient with tensors of its shape, accumulated in float32 at least."""
    tensors = (grad, *others)
    if not grad.is_contiguous():  # flat without a copy, if its dimensions stand in the order of its memory
        order = sorted(range(grad.ndim), key=grad.stride, reverse=True)
        tensors = [t.permute(order) for t in tensors]
    if grad.dtype.itemsize < 4:
        tensors = [t.float() for t in tensors]
    grad, *others = (t.reshape(-1) for t in tensors)
    return (torch.dot(grad, other) for other in others)


def _batches(rows: Iterable[tuple[Tensor, ...]]) -> Iterator[tuple[tuple[Tensor, ...], ...]]:
    """Rows of tensors of one shape, as columns for foreach kernels: on a GPU all rows, on a CPU what its cache holds.

    A kernel goes over its columns from end to end; on a CPU the next one then finds them in the cache. What is too
    large is split along its first dimension.
    """
    batch, held = [], 0
    for row in rows:
        n = row[0].numel() // _CACHE if row[0].is_cpu else 1
        for piece in zip(*(tensor.tensor_split(n) for tensor in row), strict=True) if n > 1 else [row]:
            batch.append(piece)
            held += piece[0].numel()
            if held >= _CACHE and row[0].is_cpu:
                yield tuple(zip(*batch, strict=True))
                batch, held = [], 0
    if batch:
        yield tuple(zip(*batch, strict=True))


def _with_gradient(params: Sequence[Tensor]) -> list[Tensor]:
    """The parameters that have a gradient."""
    params = [p for p in params if p.grad is not None]
    for p in params:
        if p.grad.layout != torch.strided or p.grad.is_complex():
            raise ValueError(
                "gradients must be dense and real; a parameter of shape "
                f"{tuple(p.shape)} has one of {p.grad.dtype} and {p.grad.layout}"
            )
    return params


def _checked(settings: Mapping[str, object]) -> dict:
    """The settings of a group, numbers as floats. Raises ValueError for one that cannot be."""
    settings = dict(settings)
    if settings["form"] not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, not {settings['form']!r}")
    for name in ("lr", "momentum"):
        bounds = settings[f"{name}_bounds"]
        numbers = isinstance(bounds, Sequence) and all(isinstance(bound, Real) for bound in bounds)
        if not (numbers and len(bounds) == 2 and bounds[0] <= bounds[1]):
            raise ValueError(f"{name}_bounds must be a low and a high number, in this order, not {bounds!r}")
        settings[f"{name}_bounds"] = tuple(float(bound) for bound in bounds)
    for name in ("lr", "momentum", "hyper_lr", "hyper_momentum_lr"):
        value, (low, high) = settings[name], settings.get(f"{name}_bounds", (0.0, inf))
        if not (isinstance(value, Real) and isfinite(value) and low <= value <= high):
            raise ValueError(f"{name} must be a finite number in [{low}, {high}], not {value!r}")
        settings[name] = float(value)
    return settings
