"""What the importance estimators ask of their arrays, said in one place."""

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray


def check_trials(
    X: ArrayLike, p: ArrayLike, is_categorical: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """X (n, k), p (n,) and is_categorical (k,) as float64, float64 and bool arrays.

    Raises ValueError, naming argument and value, for text, wrong shapes, NaN or infinite entries, and constant p.
    """
    X, p = _numbers("X", X), _numbers("p", p)
    is_categorical = np.asarray(is_categorical)
    if X.ndim != 2 or X.shape[1] == 0:
        raise ValueError(f"X must be of shape (n, k), one configuration a row, not {X.shape}")
    if p.shape != X.shape[:1]:
        raise ValueError(f"p must hold one number for each of the {len(X)} rows of X, but has shape {p.shape}")
    if is_categorical.shape != X.shape[1:] or is_categorical.dtype != bool:
        raise ValueError(
            f"is_categorical must hold one bool for each of the {X.shape[1]} columns of X, not {is_categorical!r}"
        )
    for name, bad in (("X", ~np.isfinite(X).all(axis=1)), ("p", ~np.isfinite(p))):
        if bad.any():
            raise ValueError(
                f"{name} is NaN or infinite in {bad.sum()} of {len(bad)} rows, the first of them row {bad.argmax()}: "
                "leave these rows out"
            )
    if len(p) < 2 or p.min() == p.max():
        raise ValueError(f"p is the same in all {len(p)} rows: nothing can be said of what it depends on")
    return X, p, is_categorical


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must hold numbers only ({error}); give categories as codes, as `gsos.space.encode` does"
        ) from error


def check_count(name: str, value: int, low: int, high: int | None = None, why: str = "") -> int:
    """`value` where it is an integer in [low, high], else ValueError."""
    whole = isinstance(value, Real) and not isinstance(value, bool) and float(value).is_integer()
    if not whole or value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"an integer in [{low}, {high}]"
        raise ValueError(f"{name} must be {bounds}{why}, not {value!r}")
    return int(value)
