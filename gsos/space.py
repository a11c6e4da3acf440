"""The papers' search spaces as plain dicts: name -> Optuna distribution (HIA T1, GSOS T1, HGD T2).

Names are the papers' own, made alike: `num_filters_2` is "the number of filters in conv layer 2", `epoch` the number
of training epochs. `padding` is a number of pixels in HIA and "valid"/"same" in GSOS.
"""

from collections.abc import Mapping
from math import floor
from numbers import Integral, Real

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Space = Mapping[str, BaseDistribution]
Config = dict[str, object]

_BATCH_SIZES = CategoricalDistribution([32, 64, 128, 256])


def _powers_of_two(low: int, high: int) -> CategoricalDistribution:
    return CategoricalDistribution([2**i for i in range(low.bit_length() - 1, high.bit_length())])


SPACES: dict[str, dict[str, BaseDistribution]] = {
    # HIA T1. `log` follows HpBandSter's example 5, whose names, ranges and defaults these are (T1 does not say).
    "hia": {
        "num_conv_layers": IntDistribution(1, 3),
        "lr": FloatDistribution(1e-6, 1e-1, log=True),
        "dropout_rate": FloatDistribution(0.0, 0.9),
        "optimizer": CategoricalDistribution(["Adam", "SGD"]),
        "epoch": IntDistribution(1, 10),
        "stride": IntDistribution(1, 2),
        "padding": IntDistribution(0, 1),
        "kernel": IntDistribution(2, 3),
        "num_fc_units": IntDistribution(8, 256, log=True),
        "batch_size": _BATCH_SIZES,
        "num_filters_1": IntDistribution(4, 64, log=True),
        "num_filters_2": IntDistribution(4, 64, log=True),
        "num_filters_3": IntDistribution(4, 64, log=True),
    },
    # GSOS T1.
    "gsos": {
        "num_conv_layers": IntDistribution(2, 4),
        "lr": FloatDistribution(1e-5, 1.0, log=True),
        "dropout_rate": FloatDistribution(0.0, 0.9),
        "optimizer": CategoricalDistribution(["adam", "sgd"]),
        "epoch": IntDistribution(10, 100),
        "stride": IntDistribution(1, 2),
        "padding": CategoricalDistribution(["valid", "same"]),
        "kernel": CategoricalDistribution([3, 5]),
        "num_fc_units": IntDistribution(64, 256),
        "batch_size": _BATCH_SIZES,
    },
    # HGD T2, first and second case study. T2 names no scale: lr is uniform.
    "hgd-cifar10": {
        "num_filters_1": _powers_of_two(4, 512),
        "num_filters_2": _powers_of_two(4, 512),
        "num_filters_3": _powers_of_two(4, 512),
        "num_fc_units_1": _powers_of_two(128, 2048),
        "num_fc_units_2": _powers_of_two(32, 256),
        "batch_size": _powers_of_two(4, 64),
        "momentum": FloatDistribution(0.7, 0.99),
        "lr": FloatDistribution(1e-5, 0.2),
    },
    "hgd-cifar100": {
        "num_filters_1": _powers_of_two(8, 128),
        "num_filters_2": _powers_of_two(32, 2048),
        "num_filters_3": _powers_of_two(64, 4096),
        "num_fc_units_1": _powers_of_two(64, 4096),
        "num_fc_units_2": _powers_of_two(32, 2048),
        "batch_size": _BATCH_SIZES,
        "momentum": FloatDistribution(0.7, 0.99),
        "lr": FloatDistribution(1e-5, 0.2),
    },
}

# HIA's eleven assessed hyperparameters, in the order of its T3. The number of input channels is no choice of the
# tuner but a property of the dataset: it is read from a record, never sampled.
ASSESSED: dict[str, BaseDistribution] = {
    name: SPACES["hia"].get(name, IntDistribution(1, 3, step=2))
    for name in (
        *("num_conv_layers", "lr", "dropout_rate", "optimizer", "epoch", "stride"),
        *("in_channel_num", "padding", "kernel", "num_fc_units", "batch_size"),
    )
}

