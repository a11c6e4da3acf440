"""The six HPO algorithms that HGD compares, on Ray Tune: an experiment, from its settings to its reports."""

import random
import shutil
import time
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import CategoricalDistribution, FloatDistribution
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, HyperBandScheduler, PopulationBasedTraining, TrialScheduler
from ray.tune.schedulers.pb2 import PB2
from ray.tune.search import BasicVariantGenerator
from ray.tune.search.optuna import OptunaSearch

from gsos.space import DEFAULTS, RATE_BOUNDS, SPACES, Config, Space, divide_widths, sample
from gsos.trainable import CNN, NETWORK

# What the paper leaves open (HGD 5). The first two lines are the best of `studies.settings_records`.
ALPHA_0, GAMMA_0, BETA, ETA = 0.03, 0.9, 1e-5, 1e-2  # where a learnt lr and momentum start, their own learning rates
CONSTANTS = {"lr": 0.01, "momentum": 0.9}  # where they are fixed
REDUCTION_FACTOR = 3  # of successive halving; the first rung is at one epoch
BRACKETS = 3  # of AHB; with one it would be ASHA, which is the same class in Ray Tune
POPULATION = 4  # models of PBT and PB2
PERTURBATION_INTERVAL = 2  # epochs
GENERATION = 4  # models of a generation of the genetic algorithm, each trained for a third of max_epochs

CASES = ("hgd-cifar10", "hgd-cifar100")
ALGORITHMS = {"asha": "ASHA", "ahb": "AHB", "genetic": "Genetic", "hyperband": "HyperBand", "pbt": "PBT", "pb2": "PB2"}
POPULATION_BASED = ("pbt", "pb2")
VARIANTS = {
    "sgd": "SGD, lr and momentum searched",
    "hgd": "HGD, lr and momentum learnt",
    "fixed": "SGD, lr and momentum fixed at the best constants",
    "sgd log": "SGD, lr searched log-uniformly (by PB2 at the start only)",
    "hgd reset": "HGD, a copied model starts again where HGD starts",
}

_REPORTS = "reports.parquet"
_REPORTED = ("epoch", "loss", "validation_accuracy", "lr", "momentum", "state", *NETWORK, "multiply_adds")
_TOO_MANY = 20  # failures in a row
_N_DRAWN = 1000  # configurations that all variants and algorithms have in common


def settings() -> pd.DataFrame:
    """What the paper leaves open, and what it is here: name -> value, meaning."""
    rows = {
        "alpha_0": (ALPHA_0, "learning rate at the start, where it is learnt"),
        "gamma_0": (GAMMA_0, "momentum at the start, where it is learnt"),
        "beta": (BETA, "learning rate of the learning rate (Eq 6)"),
        "eta": (ETA, "learning rate of the momentum (Eq 9)"),
        "fixed lr": (CONSTANTS["lr"], "learning rate, where it is fixed"),
        "fixed momentum": (CONSTANTS["momentum"], "momentum, where it is fixed"),
        **{
            f"{end} {name}": (RATE_BOUNDS[name][i], "bound of what is learnt: the domain that is searched (T2)")
            for name in RATE_BOUNDS
            for i, end in enumerate(("lowest", "highest"))
        },
        "reduction factor": (REDUCTION_FACTOR, "of ASHA, AHB and HyperBand: one model in so many goes on from a rung"),
        "brackets": (BRACKETS, "of AHB; with one it would be ASHA, which is the same class in Ray Tune"),
        "population": (POPULATION, "models of PBT and PB2"),
        "perturbation interval": (PERTURBATION_INTERVAL, "epochs between two exploitations in PBT and PB2"),
        "generation": (GENERATION, "models of a generation of the genetic algorithm (NSGA-II of Optuna)"),
        "models at a time": (1, "each algorithm trains one after the other, as on the paper's one GPU"),
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "meaning"])


class Experiment(NamedTuple):
    """One run of an algorithm with a variant: all that its reports depend on, but for the images and the clock."""

    case: str  # a case study of HGD T2: a key of space.SPACES
    dataset: str
    algorithm: str  # a key of ALGORITHMS
    variant: str  # a key of VARIANTS
    run: int
    budget: float  # seconds of training, all models together
    max_epochs: int  # of a model, where the algorithm sets an end
    width_divisor: int  # of the layer widths of HGD T2
    seed: int  # of the run, the same for all algorithms and variants

    @property
    def name(self) -> str:
        """What names it among the experiments of a study, fit for a folder."""
        return "-".join(map(str, self[:5])).replace(" ", "_")

    def check(self) -> None:
        """Raises ValueError, with the name, the value and what is allowed."""
        for field, allowed in (("case", CASES), ("algorithm", ALGORITHMS), ("variant", VARIANTS)):
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field} must be one of {', '.join(allowed)}, not {getattr(self, field)!r}")
        for field, least in (("run", 0), ("max_epochs", 3), ("width_divisor", 1), ("seed", 0)):
            if getattr(self, field) < least:
                raise ValueError(f"{field} must be at least {least}, not {getattr(self, field)}")
        if not 0 < self.budget < np.inf:
            raise ValueError(f"budget must be a positive number of seconds, not {self.budget}")


