"""Models trained a second: the textbook loop, `training.train`, and two worker processes of it, in one run.

    python benchmarks/trainer.py [--models 12] [--images 1000] [--sizes 8 16 28 32]

The same random configurations of HIA's space everywhere. The textbook loop is what a tutorial shows: a `DataLoader`
over images transformed one by one (PIL, ToTensor, Normalize), ReLU before pooling, default memory format, default
optimizer; with one thread, as the others have, and with PyTorch's own choice of threads. Times are wall seconds
without start-up; ratios are what to read.
The share of peak is the arithmetic of forward and backward (6 flops a multiply-add) over a core's matrix product.
"""

import argparse
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from gsos.cnn import build_cnn
from gsos.datasets import ImageDataset, load
from gsos.evaluation import Task, as_arrays, load_worker, train_task
from gsos.space import SPACES, sample
from gsos.training import train
from gsos.vision import torchvision

SOURCES = {
    8: ("digits", 1),
    16: ("fashion_mnist_sample", 1),
    28: ("fashion_mnist_sample", 1),
    32: ("fashion_mnist_sample", 3),
}


class PILImages(Dataset):
    """Images transformed one by one, as torchvision's own datasets do."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, dataset: ImageDataset):
        self.images = [torchvision.transforms.functional.to_pil_image(image) for image in x]
        self.labels = y.tolist()
        self.transform = torchvision.transforms.Compose(
            [
                torchvision.transforms.ToTensor(),
                torchvision.transforms.Normalize(dataset.mean.tolist(), dataset.std.tolist()),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int):
        return self.transform(self.images[i]), self.labels[i]


def enlarged(dataset: ImageDataset, size: int) -> ImageDataset:
    """With images padded with black to size x size pixels."""
    pad = size - dataset.image_shape[1]
    parts = {
        name: nn.functional.pad(getattr(dataset, name), (0, pad, 0, pad)) for name in ("x_train", "x_valid", "x_test")
    }
    return dataset._replace(**parts)


def textbook_cnn(config: dict, dataset: ImageDataset) -> nn.Sequential:
    """The same network with ReLU where textbooks have it: before the pooling."""
    modules = list(build_cnn(config, dataset.image_shape, dataset.n_classes))
    for i in range(len(modules) - 1):
        if isinstance(modules[i], nn.MaxPool2d) and isinstance(modules[i + 1], nn.ReLU):
            modules[i], modules[i + 1] = modules[i + 1], modules[i]
    return nn.Sequential(*modules)


def textbook(config: dict, dataset: ImageDataset, parts: list[PILImages], seed: int) -> float:
    torch.manual_seed(seed)
    model = textbook_cnn(config, dataset)
    kind = torch.optim.Adam if config["optimizer"] == "Adam" else torch.optim.SGD
    optimizer = kind(model.parameters(), lr=config["lr"])
    criterion = nn.CrossEntropyLoss()
    train_part, *others = parts
    for _ in range(config["epoch"]):
        model.train()
        running = 0.0
        for images, labels in DataLoader(train_part, config["batch_size"], shuffle=True):
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
    model.eval()
    with torch.no_grad():
        for part in others:
            correct = sum((model(x).argmax(1) == y).sum().item() for x, y in DataLoader(part, 256))
    return correct / len(others[-1])


def seconds(function, items) -> float:
    start = time.perf_counter()
    for item in items:
        function(item)
    return time.perf_counter() - start


def peak_flops() -> float:
    """Flops a second of one thread's float32 matrix product, the best of a few."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    a, b = torch.randn(2, 1024, 1024)
    best = min(seconds(lambda _: a @ b, [0]) for _ in range(20))
    torch.set_num_threads(threads)
    return 2 * 1024**3 / best


def two_workers(configs: list[dict], dataset: ImageDataset) -> float:
    from gsos.workers import open_pools, run

    tasks = [Task({}, config, i) for i, config in enumerate(configs)]
    with open_pools(2, load_worker, (as_arrays(dataset), "cpu")) as pools:
        for pool in pools.pools:  # warm up: first use of an operator loads and compiles it
            pool.apply(train_task, (tasks[0],))
        queue = iter(sorted(tasks, key=lambda task: -task.config["epoch"]))
        return seconds(lambda _: None, run(train_task, lambda: next(queue, None), pools))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SOURCES))
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    configs = [sample(SPACES["hia"], rng) for _ in range(args.models)]
    numbers, threads = range(len(configs)), torch.get_num_threads()
    peak = peak_flops()
    print(
        f"{args.models} configurations, {args.images} training images; "
        f"a core's matrix product makes {peak / 1e9:.0f} GFLOP/s"
    )
    print("                      models a second                   ratio to the textbook loop")
    print("images    textbook  (all threads)  train  2 workers   train  2 workers  (all threads)  share of peak")
    for size in args.sizes:
        name, channels = SOURCES[size]
        dataset = enlarged(load(name, n_train=args.images, size=size, channels=channels), size)
        parts = [PILImages(*pair, dataset) for pair in zip(dataset[1:7:2], dataset[2:7:2], strict=True)]
        textbook(configs[0], dataset, parts, 0)
        train(configs[0], dataset, seed=0, device="cpu")
        times = [seconds(lambda i: textbook(configs[i], dataset, parts, i), numbers)]  # noqa: B023
        torch.set_num_threads(1)
        times.insert(0, seconds(lambda i: textbook(configs[i], dataset, parts, i), numbers))  # noqa: B023
        results = []
        times.append(seconds(lambda i: results.append(train(configs[i], dataset, seed=i, device="cpu")), numbers))  # noqa: B023
        torch.set_num_threads(threads)
        times.append(two_workers(configs, dataset))
        flops = sum(6 * r.multiply_adds * r.epochs_trained * len(dataset.y_train) for r in results)
        share = flops / sum(r.train_seconds for r in results) / peak
        shape = "x".join(map(str, (*dataset.image_shape[1:], channels)))
        one_thread, all_threads, one, two = times
        print(
            f"{shape:<9}"
            + "{:9.2f}{:15.2f}{:7.2f}{:11.2f}".format(*(len(configs) / t for t in times))
            + f"{one_thread / one:8.1f}{one_thread / two:11.1f}{all_threads / two:15.1f}{share:15.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
