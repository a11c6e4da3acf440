"""The papers' CNN as a Ray Tune trainable: a step is an epoch; a learnt lr and momentum go with the weights."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from ray import tune

from gsos.cnn import build_cnn, multiply_adds
from gsos.evaluation import from_arrays
from gsos.training import Clock, Normaliser, epoch_seed, loss_and_accuracy, make_optimizer, torch_device, train_epoch

NETWORK = ("num_filters_1", "num_filters_2", "num_filters_3", "num_fc_units_1", "num_fc_units_2", "batch_size")
_CHECKPOINT = "model.pt"


class CNN(tune.Trainable):
    """The network of a configuration, trained an epoch a step (HGD 5); for `tune.with_parameters`.

    A step reports validation_accuracy; what the model is (NETWORK, multiply_adds of an image); epoch, of its weights;
    copied_from, the trial that it has them from, if it took them over just before, else ""; and of the epoch
    train_seconds (without evaluation), images (trained on), loss (mean cross-entropy of its batches, nats), lr and
    momentum (at its end) and state: "complete", "diverged" where a loss or a weight is not finite, or "failed" where
    PyTorch could not train (error says why): accuracy is then 0.
    """

    def setup(self, config: dict, arrays: tuple, fixed: Mapping[str, object], seed: int, device: str, reset: bool):
        """arrays: the images (`evaluation.as_arrays`); fixed: what the configurations leave open (`training.train`).

        reset: whether a model that takes over another's weights starts again from the lr and momentum of fixed.
        """
        torch.set_num_threads(1)
        dataset, self._device = from_arrays(arrays), torch_device(device)
        self._shape, self._n_classes = dataset.image_shape, dataset.n_classes
        self._images = Normaliser(dataset, self._device)
        self._x, self._y = dataset.x_train.to(self._device), dataset.y_train.to(self._device)
        self._valid = dataset.x_valid, dataset.y_valid
        self._fixed, self._base_seed, self._reset = fixed, seed, reset
        self.reset_config(config)

    def reset_config(self, new_config: dict) -> bool:
        """A new network, of another configuration."""
        config = {**self._fixed, **new_config}
        if "log2_batch_size" in config:
            config["batch_size"] = 2 ** round(config["log2_batch_size"])
        # A network's seed is its own: the same in every variant, whichever process trains it and when.
        network = [self._base_seed, *(config[name] for name in NETWORK)]
        self._seed = int(np.random.SeedSequence(network).generate_state(1)[0])
        torch.manual_seed(epoch_seed(self._seed, 0))
        model = build_cnn(config, self._shape, self._n_classes)
        self._model = model.to(self._device, memory_format=torch.channels_last)
        self._optimizer = make_optimizer(config, self._model)
        self._config, self._epoch, self._copied_from = config, 0, ""
        return True

    def step(self) -> dict:
        self._epoch += 1
        torch.manual_seed(epoch_seed(self._seed, self._epoch))
        clock, accuracy, loss, failure = Clock(self._device), 0.0, np.nan, ""
        try:
            with clock:
                loss = train_epoch(
                    self._model, self._optimizer, self._images, self._x, self._y, self._config["batch_size"]
                )
            finite = np.isfinite(loss) and all(p.isfinite().all() for p in self._model.parameters())
            state = "complete" if finite else "diverged"
            if finite:
                accuracy = loss_and_accuracy(self._model, self._images, *self._valid)[1]
        except (RuntimeError, MemoryError) as error:
            if "CUDA error" in str(error):  # the device is lost to this process
                raise
            state, failure = "failed", f"{type(error).__name__}: {error}"[:500]
        copied_from, self._copied_from = self._copied_from, ""
        rates = {name: self._optimizer.param_groups[0][name] for name in ("lr", "momentum")}
        return rates | {
            "loss": loss / -(-len(self._y) // self._config["batch_size"]),
            "validation_accuracy": accuracy,
            **{name: self._config[name] for name in NETWORK},
            "multiply_adds": multiply_adds(self._config, self._shape, self._n_classes),
            "epoch": self._epoch,
            "copied_from": copied_from,
            "train_seconds": clock.seconds(),
            "images": len(self._y),
            "state": state,
            "error": failure,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The weights and the optimizer's state, with the lr and momentum that it has learnt."""
        state = {"trial": self.trial_id, "seed": self._seed, "epoch": self._epoch, "model": self._model.state_dict()}
        torch.save(state | {"optimizer": self._optimizer.state_dict()}, Path(checkpoint_dir) / _CHECKPOINT)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Goes on from a checkpoint, of this trial or of one that it copies.

        Where lr and momentum are hyperparameters, the configuration's hold, not the checkpoint's.
        """
        state = torch.load(Path(checkpoint_dir) / _CHECKPOINT, weights_only=True)
        self._seed, self._epoch = state["seed"], state["epoch"]
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        copied = state["trial"] != self.trial_id
        if copied:  # it sees the images in an order of its own: otherwise equal configurations would stay equal models
            self._copied_from = state["trial"]
            self._seed = epoch_seed(self._seed, int(self.trial_id.rpartition("_")[2]))
        if self._config["optimizer"] != "hgd" or (copied and self._reset):
            for group in self._optimizer.param_groups:
                group.update(lr=self._config["lr"], momentum=self._config["momentum"])