def run_experiment(experiment: Experiment, arrays: tuple, folder: str | Path, device: str = "cpu") -> pd.DataFrame:
    """The reports of an experiment, one row an epoch of a model, until its budget is spent; columns: `Reports`.

    arrays: the images (`evaluation.as_arrays`). It runs on the Ray that this process is connected to. Where that has
    one CPU, one model trains at a time, and the reports are the same each time up to where the clock ends them.
    folder: Tune keeps the experiment there while it runs. One that was interrupted goes on from its last snapshot: its
    trials and reports are there, but its scheduler starts with an empty memory, since Ray does not store that. One that
    ended in an error starts anew.

    Raises RuntimeError where a trial ended in an error, KeyboardInterrupt where Tune was told to stop.
    """
    experiment.check()
    place = Path(folder).resolve() / f"{experiment.name}-{_checksum(experiment, arrays):08x}"
    random.seed(experiment.seed)  # Tune's schedulers draw from the global generators
    np.random.seed(experiment.seed % 2**32)
    written = place / _REPORTS
    if not written.is_file() and (failure := _fit(_tuner(experiment, arrays, place, device))):
        shutil.rmtree(place)  # Tune would stop again at once
        raise RuntimeError(f"{experiment.name} stopped: {failure}")
    if not written.is_file():
        raise KeyboardInterrupt(f"{experiment.name} was told to stop; the same command takes it up again")
    reports = pd.read_parquet(written)
    shutil.rmtree(place)
    return reports


def _fit(tuner: tune.Tuner) -> str:
    """What went wrong, if anything did, without Ray's traces, which are printed."""
    try:
        errors = tuner.fit().errors
    except tune.TuneError as error:  # in this process
        return str(error).strip().splitlines()[-1]
    if not errors:
        return ""
    cause = getattr(errors[0], "cause", None) or errors[0]
    return f"{type(cause).__name__}: {cause}"


def _checksum(experiment: Experiment, arrays: tuple) -> int:
    """Of all that decides the reports: what an experiment of other settings has left is not taken up."""
    checksum = zlib.crc32(repr((experiment, settings().value.to_list())).encode())
    for array in arrays:
        if isinstance(array, np.ndarray):
            checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return checksum


def _tuner(experiment: Experiment, arrays: tuple, place: Path, device: str) -> tune.Tuner:
    options = {"arrays": arrays, "fixed": fixed(experiment), "seed": experiment.seed, "device": device}
    model = tune.with_parameters(CNN, **options, reset=experiment.variant == "hgd reset")
    domains = {name: _domain(distribution) for name, distribution in searched(experiment).items()}
    if any(place.glob("experiment_state-*.json")):
        return tune.Tuner.restore(str(place), model, param_space=domains)
    shutil.rmtree(place, ignore_errors=True)
    run_config = tune.RunConfig(
        name=place.name,
        storage_path=str(place.parent),
        stop=Reports(experiment, place / _REPORTS),
        callbacks=[_Folders()],
        failure_config=tune.FailureConfig(fail_fast=True),
        verbose=0,
    )
    return tune.Tuner(model, param_space=domains, tune_config=_tune_config(experiment), run_config=run_config)


def searched(experiment: Experiment) -> Space:
    """The hyperparameters that an experiment searches."""
    space, _ = divide_widths(SPACES[experiment.case], DEFAULTS[experiment.case], experiment.width_divisor)
    lr, momentum = space.pop("lr"), space.pop("momentum")
    if experiment.algorithm == "pb2":  # its Gaussian process knows real numbers only
        sizes = space.pop("batch_size").choices
        space["log2_batch_size"] = FloatDistribution(np.log2(min(sizes)), np.log2(max(sizes)))
    if experiment.variant in ("sgd", "sgd log"):
        space["lr"] = FloatDistribution(lr.low, lr.high, log=experiment.variant == "sgd log")
        space["momentum"] = momentum
    return space