# What a hyperparameter is while it is not tuned. They complete a space: every key that the CNN needs is here.
DEFAULTS: dict[str, Config] = {
    "hia": {
        "num_conv_layers": 2,
        "lr": 1e-2,
        "dropout_rate": 0.5,
        "optimizer": "Adam",
        "epoch": 2,
        "stride": 1,
        "padding": 0,
        "kernel": 2,
        "num_fc_units": 32,
        "batch_size": 32,
        "num_filters_1": 16,
        "num_filters_2": 16,
        "num_filters_3": 16,
    },
    "gsos": {
        "num_conv_layers": 3,
        "lr": 0.01,
        "dropout_rate": 0.0,
        "optimizer": "adam",
        "epoch": 10,
        "stride": 1,
        "padding": "same",
        "kernel": 3,
        "num_fc_units": 64,
        "batch_size": 32,
        # Not in GSOS's space: HIA's default in every layer.
        "num_filters_1": 16,
        "num_filters_2": 16,
        "num_filters_3": 16,
        "num_filters_4": 16,
    },
}

# HGD prints no defaults and names neither kernel nor dropout: the middle of each range, and a plain network.
_HGD_NETWORK = {
    "num_conv_layers": 3,
    "kernel": 3,
    "stride": 1,
    "padding": "same",
    "dropout_rate": 0.0,
    "optimizer": "sgd",
    "momentum": 0.9,
    "lr": 1e-2,
    "epoch": 10,
}
for _case in ("hgd-cifar10", "hgd-cifar100"):
    _middle = {
        name: distribution.choices[len(distribution.choices) // 2]
        for name, distribution in SPACES[_case].items()
        if isinstance(distribution, CategoricalDistribution)
    }
    DEFAULTS[_case] = _HGD_NETWORK | _middle

# Where lr and momentum are learnt, they are kept in the domains that they have where they are searched (HGD T2).
RATE_BOUNDS = {name: (SPACES["hgd-cifar10"][name].low, SPACES["hgd-cifar10"][name].high) for name in ("lr", "momentum")}

# GSOS Fig 1 is a picture; the groups "gsos" follow from its importance weights and the 4:3:3 split of iterations.
# "calibrated": groups of the same sizes by the weights that calibrated RReliefF gives our records of HIA's study.
GROUPS: dict[str, list[list[str]]] = {
    "gsos": [
        ["num_conv_layers", "lr", "dropout_rate"],
        ["optimizer", "epoch", "stride", "padding"],
        ["kernel", "num_fc_units", "batch_size"],
    ],
    "calibrated": [
        ["lr", "optimizer", "num_conv_layers"],
        ["num_fc_units", "dropout_rate", "epoch", "stride"],
        ["batch_size", "padding", "kernel"],
    ],
}


def divide_epochs(space: Space, defaults: Mapping[str, object], divisor: int) -> tuple[Space, Config]:
    """A space and its defaults with every number of epochs divided by one factor. Raises ValueError for remainders."""
    epoch = space["epoch"]
    if divisor < 1 or any(n % divisor for n in (epoch.low, epoch.high, defaults["epoch"])):
        raise ValueError(f"divisor must divide {epoch.low}, {epoch.high} and {defaults['epoch']}, not be {divisor}")
    shorter = IntDistribution(epoch.low // divisor, epoch.high // divisor)
    return {**space, "epoch": shorter}, {**defaults, "epoch": defaults["epoch"] // divisor}


def divide_widths(space: Space, defaults: Mapping[str, object], divisor: int) -> tuple[Space, Config]:
    """One of HGD's spaces and its defaults with every layer width divided by one factor, and none below 4, the
    narrowest layer of T2."""
    if divisor < 1:
        raise ValueError(f"divisor must be at least 1, not {divisor}")
    widths = [name for name in space if name.startswith(("num_filters_", "num_fc_units"))]
    narrower = {
        name: CategoricalDistribution(dict.fromkeys(max(4, width // divisor) for width in space[name].choices))
        for name in widths
    }
    return {**space, **narrower}, {**defaults, **{name: max(4, defaults[name] // divisor) for name in widths}}


def table(space: Space, defaults: Mapping[str, object]) -> pd.DataFrame:
    """The space for a reader: values, scale and default of each hyperparameter."""
    rows = [(name, _values(d), "log" if getattr(d, "log", False) else "", defaults[name]) for name, d in space.items()]
    return pd.DataFrame(rows, columns=["hyperparameter", "values", "scale", "default"]).set_index("hyperparameter")


def _values(distribution: BaseDistribution) -> str:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return ", ".join(map(str, choices))
        case IntDistribution(low=low, high=high):
            return f"{low} to {high}"
    return f"[{distribution.low:g}, {distribution.high:g}]"


def is_ordered(distribution: BaseDistribution) -> bool:
    """Whether values have an order: all but categories that are not numbers."""
    return not isinstance(distribution, CategoricalDistribution) or all(
        isinstance(choice, int | float) and not isinstance(choice, bool) for choice in distribution.choices
    )


def is_active(name: str, config: Mapping[str, object]) -> bool:
    """Whether a hyperparameter exists in this configuration: the filters of a layer do where the layer does."""
    layers = config.get("num_conv_layers")
    return layers is None or not name.startswith("num_filters_") or int(name.rsplit("_", 1)[1]) <= int(layers)


def sample(space: Space, rng: np.random.Generator) -> Config:
    """One configuration, uniform on each hyperparameter's own scale.

    One uniform number is drawn for each hyperparameter, also for those that are then inactive and left out.
    """
    return from_unit(dict(zip(space, rng.random(len(space)).tolist(), strict=True)), space)


def middle(space: Space, rng: np.random.Generator) -> Config:
    """The middle of each range and of ordered choices, on the scale they are sampled on; other categories at random."""
    return from_unit({name: 0.5 if is_ordered(d) else rng.random() for name, d in space.items()}, space)


def from_unit(position: Mapping[str, float], space: Space) -> Config:
    """The configuration at a position of the unit cube; inactive hyperparameters are left out.

    position: name -> [0, 1]. A value with k levels owns an interval (of length 1/k; on a log scale
    log((v + .5)/(v - .5)) for the integer v, as in HpBandSter's time).
    """
    config = {name: _value(distribution, position[name]) for name, distribution in space.items()}
    return {name: value for name, value in config.items() if is_active(name, config)}


def to_unit(config: Mapping[str, object], space: Space) -> NDArray[np.float64]:
    """(k,) position in the unit cube, the middle of the interval for a value with levels; NaN where inactive."""
    return np.array(
        [_position(distribution, config[name]) if name in config else np.nan for name, distribution in space.items()]
    )


def _bounds(distribution: BaseDistribution) -> tuple[float, float, bool]:
    """(low, high, log) of the interval whose uniform distribution, rounded, is the distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return -0.5, len(distribution.choices) - 0.5, False
    if isinstance(distribution, (FloatDistribution, IntDistribution)):
        half = (distribution.step or 0) / 2
        return distribution.low - half, distribution.high + half, distribution.log
    raise TypeError(f"distribution must be one of Optuna's, not {distribution!r}")


def _value(distribution: BaseDistribution, position: float) -> object:
    low, high, log = _bounds(distribution)
    x = low * (high / low) ** position if log else low + (high - low) * position
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[min(int(x + 0.5), len(distribution.choices) - 1)]
    low, high, step = distribution.low, distribution.high, distribution.step
    if step:
        x = low + step * floor((x - low) / step + 0.5)
    return type(low)(min(max(x, low), high))


def _position(distribution: BaseDistribution, value: object) -> float:
    low, high, log = _bounds(distribution)
    if low == high:
        return 0.5
    x = distribution.choices.index(value) if isinstance(distribution, CategoricalDistribution) else value
    return float(np.log(x / low) / np.log(high / low) if log else (x - low) / (high - low))


def grid(distribution: BaseDistribution) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Where the k levels of a distribution lie in the unit interval: (k,) their positions, and the (k - 1,) bounds
    between their intervals. None for a continuous one and for more than a thousand levels."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            k = len(choices)
            return (np.arange(k) + 0.5) / k, np.arange(1, k) / k
        case IntDistribution() | FloatDistribution() if step := distribution.step:
            k = round((distribution.high - distribution.low) / step) + 1
            if k <= 1000:
                values = [distribution.low + i * step for i in range(k)]
                bounds = [_position(distribution, value + step / 2) for value in values[:-1]]
                return np.array([_position(distribution, value) for value in values]), np.array(bounds)
    return None


def encode(frame: pd.DataFrame, space: Space, *, log: bool = True) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Configurations as numbers, one column a hyperparameter of `space`, in its order.

    log: each on the scale it is sampled on: logarithms for log-scaled ranges, level indices for numeric choices.
    Otherwise the raw values, as HIA prints its distance. Categories that are not numbers become codes either way.

    Returns X (n, k) float64, NaN where a hyperparameter does not exist, and is_categorical (k,).
    Raises ValueError for a missing column or for a value outside the space.
    """
    if missing := [name for name in space if name not in frame]:
        raise ValueError(f"frame lacks the hyperparameters {missing}; it has {list(frame)}")
    columns = [_encode_column(frame[name], distribution, log) for name, distribution in space.items()]
    X = np.column_stack(columns) if columns else np.empty((len(frame), 0))
    return X, np.array([not is_ordered(distribution) for distribution in space.values()], dtype=bool)


def _encode_column(values: pd.Series, distribution: BaseDistribution, log: bool) -> NDArray[np.float64]:
    if isinstance(distribution, CategoricalDistribution):
        levels = distribution.choices if not log and is_ordered(distribution) else range(len(distribution.choices))
        x = values.map(dict(zip(distribution.choices, levels, strict=True))).to_numpy(dtype=float, na_value=np.nan)
        allowed = ~np.isnan(x)
    else:
        x = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        slack = 1e-12 * (distribution.high - distribution.low)
        allowed = (x >= distribution.low - slack) & (x <= distribution.high + slack)
        if isinstance(distribution, IntDistribution):
            allowed &= (x - distribution.low) % distribution.step == 0
        x = np.log(x, where=allowed, out=np.full_like(x, np.nan)) if log and distribution.log else x
    if wrong := values[~allowed & values.notna().to_numpy()].unique().tolist():
        raise ValueError(f"{values.name} = {wrong[0]!r} is outside of {distribution}")
    return x


def decode(X: NDArray[np.float64], space: Space, *, log: bool = True) -> pd.DataFrame:
    """The inverse of `encode`: (n, k) numbers back to one column a hyperparameter, None where X is NaN."""
    columns = {}
    for x, (name, distribution) in zip(np.asarray(X, dtype=float).T, space.items(), strict=True):
        match distribution:
            case CategoricalDistribution(choices=choices) if log or not is_ordered(distribution):
                values = [None if np.isnan(v) else choices[int(v)] for v in x]
            case CategoricalDistribution(choices=choices):
                values = [None if np.isnan(v) else min(choices, key=lambda choice, v=v: abs(choice - v)) for v in x]
            case _:
                x = np.exp(x) if log and distribution.log else x
                kind = int if isinstance(distribution, IntDistribution) else float
                values = [None if np.isnan(v) else kind(round(v) if kind is int else v) for v in x]
        columns[name] = values
    return pd.DataFrame(columns)


def check_config(config: Mapping[str, object], space: Space, *, partial: bool = False) -> None:
    """Raises ValueError, with the name, the value and what is allowed, unless `config` lies in `space`.

    partial: whether hyperparameters may be missing.
    """
    if unknown := [name for name in config if name not in space]:
        raise ValueError(f"unknown hyperparameter {unknown[0]!r}; the space has {list(space)}")
    for name, distribution in space.items():
        if name in config:
            value = config[name]
            if isinstance(distribution, CategoricalDistribution):
                inside = value in distribution.choices
            else:
                kind = Real if isinstance(distribution, FloatDistribution) else Integral
                inside = isinstance(value, kind) and not isinstance(value, bool) and distribution._contains(value)
            if not inside:
                raise ValueError(f"{name} = {value!r} is outside of {distribution}")
        elif not partial and is_active(name, config):
            raise ValueError(f"the configuration lacks {name!r}")
