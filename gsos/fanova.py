"""Functional ANOVA of a random forest: main, total and pair effects as shares of variance (HIA 5.3; Hutter 2014)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import qmc
from sklearn.ensemble import RandomForestRegressor

from gsos.checks import check_count, check_trials

N_CELLS = 64  # into which the range of a hyperparameter with more values is cut
LOG2_POINTS = 11  # of the Sobol sequence with which variance and total effects are integrated


class Fanova(NamedTuple):
    """What functional ANOVA says of k hyperparameters; shares of the variance of the forest's prediction."""

    main: NDArray[np.float64]  # (k,) what each explains alone
    total: NDArray[np.float64]  # (k,) with all its interactions; these overlap and sum to more than 1
    pairs: NDArray[np.float64]  # (k, k) symmetric: what two explain together beyond their main effects; diagonal: main
    tree_main: NDArray[np.float64]  # (trees, k) main effects of each tree alone: their spread, and Hutter's mean
    r2: float  # of the forest, out of bag: how far it can be believed


class Boxes(NamedTuple):
    """The leaves of all trees as boxes of cells: [low, high) in each column."""

    tree: NDArray[np.int64]  # (leaves,)
    value: NDArray[np.float64]  # (leaves,) prediction
    low: NDArray[np.int64]  # (leaves, k)
    high: NDArray[np.int64]  # (leaves, k)
    n_cells: NDArray[np.int64]  # (k,)
    n_trees: int


def fanova(
    X: ArrayLike,
    p: ArrayLike,
    is_categorical: ArrayLike,
    *,
    n_trees: int = 64,
    seed: int = 0,
) -> Fanova:
    """Importance of hyperparameters, alone, in pairs and in all, by functional ANOVA of a random forest.

    X: (n, k), one configuration a row, on the scale each hyperparameter was sampled on, categories as codes; p: (n,)
    performance, in any unit; is_categorical: (k,) bool. A constant column has no effect.

    Every hyperparameter is a row of equally likely cells: its levels, or, where it has more than 64 values, 64 equal
    parts of its range. On them the trees' leaves are boxes and the marginal predictions of main effects and pairs are
    exact; the variance of the whole and the total effects (Jansen 1999) are integrated with 2,048 Sobol points.

    Differs from Hutter et al. 2014 (as HIA, Optuna use it): effects are those of the forest's mean prediction, not
    the mean of each tree's shares, in which every tree's own noise counts as variance; `tree_main` has these.

    Raises ValueError for arrays that `check_trials` refuses, for fewer than 8 rows, and for a forest that predicts the
    same everywhere.
    """
    X, p, is_categorical = check_trials(X, p, is_categorical)
    check_count("the number of rows of X", len(p), 8)
    check_count("n_trees", n_trees, 2)
    cells, n_cells = _cells(X, is_categorical)
    forest = RandomForestRegressor(n_trees, oob_score=True, bootstrap=True, random_state=seed, n_jobs=-1)
    forest.fit(cells, p)
    boxes = leaf_boxes(forest, n_cells)
    variance, total = _total_effects(forest, n_cells, seed)
    if variance <= 1e-12 * p.var():
        raise ValueError("the forest predicts the same everywhere: no importance can be read from it")
    main, tree_main = _main_effects(boxes)
    return Fanova(main / variance, total / variance, _pair_effects(boxes, main) / variance, tree_main, forest.oob_score_)


def _cells(X: NDArray[np.float64], is_categorical: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """X as numbers of cells (n, k), and how many cells each column has."""
    cells = np.empty(X.shape, dtype=np.float32)
    n_cells = np.empty(X.shape[1], dtype=np.int64)
    for k, (x, categorical) in enumerate(zip(X.T, is_categorical, strict=True)):
        levels, codes = np.unique(x, return_inverse=True)
        if not categorical and len(levels) > N_CELLS:
            codes = np.minimum((x - levels[0]) / (levels[-1] - levels[0]) * N_CELLS, N_CELLS - 1).astype(int)
        cells[:, k] = codes
        n_cells[k] = min(len(levels), N_CELLS) if not categorical else len(levels)
    return cells, n_cells


def leaf_boxes(forest: RandomForestRegressor, n_cells: NDArray[np.int64]) -> Boxes:
    """The leaves of a forest that was fitted to cell numbers."""
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
    return Boxes(*(np.concatenate(part) for part in zip(*parts, strict=True)), n_cells, len(forest.estimators_))


def _main_effects(boxes: Boxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances (k,) of the forest's marginal predictions, and shares (trees, k) of each tree's."""
    share = (boxes.high - boxes.low) / boxes.n_cells
    volume = share.prod(axis=1)
    mean = np.bincount(boxes.tree, boxes.value * volume, boxes.n_trees)
    variance = np.bincount(boxes.tree, boxes.value**2 * volume, boxes.n_trees) - mean**2
    main, tree_main = np.empty(len(boxes.n_cells)), np.empty((boxes.n_trees, len(boxes.n_cells)))
    for k, n_cells in enumerate(boxes.n_cells):
        mass = boxes.value * volume / share[:, k]
        start = boxes.tree * (n_cells + 1)
        steps = np.bincount(start + boxes.low[:, k], mass, boxes.n_trees * (n_cells + 1))
        steps -= np.bincount(start + boxes.high[:, k], mass, boxes.n_trees * (n_cells + 1))
        marginal = steps.reshape(boxes.n_trees, -1).cumsum(axis=1)[:, :-1]
        main[k] = marginal.mean(axis=0).var()
        tree_main[:, k] = np.divide(marginal.var(axis=1), variance, where=variance > 0, out=np.zeros(boxes.n_trees))
    return main, tree_main


def _pair_effects(boxes: Boxes, main: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, k) variances that the joint marginal predictions of two columns have beyond the single ones."""
    share = (boxes.high - boxes.low) / boxes.n_cells
    volume = share.prod(axis=1)
    effects = np.diag(main)
    for i, j in zip(*np.triu_indices(len(main), 1), strict=True):
        shape = boxes.n_cells[[i, j]] + 1
        mass = boxes.value * volume / (share[:, i] * share[:, j]) / boxes.n_trees
        steps = np.zeros(shape.prod())
        for a, b, sign in ((0, 0, 1), (0, 1, -1), (1, 0, -1), (1, 1, 1)):
            corner = np.where(a, boxes.high[:, i], boxes.low[:, i]) * shape[1]
            corner += np.where(b, boxes.high[:, j], boxes.low[:, j])
            steps += sign * np.bincount(corner, mass, shape.prod())
        joint = steps.reshape(shape).cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
        effects[i, j] = effects[j, i] = joint.var() - main[i] - main[j]
    return effects


def _total_effects(
    forest: RandomForestRegressor, n_cells: NDArray[np.int64], seed: int
) -> tuple[float, NDArray[np.float64]]:
    """Variance of the forest's prediction and of each column's total effect in it: E[(f(x) - f(x, k redrawn))^2] / 2."""
    k = len(n_cells)
    points = qmc.Sobol(2 * k, rng=np.random.default_rng(seed)).random_base2(LOG2_POINTS)
    A, B = (np.floor(half * n_cells).astype(np.float32) for half in np.hsplit(points, 2))
    redrawn = np.repeat(A[None], k, axis=0)
    redrawn[np.arange(k), :, np.arange(k)] = B.T
    f = forest.predict(np.concatenate([A, B, *redrawn])).reshape(k + 2, -1)
    return f[:2].var(), ((f[0] - f[2:]) ** 2).mean(axis=1) / 2