def fixed(experiment: Experiment) -> Config:
    """What all networks of an experiment have in common, beside what is searched (`training.make_optimizer`)."""
    _, defaults = divide_widths(SPACES[experiment.case], DEFAULTS[experiment.case], experiment.width_divisor)
    if experiment.variant in ("sgd", "sgd log"):
        return defaults
    if experiment.variant == "fixed":
        return defaults | CONSTANTS
    return defaults | {
        "optimizer": "hgd", "lr": ALPHA_0, "momentum": GAMMA_0, "hyper_lr": BETA, "hyper_momentum_lr": ETA
    }  # fmt: skip


def first_configurations(experiment: Experiment) -> list[Config]:
    """What an experiment tries first. Within a run all algorithms and variants try the same networks and batch sizes,
    so that they are compared on the same draws."""
    space, _ = divide_widths(SPACES[experiment.case], DEFAULTS[experiment.case], experiment.width_divisor)
    rates = {name: d for name, d in searched(experiment).items() if name in ("lr", "momentum")}
    networks = {name: d for name, d in space.items() if name not in ("lr", "momentum")}
    for_networks, for_rates = (np.random.default_rng([experiment.seed, stream]) for stream in (0, 1))
    configs = [sample(networks, for_networks) | sample(rates, for_rates) for _ in range(_N_DRAWN)]
    if experiment.algorithm == "pb2":
        for config in configs:
            config["log2_batch_size"] = float(np.log2(config.pop("batch_size")))
    return configs


def _domain(distribution: CategoricalDistribution | FloatDistribution) -> object:
    if isinstance(distribution, CategoricalDistribution):
        return tune.choice(list(distribution.choices))
    return (tune.loguniform if distribution.log else tune.uniform)(distribution.low, distribution.high)


def _tune_config(experiment: Experiment) -> tune.TuneConfig:
    first = first_configurations(experiment)
    n = POPULATION if experiment.algorithm in POPULATION_BASED else -1  # as many as the budget allows
    if experiment.algorithm == "genetic":
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        search = OptunaSearch(sampler=_Genetic(first, experiment.seed))
    else:
        search = BasicVariantGenerator(points_to_evaluate=first[:n], random_state=experiment.seed)
    return tune.TuneConfig(
        metric="validation_accuracy",
        mode="max",
        search_alg=search,
        scheduler=_scheduler(experiment),
        num_samples=n,
        max_concurrent_trials=1 if experiment.algorithm == "genetic" else None,  # to breed from all before it
        reuse_actors=True,
    )


class _Genetic(optuna.samplers.NSGAIISampler):
    """NSGA-II whose first generation, and whatever mutates later, is what all algorithms try first. Points that Optuna
    is told to evaluate would be of no generation, and nothing would be bred from them."""

    def __init__(self, first: list[Config], seed: int):
        super().__init__(population_size=GENERATION, seed=seed)
        self._first = first

    def sample_independent(self, study: object, trial: object, param_name: str, param_distribution: object) -> object:
        return self._first[trial.number % len(self._first)][param_name]


def _scheduler(experiment: Experiment) -> TrialScheduler | None:
    halving = {"time_attr": "training_iteration", "max_t": experiment.max_epochs, "reduction_factor": REDUCTION_FACTOR}
    space = searched(experiment)
    # only what can change while a network trains
    mutable = {name: d for name, d in space.items() if name in ("batch_size", "log2_batch_size", "lr", "momentum")}
    population = {
        "time_attr": "training_iteration",
        "perturbation_interval": PERTURBATION_INTERVAL,
        "log_config": False,
        "custom_explore_fn": Clip({name: (d.low, d.high) for name, d in mutable.items() if name != "batch_size"}),
    }
    match experiment.algorithm:
        case "asha":
            return AsyncHyperBandScheduler(grace_period=1, brackets=1, **halving)
        case "ahb":
            return AsyncHyperBandScheduler(grace_period=1, brackets=BRACKETS, **halving)
        case "hyperband":
            return _HyperBand(**halving)
        case "pbt":
            mutations = {name: _mutation(distribution) for name, distribution in mutable.items()}
            return _PBTInTurn(hyperparam_mutations=mutations, **population)
        case "pb2":
            warnings.filterwarnings("ignore", module="sklearn.gaussian_process")  # few reports make a poor fit
            return _PB2InTurn(hyperparam_bounds={name: [d.low, d.high] for name, d in mutable.items()}, **population)


class _HyperBand(HyperBandScheduler):
    """HyperBand whose brackets do not wait for models that had ended when an experiment was interrupted."""

    def on_trial_add(self, tune_controller: object, trial: Trial) -> None:
        if not trial.is_finished():
            super().on_trial_add(tune_controller, trial)


