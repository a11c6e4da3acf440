"""Milliseconds of a training step with HypergradientSGD, beside torch.optim.SGD with momentum; in one run, interleaved.

    python benchmarks/hypergradient_step.py [--repeats 20] [--threads 1] [--device auto]

Of HGD's first CNN, in full and with its widths divided by 8, forward, backward and step on 32 random images; of
20 million parameters the step alone. Ratios of the least times are what to read. Half a minute.
"""

import argparse
import time

import pandas as pd
import torch
from torch import nn

from gsos.cnn import build_cnn
from gsos.hypergradient import HypergradientSGD
from gsos.space import DEFAULTS
from gsos.training import device_name, torch_device

PEERS = {
    "SGD": lambda params: torch.optim.SGD(params, lr=1e-3, momentum=0.9, foreach=True),
    "HypergradientSGD": lambda params: HypergradientSGD(params, 1e-3, 0.9, hyper_lr=1e-8, hyper_momentum_lr=1e-6),
}
WIDTHS = ("num_filters_1", "num_filters_2", "num_filters_3", "num_fc_units_1", "num_fc_units_2")


def training(divisor: int):
    """A step of the CNN, all of its widths divided by `divisor`."""

    def make(peer: str, device: torch.device):
        config = DEFAULTS["hgd-cifar10"]
        config = config | {name: config[name] // divisor for name in WIDTHS}
        torch.manual_seed(0)
        model = build_cnn(config, (3, 32, 32), 10).to(device, memory_format=torch.channels_last)
        x = torch.randn(32, 3, 32, 32, device=device).to(memory_format=torch.channels_last)
        y = torch.randint(10, (32,), device=device)
        optimizer = PEERS[peer](model.parameters())

        def step() -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

        return optimizer, step

    return make


def bare(n: int, *shape: int):
    """The step of n tensors whose gradients are there."""

    def make(peer: str, device: torch.device):
        torch.manual_seed(0)
        params = [nn.Parameter(torch.randn(shape, device=device)) for _ in range(n)]
        for p in params:
            p.grad = 1e-3 * torch.randn_like(p)
        optimizer = PEERS[peer](params)
        return optimizer, optimizer.step

    return make


# what is done -> (how, the largest ratio that is aimed at)
CASES = {
    "train the CNN": (training(1), 1.2),
    "train the CNN, widths / 8": (training(8), 1.2),
    "step of 4 x 5,000,000": (bare(4, 5000, 1000), 2.2),
    "step of 100 x 200,000": (bare(100, 500, 400), 2.2),
    "step of 1,000 x 20,000": (bare(1000, 200, 100), None),
}


def milliseconds(step, device: torch.device) -> float:
    """Of one step, the mean of those that start within a twentieth of a second."""
    step()  # the first creates the state, the others bring theirs back to the cache
    synchronise(device)
    n, start = 0, time.perf_counter()
    while time.perf_counter() < start + 0.05:
        step()
        n += 1
    synchronise(device)
    return 1000 * (time.perf_counter() - start) / n


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def state_bytes(optimizer: torch.optim.Optimizer) -> float:
    """Bytes of an optimiser's tensors for a byte of its parameters."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    tensors = [value for p in params for value in optimizer.state[p].values() if torch.is_tensor(value)]
    return sum(t.untyped_storage().nbytes() for t in tensors) / sum(p.nbytes for p in params)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = torch_device(args.device)
    torch.set_num_threads(args.threads)
    rows = []
    for name, (make, target) in CASES.items():
        peers = {peer: make(peer, device) for peer in PEERS}
        times = pd.DataFrame(
            [{peer: milliseconds(step, device) for peer, (_, step) in peers.items()} for _ in range(args.repeats)]
        )
        least, median = times.min(), times.median()
        ratio = least["HypergradientSGD"] / least["SGD"]
        met = "" if target is None else "met" if ratio <= target else "missed"
        rows.append((name, *least, ratio, median["HypergradientSGD"] / median["SGD"], target, met))
        memory = {peer: state_bytes(optimizer) for peer, (optimizer, _) in peers.items()}
    print(f"milliseconds on {device_name(device)}, threads: {args.threads}; the least of {args.repeats}, and ratios")
    columns = ["", *PEERS, "ratio", "ratio of medians", "target", "by the least"]
    print(pd.DataFrame(rows, columns=columns).to_string(index=False, float_format="{:.3g}".format, na_rep=""))
    print("bytes of state for a byte of parameters:", ", ".join(f"{peer} {value:g}" for peer, value in memory.items()))


if __name__ == "__main__":
    main()
