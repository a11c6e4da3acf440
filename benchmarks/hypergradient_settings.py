"""Which alpha_0, gamma_0, beta and eta should HGD start from? Networks of HGD T2 on the Fashion-MNIST sample, which no
result rests on.

Prints the mean validation accuracy after each epoch, best settings first, and of each value alone. `schedulers` has the
best mean over the epochs with beta and eta above 0. About seven minutes on two cores.
"""

from itertools import product
from multiprocessing import Pool

import numpy as np
import pandas as pd
import torch

from gsos.cnn import build_cnn
from gsos.datasets import load
from gsos.schedulers import ALPHA_0, BETA, ETA, GAMMA_0
from gsos.space import DEFAULTS, SPACES, divide_widths, sample
from gsos.training import Normaliser, loss_and_accuracy, make_optimizer, train_epoch

ALPHAS, GAMMAS = (0.01, 0.03), (0.7, 0.9)
BETAS, ETAS = (0.0, 1e-5, 1e-4, 1e-3), (0.0, 1e-3, 1e-2)
N_NETWORKS, N_EPOCHS, WIDTH_DIVISOR = 12, 5, 8


def accuracies(setting: tuple[float, float, float, float]) -> list[float]:
    """Mean validation accuracy over networks after each epoch; a diverged network has 0."""
    torch.set_num_threads(1)
    dataset = load("fashion_mnist_sample", n_train=700, valid_fraction=0.3)
    images = Normaliser(dataset, torch.device("cpu"))
    space, defaults = divide_widths(SPACES["hgd-cifar10"], DEFAULTS["hgd-cifar10"], WIDTH_DIVISOR)
    rng = np.random.default_rng(0)
    found = []
    for seed in range(N_NETWORKS):
        rates = dict(zip(("lr", "momentum", "hyper_lr", "hyper_momentum_lr"), setting, strict=True))
        config = defaults | sample(space, rng) | rates | {"optimizer": "hgd"}
        torch.manual_seed(seed)
        model = build_cnn(config, dataset.image_shape, dataset.n_classes).to(memory_format=torch.channels_last)
        optimizer = make_optimizer(config, model)
        curve = []
        for _ in range(N_EPOCHS):
            loss = train_epoch(model, optimizer, images, dataset.x_train, dataset.y_train, config["batch_size"])
            accuracy = loss_and_accuracy(model, images, dataset.x_valid, dataset.y_valid)[1]
            curve.append(accuracy if np.isfinite(loss) else 0.0)
        found.append(curve)
    return np.mean(found, axis=0).tolist()


def main() -> None:
    settings = list(product(ALPHAS, GAMMAS, BETAS, ETAS))
    with Pool() as pool:
        curves = pool.map(accuracies, settings, chunksize=1)
    names = ["alpha_0", "gamma_0", "beta", "eta"]
    epochs = [f"epoch {i + 1}" for i in range(N_EPOCHS)]
    frame = pd.DataFrame(settings, columns=names).join(pd.DataFrame(curves, columns=epochs))
    frame["mean"] = frame[epochs].mean(axis=1)
    print(frame.sort_values("mean", ascending=False).head(20).to_string(index=False, float_format="{:.4g}".format))
    for name in names:
        print(frame.groupby(name)["mean"].agg(["mean", "max"]).T.to_string(float_format="{:.3f}".format))
    chosen = frame[np.isclose(frame[names], [ALPHA_0, GAMMA_0, BETA, ETA]).all(axis=1)]
    print("\nin schedulers:", chosen.to_string(index=False) if len(chosen) else "none of these")


if __name__ == "__main__":
    main()