class _InTurn:
    """The models of a population train in turn. Ray Tune's own choice, the model with the fewest epochs, may be the
    same for ever: one that copies a younger one each time."""

    def choose_trial_to_run(self, tune_controller: object) -> Trial | None:
        waiting = [trial for trial in tune_controller.get_trials() if trial.status in (Trial.PENDING, Trial.PAUSED)]
        return min(waiting, key=lambda trial: trial.run_metadata.last_result_time, default=None)


class _PBTInTurn(_InTurn, PopulationBasedTraining):
    pass


class _PB2InTurn(_InTurn, PB2):
    pass


def _mutation(distribution: CategoricalDistribution | FloatDistribution) -> object:
    is_choice = isinstance(distribution, CategoricalDistribution)
    return list(distribution.choices) if is_choice else _domain(distribution)


class Clip(NamedTuple):
    """Keeps a perturbed configuration in its domains: PBT multiplies a momentum of 0.95 by 1.2."""

    bounds: Mapping[str, tuple[float, float]]

    def __call__(self, config: Config) -> Config:
        return config | {name: float(np.clip(config[name], *ends)) for name, ends in self.bounds.items()}


class _Folders(tune.Callback):
    """Gives models that were never started a folder, which Tune asks for at the end."""

    def on_experiment_end(self, trials: list[Trial], **_) -> None:
        for trial in trials:
            trial.init_local_path()


class Reports(tune.Stopper):
    """Collects an experiment's reports, one row an epoch of a model; ends it and writes them when its budget is spent.

    It ends a model that has diverged, but for one of a population, which is to take over another's weights, and in the
    genetic algorithm one that is trained. After an interruption a model goes on from its last checkpoint; what it then
    trains again is neither reported nor counted again.

    Columns: trial (from 0, in the order of first reports), epoch (of its weights), loss, validation_accuracy, lr and
    momentum (at the epoch's end), state, copied_from (the trial whose weights it took over before this epoch, else -1),
    batch_size, widths, multiply_adds (an image); and up to this report seconds (since the start, by the wall clock),
    train_seconds (of training alone) and images (trained on), all models together.
    """

    def __init__(self, experiment: Experiment, path: Path):
        self._path = path
        self._budget = experiment.budget
        self._in_population = experiment.algorithm in POPULATION_BASED
        self._epochs = experiment.max_epochs // 3 if experiment.algorithm == "genetic" else np.inf
        self._rows: list[dict] = []
        self._trials: dict[str, int] = {}  # Tune's name -> ours
        self._again: dict[int, set] = {}  # trial -> what it had reported when it was interrupted
        self._failures = 0  # in a row
        self._elapsed = 0.0  # seconds, before the last interruption
        self._start = time.monotonic()

    def __call__(self, trial_id: str, result: dict) -> bool:
        self._add(trial_id, result)
        self._failures = self._failures + 1 if result["state"] == "failed" else 0
        if self._failures == _TOO_MANY:  # they cost next to nothing: the budget would last for ever
            raise RuntimeError(f"{_TOO_MANY} models in a row could not be trained: {result['error']}")
        if self.stop_all():
            part = self._path.with_suffix(".part")  # moved, so that a file that is there is whole
            pd.DataFrame(self._rows).to_parquet(part)
            part.replace(self._path)
        if result["state"] != "complete" and not self._in_population:
            return True
        return result["training_iteration"] >= self._epochs

    def stop_all(self) -> bool:
        return bool(self._rows) and self._rows[-1]["train_seconds"] >= self._budget

    def _add(self, trial_id: str, result: dict) -> None:
        number = self._trials.setdefault(trial_id, len(self._trials))
        copied_from = self._trials.get(result["copied_from"], -1)
        if (result["epoch"], copied_from) in self._again.get(number, ()):
            return
        self._again.pop(number, None)
        past = self._rows[-1] if self._rows else {"train_seconds": 0.0, "images": 0}
        row = {name: result[name] for name in _REPORTED} | {"trial": number, "copied_from": copied_from}
        row |= {name: past[name] + result[name] for name in ("train_seconds", "images")}
        self._rows.append(row | {"seconds": self._seconds()})

    def _seconds(self) -> float:
        return self._elapsed + time.monotonic() - self._start

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_elapsed": self._seconds()}

    def __setstate__(self, state: dict) -> None:
        self.__dict__ |= state | {"_start": time.monotonic(), "_again": {}}
        for row in self._rows:
            self._again.setdefault(row["trial"], set()).add((row["epoch"], row["copied_from"]))
