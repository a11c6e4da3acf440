"""Profiles: how much a notebook runs. A profile changes sizes only; sizes by notebook and profile stand in SIZES."""

from collections.abc import Mapping

import pandas as pd

PROFILES = ("smoke", "quick", "recorded", "workstation", "paper")

_EMBEDDED = ("digits", "fashion_mnist_sample")
_HIA_HERE = ("mnist", "fashion_mnist", "cifar10", "cifar100", "emnist_letters", "eurosat", "semeion", "usps")
_HIA = ("cifar10", "cifar100", "emnist", "eurosat", "fashion_mnist", "mnist", "semeion", "stl10", "svhn", "usps")

_GSOS_HERE = ("ahe", "intel_natural_scene", "rock_paper_scissors", "dog_cat", "flowers", "kuzushiji_mnist10")
_GSOS = (*_GSOS_HERE[:-1], "kuzushiji49")
_STRATEGIES = ("gsos", "simultaneous", "epoch schedule")
_CONTROLS = ("reversed order", "random groups", "middle epoch", "top epoch", "calibrated groups")
_CONTROLS += ("blocks", "blocks cost", "random")

_TABLES = ("naval_propulsion", "phoneme", "car", "cifar10")
_CONTESTANTS = ("random", "optuna multivariate", "gsos", "blocks", "no blocks")
_CONTESTANTS += ("hyperopt", "optuna independent", "tpe", "gsos estimated", "gsos random", "gsos reversed", "gif-like")
_CONTESTANTS += ("cost schedule", "blocks cost", "repeats", "quantile .25", "random default")
_BEYOND = ("simultaneous", "blocks cost", "gsos")

_HGD_CASES = ("hgd-cifar10", "hgd-cifar100")
_ALGORITHMS = ("asha", "ahb", "genetic", "hyperband", "pbt", "pb2")
_VARIANTS = ("sgd", "hgd", "fixed")
_MORE_VARIANTS = (*_VARIANTS, "sgd log", "hgd reset")
_ALPHAS, _BETAS = (0.0001, 0.001, 0.01, 0.03, 0.1), (0.0, 1e-6, 1e-5, 1e-4, 1e-3)
_ETAS = (0.0, 0.001, 0.01, 0.1)

_HIA_RECORDS = {
    "study": ("hia-smoke", "hia-quick", "hia-workstation", "hia-workstation", "hia-paper"),
    "datasets": (_EMBEDDED, _EMBEDDED, None, _HIA_HERE, _HIA),  # None: those that the records have
    "n_models": (20, 300, None, 1000, None),  # a dataset; None: the paper's number, 1,000 to 1,500
    "n_train": (200, 1000, None, 2000, None),  # at most; None: all there are
    "image_size": (None, None, None, 32, None),  # pixels, at most; None: as they are
}

# notebook -> name of the size (the notebook's parameter, in capitals) -> value by profile, in the order of PROFILES
SIZES: dict[str, dict[str, tuple]] = {
    "00": {},  # it reads the papers' tables
    "01": _HIA_RECORDS,
    "02": _HIA_RECORDS
    | {
        "n_neighbours": (3, 30, 30, 30, 30),  # HIA 5.3 has 30
        "n_resamples": (4, 16, 8, 100, 100),  # halves of the records, for intervals
        "n_control": (300, 1000, 1000, 11_150, 11_150),  # configurations in the controls
        "filter_datasets": (_EMBEDDED[:1], _EMBEDDED[:1], None, ("mnist", "cifar10"), ("mnist", "cifar10")),
        "n_filter_models": (20, 100, None, 300, 300),  # with two layers, and with three, on each of these datasets
    },
    "03": {"n_seeds": (2, 20, 20, 50, 200)},  # runs of each strategy on each function
    "04": {
        "study": ("gsos-smoke", "gsos-quick", "gsos-workstation", "gsos-workstation", "gsos-paper"),
        "datasets": (_EMBEDDED[:1], _EMBEDDED, None, _GSOS_HERE, _GSOS),
        "strategies": (_STRATEGIES, _STRATEGIES, None, _STRATEGIES, _STRATEGIES),
        "controls": ((), _CONTROLS[:3], None, _CONTROLS, _CONTROLS),  # strategies that run on control_datasets alone
        "control_datasets": ((), _EMBEDDED, None, ("rock_paper_scissors", "kuzushiji_mnist10"), _GSOS),
        "unscaled_datasets": ((), (), None, ("kuzushiji_mnist10",), ()),  # where epochs are also not divided
        "n_rounds": (2, 2, None, 5, 5),  # GSOS 5.4 has 5
        "n_iterations": (10, 40, None, 100, 100),  # of a round; GSOS 5.4 has 100
        "epoch_divisor": (5, 5, 5, 5, 1),  # of GSOS T1's 10 to 100 epochs
        "n_train": (100, 400, None, 960, None),
        "n_valid": (None, None, None, 320, None),  # None: in proportion; GSOS 5.3 has 60/20/20
        "image_size": (None, 14, None, 64, 224),  # GSOS T2 has 224 and more of photographs
        "n_resamples": (200, 2000, 2000, 2000, 2000),  # of rounds, for intervals
    },
    "05": {
        "n_trials": (20, 100, None, 100, 100),  # of a run; GSOS A has 100
        "dimensions": ((1, 12), (1, 4, 8, 12), None, tuple(range(1, 13)), tuple(range(1, 13))),  # of the peers
        "n_repeats": (2, 2, None, 10, 10),
        "n_told": ((20, 40), (30, 100, 300, 1000), None, (30, 100, 300, 1000), (30, 100, 300, 1000)),
    },
    "06": {
        "study": ("hgd-smoke", "hgd-quick", "hgd-workstation", "hgd-workstation", "hgd-paper"),
        "datasets": (_EMBEDDED[:1], _EMBEDDED[:1], None, ("cifar10", "cifar100"), ("cifar10", "cifar100")),
        "cases": (_HGD_CASES[1:], _HGD_CASES[:1], None, _HGD_CASES, _HGD_CASES),  # HGD T2's domains, of each dataset
        "algorithms": (_ALGORITHMS[:1], _ALGORITHMS, None, _ALGORITHMS, _ALGORITHMS),
        "variants": (_VARIANTS[:2], _VARIANTS, None, _MORE_VARIANTS, _MORE_VARIANTS),
        "n_runs": (1, 2, None, 4, 4),  # HGD's captions have 4, its text 5
        "budget": (0.3, 2, None, 75, 3000),  # seconds of training of an experiment; HGD has 3000
        "max_epochs": (3, 9, None, 9, 27),  # of a model, where the algorithm sets an end
        "width_divisor": (8, 8, None, 16, 1),  # of HGD T2's layer widths
        "n_train": (200, None, None, None, None),
        "n_epochs": (2, 10, None, 10, 10),  # of the CNN that the optimiser's forms are compared on
        "alphas": (_ALPHAS[1:3], _ALPHAS[1:4], None, _ALPHAS, _ALPHAS),  # HGD is started from each of these, with each
        "betas": (_BETAS[:3:2], _BETAS[:4:2], None, _BETAS, _BETAS),
        "etas": (_ETAS[:3:2], _ETAS[:3:2], None, _ETAS, _ETAS),
        "n_networks": (2, 2, None, 10, 10),  # trained from each setting
    },
    "07": {
        "study": ("beyond-smoke", "beyond-quick", "beyond", "beyond", "beyond-paper"),
        "tables": (_TABLES[2:], _TABLES, None, None, None),  # None: all that there are
        "functions": (("sphere5",), ("hartmann6",), None, None, None),
        "contestants": (_CONTESTANTS[:5], _CONTESTANTS, None, None, None),
        "n_seeds": (2, 5, None, 50, 50),  # on which strategies are compared
        "n_tuning_seeds": (2, 2, None, 20, 20),  # others, on which settings are chosen
        "marks": ((5, 15), (25, 50, 100), (25, 50, 100), (25, 50, 100), (25, 50, 100)),  # evaluations
        "judge_sizes": ((50,), (50, 300), None, None, None),  # rows
        "n_judge_seeds": (2, 2, None, 20, 20),
        "datasets": (_EMBEDDED[:1], _EMBEDDED[:1], None, _EMBEDDED, _EMBEDDED),
        "strategies": (_BEYOND[:2], _BEYOND[:2], None, _BEYOND, _BEYOND),
        "n_rounds": (2, 2, None, 10, 10),
        "n_iterations": (10, 12, None, 40, 40),
        "n_resamples": (100, 500, 1000, 2000, 2000),
    },
    "08": {},  # it reads what the others wrote
}

# what records that are only read have already
_TRAINED = {
    *(
        "n_models",
        "n_filter_models",
        "n_train",
        "image_size",
        "strategies",
        "controls",
        "control_datasets",
        "unscaled_datasets",
        "n_valid",
        "n_rounds",
        "n_iterations",
        "epoch_divisor",
        "cases",
    ),
    *("n_trials", "dimensions", "n_repeats", "n_told"),
    *("algorithms", "variants", "n_runs", "budget", "max_epochs", "width_divisor", "n_epochs"),
    *("alphas", "betas", "etas", "n_networks"),
    *("tables", "functions", "contestants", "n_seeds", "n_tuning_seeds", "judge_sizes", "n_judge_seeds"),
}


def table(notebook: str) -> pd.DataFrame:
    """The sizes of a notebook: one row a size, one column a profile."""
    return pd.DataFrame({name: map(_show, values) for name, values in SIZES[notebook].items()}, index=PROFILES).T


def sizes(notebook: str, profile: str, **overrides: object) -> Mapping[str, object]:
    """name -> value of a notebook's sizes in a profile; an override that is not None replaces the profile's.

    Raises ValueError for an unknown profile or size.
    """
    if profile not in PROFILES:
        raise ValueError(f"PROFILE must be one of {', '.join(PROFILES)}, not {profile!r}")
    if unknown := set(overrides) - set(SIZES[notebook]):
        raise ValueError(f"notebook {notebook} has no size {sorted(unknown)}; it has {sorted(SIZES[notebook])}")
    given = {name: value for name, value in overrides.items() if value is not None}
    if profile == "recorded" and (fixed := set(given) & _TRAINED):
        raise ValueError(f"profile recorded trains nothing: {sorted(fixed)} cannot be chosen")
    chosen = {name: values[PROFILES.index(profile)] for name, values in SIZES[notebook].items()}
    for name, value in given.items():
        if isinstance(value, str) and any(isinstance(values, tuple) for values in SIZES[notebook][name]):
            given[name] = (value,)
    return chosen | given


def _show(value: object) -> str:
    if value == ():
        return "none"
    return "–" if value is None else ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
