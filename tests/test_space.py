"""The papers' search spaces, sampling from them, and configurations as numbers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy import stats

from gsos.cnn import build_cnn
from gsos.space import (
    ASSESSED,
    DEFAULTS,
    GROUPS,
    SPACES,
    check_config,
    decode,
    divide_widths,
    encode,
    from_unit,
    grid,
    is_active,
    is_ordered,
    middle,
    sample,
    to_unit,
)

NAMES = list(SPACES)
SEEDS = st.integers(0, 2**32 - 1)
DIMENSIONS = [(space, name) for space in SPACES for name in SPACES[space]]

# What the papers print, typed from their tables; only "log" is ours (the tables do not say).
HIA_TABLE_1 = {
    "batch_size": [32, 64, 128, 256],
    "dropout_rate": (0.0, 0.9),
    "epoch": (1, 10),
    "kernel": (2, 3),
    "lr": (1e-6, 1e-1, "log"),
    "num_conv_layers": (1, 3),
    "num_fc_units": (8, 256, "log"),
    "optimizer": ["Adam", "SGD"],
    "padding": (0, 1),
    "stride": (1, 2),
    "num_filters_1": (4, 64, "log"),
    "num_filters_2": (4, 64, "log"),
    "num_filters_3": (4, 64, "log"),
}
GSOS_TABLE_1 = {
    "num_conv_layers": (2, 4),
    "lr": (1e-5, 1.0, "log"),
    "dropout_rate": (0.0, 0.9),
    "optimizer": ["adam", "sgd"],
    "epoch": (10, 100),
    "stride": (1, 2),
    "padding": ["valid", "same"],
    "kernel": [3, 5],
    "num_fc_units": (64, 256),
    "batch_size": [32, 64, 128, 256],
}
HGD_TABLE_2_FIRST = {
    "num_filters_1": [4, 8, 16, 32, 64, 128, 256, 512],
    "num_filters_2": [4, 8, 16, 32, 64, 128, 256, 512],
    "num_filters_3": [4, 8, 16, 32, 64, 128, 256, 512],
    "num_fc_units_1": [128, 256, 512, 1024, 2048],
    "num_fc_units_2": [32, 64, 128, 256],
    "batch_size": [4, 8, 16, 32, 64],
    "momentum": (0.7, 0.99),
    "lr": (1e-5, 0.2),
}
HGD_TABLE_2_SECOND = {
    "num_filters_1": [8, 16, 32, 64, 128],
    "num_filters_2": [32, 64, 128, 256, 512, 1024, 2048],
    "num_filters_3": [64, 128, 256, 512, 1024, 2048, 4096],
    "num_fc_units_1": [64, 128, 256, 512, 1024, 2048, 4096],
    "num_fc_units_2": [32, 64, 128, 256, 512, 1024, 2048],
    "batch_size": [32, 64, 128, 256],
    "momentum": (0.7, 0.99),
    "lr": (1e-5, 0.2),
}
TABLES = dict(zip(NAMES, (HIA_TABLE_1, GSOS_TABLE_1, HGD_TABLE_2_FIRST, HGD_TABLE_2_SECOND), strict=True))


def distribution(cell):
    if isinstance(cell, list):
        return CategoricalDistribution(cell)
    low, high, *log = cell
    return (IntDistribution if isinstance(low, int) else FloatDistribution)(low, high, log=bool(log))


def values(distribution):
    """Every value of a distribution with levels, and 50 of a float's."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return list(choices)
        case IntDistribution(low=low, high=high, step=step):
            return list(range(low, high + 1, step))
        case FloatDistribution(low=low, high=high, log=True):
            return np.geomspace(low, high, 50).tolist()
    return np.linspace(distribution.low, distribution.high, 50).tolist()


def samples(space, n, seed):
    rng = np.random.default_rng(seed)
    return [sample(space, rng) for _ in range(n)]


def as_frame(configs, space):
    return pd.DataFrame(configs, columns=list(space))


@pytest.mark.parametrize("name", NAMES)
def test_spaces_are_the_tables_of_the_papers(name):
    assert SPACES[name] == {key: distribution(cell) for key, cell in TABLES[name].items()}


def test_defaults_are_the_tables_of_the_papers():
    hia = {"batch_size": 32, "dropout_rate": 0.5, "epoch": 2, "kernel": 2, "lr": 1e-2, "num_conv_layers": 2}
    hia |= {"num_fc_units": 32, "optimizer": "Adam", "padding": 0, "stride": 1}
    assert DEFAULTS["hia"] == hia | {"num_filters_1": 16, "num_filters_2": 16, "num_filters_3": 16}
    gsos = {"num_conv_layers": 3, "lr": 0.01, "dropout_rate": 0.0, "optimizer": "adam", "epoch": 10, "stride": 1}
    gsos |= {"padding": "same", "kernel": 3, "num_fc_units": 64, "batch_size": 32}
    assert {name: DEFAULTS["gsos"][name] for name in SPACES["gsos"]} == gsos


@pytest.mark.parametrize("name", NAMES)
def test_defaults_cover_their_space_lie_in_it_and_build_a_network(name):
    default, space = DEFAULTS[name], SPACES[name]
    assert set(space) <= set(default)
    check_config({key: default[key] for key in space}, space)
    linear = build_cnn(default, (3, 32, 32), 10)[-1]
    assert linear.out_features == 10


@pytest.mark.parametrize(
    ("name", "by_hand"),  # HGD T2 / 16, none below 4, each once
    [
        ("hgd-cifar10", [[4, 8, 16, 32]] * 3 + [[8, 16, 32, 64, 128], [4, 8, 16]]),
        (
            "hgd-cifar100",
            [[4, 8], [4, 8, 16, 32, 64, 128], [4, 8, 16, 32, 64, 128, 256]]
            + [[4, 8, 16, 32, 64, 128, 256], [4, 8, 16, 32, 64, 128]],
        ),
    ],
)
def test_widths_are_divided_and_nothing_else(name, by_hand):
    space, defaults = divide_widths(SPACES[name], DEFAULTS[name], 16)
    widths = ["num_filters_1", "num_filters_2", "num_filters_3", "num_fc_units_1", "num_fc_units_2"]
    assert [list(space[key].choices) for key in widths] == by_hand
    assert [defaults[key] for key in widths] == [max(4, DEFAULTS[name][key] // 16) for key in widths]
    check_config({key: defaults[key] for key in space}, space)
    assert list(space) == list(SPACES[name]) and list(defaults) == list(DEFAULTS[name])
    assert all(space[key] == SPACES[name][key] for key in space if key not in widths)
    assert all(defaults[key] == DEFAULTS[name][key] for key in defaults if key not in widths)
    assert divide_widths(SPACES[name], DEFAULTS[name], 1) == (SPACES[name], DEFAULTS[name])
    narrowest, _ = divide_widths(SPACES[name], DEFAULTS[name], 5000)
    assert {narrowest[key].choices for key in widths} == {(4,)}


def test_a_divisor_of_widths_is_at_least_one():
    with pytest.raises(ValueError, match="divisor must be at least 1, not 0"):
        divide_widths(SPACES["hgd-cifar10"], DEFAULTS["hgd-cifar10"], 0)


def test_groups_are_a_partition_of_their_space():
    for groups in GROUPS.values():
        members = [member for group in groups for member in group]
        assert sorted(members) == sorted(SPACES["gsos"]) and [len(group) for group in groups] == [3, 4, 3]


def test_assessed_are_the_eleven_of_hia_table_3():
    order = (
        "num_conv_layers lr dropout_rate optimizer epoch stride in_channel_num padding kernel num_fc_units batch_size"
    )
    assert list(ASSESSED) == order.split()
    assert values(ASSESSED["in_channel_num"]) == [1, 3]
    assert all(ASSESSED[name] is SPACES["hia"][name] for name in ASSESSED if name != "in_channel_num")


def test_only_categories_that_are_not_numbers_lack_an_order():
    unordered = {space: [name for name, d in SPACES[space].items() if not is_ordered(d)] for space in SPACES}
    assert unordered == {"hia": ["optimizer"], "gsos": ["optimizer", "padding"], "hgd-cifar10": [], "hgd-cifar100": []}
    assert not is_ordered(CategoricalDistribution([False, True])) and is_ordered(CategoricalDistribution([0.5, 1]))
    for space in SPACES.values():
        _, is_categorical = encode(as_frame(samples(space, 2, 0), space), space)
        assert is_categorical.dtype == bool
        assert [name for name, flag in zip(space, is_categorical, strict=True) if flag] == [
            name for name, d in space.items() if not is_ordered(d)
        ]


def test_filters_exist_where_their_layer_does():
    two = {"num_conv_layers": 2}
    assert [is_active(f"num_filters_{i}", two) for i in (1, 2, 3)] == [True, True, False]
    assert is_active("num_filters_3", {}) and is_active("num_fc_units_2", two | {"num_conv_layers": 1})


@pytest.mark.parametrize("name", NAMES)
def test_samples_lie_in_the_space_and_hold_what_exists(name):
    space = SPACES[name]
    for config in samples(space, 50, 1):
        check_config(config, space)
        assert list(config) == [key for key in space if is_active(key, config)]
        assert all(type(value) in (int, float, str) for value in config.values())


@pytest.mark.parametrize("name", NAMES)
def test_samples_of_floats_are_uniform_on_their_scale(name):
    space = SPACES[name]
    frame = as_frame(samples(space, 1500, 2), space)
    for key in (key for key, d in space.items() if isinstance(d, FloatDistribution)):
        low, high, *log = TABLES[name][key]
        x, low, high = (np.log10(v) if log else v for v in (frame[key], low, high))
        assert stats.kstest(x, "uniform", (low, high - low)).pvalue > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_samples_of_levels_are_equally_likely_unless_log(name):
    space = SPACES[name]
    frame = as_frame(samples(space, 3000, 3), space)
    for key, d in space.items():
        if isinstance(d, FloatDistribution) or getattr(d, "log", False):
            continue
        counts = frame[key].value_counts().reindex(values(d), fill_value=0)
        assert stats.chisquare(counts).pvalue > 1e-3


def test_samples_of_log_integers_have_the_share_of_their_interval():
    d = IntDistribution(4, 64, log=True)
    counts = pd.Series([c["n"] for c in samples({"n": d}, 20_000, 4)]).value_counts().reindex(range(4, 65))
    v = np.arange(4, 65)
    share = np.log((v + 0.5) / (v - 0.5)) / np.log(64.5 / 3.5)
    assert share.sum() == pytest.approx(1)
    assert stats.chisquare(counts, share * 20_000).pvalue > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_samples_follow_their_seed_and_leave_the_global_state_alone(name):
    state = np.random.get_state()[1].copy()
    first = samples(SPACES[name], 5, 7)
    assert np.array_equal(np.random.get_state()[1], state)
    assert samples(SPACES[name], 5, 7) == first != samples(SPACES[name], 5, 8)


def test_a_sample_takes_one_number_for_each_hyperparameter_even_if_inactive():
    class Counting:
        drawn = 0

        def random(self, n):
            self.drawn += n
            return np.zeros(n)

    rng = Counting()
    config = sample(SPACES["hia"], rng)
    assert config["num_conv_layers"] == 1 and "num_filters_2" not in config
    assert rng.drawn == 13


@pytest.mark.parametrize(("space", "name"), DIMENSIONS)
def test_every_value_survives_the_unit_cube(space, name):
    one = {name: SPACES[space][name]}
    for value in values(one[name]):
        position = to_unit({name: value}, one)
        assert position.shape == (1,) and 0 <= position[0] <= 1
        again = from_unit({name: position[0]}, one)[name]
        assert again == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value)
        assert type(again) is type(value)


@pytest.mark.parametrize(("space", "name"), DIMENSIONS)
def test_the_ends_of_the_unit_interval_are_the_first_and_last_value(space, name):
    d = SPACES[space][name]
    ends = [from_unit({name: end}, {name: d})[name] for end in (0.0, 1.0)]
    first, last = values(d)[0], values(d)[-1]
    assert ends == (pytest.approx([first, last], rel=1e-12) if isinstance(d, FloatDistribution) else [first, last])


def test_levels_own_equal_intervals_with_their_position_in_the_middle():
    space = {"n": IntDistribution(1, 3), "c": CategoricalDistribution(["a", "b"]), "odd": IntDistribution(1, 3, step=2)}
    middle = {"n": (1 / 6, 3 / 6, 5 / 6), "c": (1 / 4, 3 / 4), "odd": (1 / 4, 3 / 4)}
    for name, d in space.items():
        assert [to_unit({name: v}, {name: d})[0] for v in values(d)] == pytest.approx(middle[name])
    assert from_unit({"n": 0.333, "c": 0.499, "odd": 0.499}, space) == {"n": 1, "c": "a", "odd": 1}
    assert from_unit({"n": 0.334, "c": 0.501, "odd": 0.501}, space) == {"n": 2, "c": "b", "odd": 3}


def test_a_position_by_hand():
    space = {key: SPACES["hia"][key] for key in ("lr", "dropout_rate", "num_filters_1", "num_conv_layers")}
    config = {"lr": 1e-3, "dropout_rate": 0.3, "num_filters_1": 16, "num_conv_layers": 2}
    # log(1e3)/log(1e5), 0.3/0.9, log(16/3.5)/log(64.5/3.5), (2 - 0.5)/3
    assert to_unit(config, space) == pytest.approx([0.6, 1 / 3, 1.519826 / 2.913902, 0.5], rel=1e-6)


def test_the_middle_by_hand():
    space = {
        "lr": FloatDistribution(1e-6, 1e-2, log=True),
        "dropout": FloatDistribution(-1.0, 4.0),
        "units": IntDistribution(8, 256, log=True),
        "epoch": IntDistribution(1, 9),
        "batch": CategoricalDistribution([4, 16, 64]),
        "name": CategoricalDistribution(["a", "b"]),
    }
    found = [middle(space, np.random.default_rng(seed)) for seed in range(20)]
    for config in found:
        assert config == {"lr": pytest.approx(1e-4), "dropout": 1.5, "epoch": 5, "batch": 16} | {
            "units": 44,  # sqrt(7.5 * 256.5) = 43.9
            "name": config["name"],
        }
    assert {config["name"] for config in found} == {"a", "b"}
    assert found[3] == middle(space, np.random.default_rng(3))
    assert "num_filters_3" not in middle(SPACES["hia"], np.random.default_rng(0))  # two layers of one to three


def test_what_does_not_exist_has_no_position():
    space = SPACES["hia"]
    config = {name: value for name, value in DEFAULTS["hia"].items() if name != "num_filters_3"}
    position = dict(zip(space, to_unit(config, space), strict=True))
    assert [name for name in space if np.isnan(position[name])] == ["num_filters_3"]
    assert "num_filters_3" not in from_unit(position | {"num_filters_3": 0.5}, space)


@given(name=st.sampled_from(NAMES), log=st.booleans(), seed=SEEDS, n=st.integers(1, 12), none=st.booleans())
@example(name="hia", log=True, seed=0, n=12, none=True)
@settings(max_examples=60, deadline=None)
def test_decoding_inverts_encoding(name, log, seed, n, none):
    space = SPACES[name]
    configs = samples(space, n, seed)
    frame = as_frame(configs, space)
    frame = frame.astype(object).where(frame.notna(), None) if none else frame
    X, _ = encode(frame, space, log=log)
    assert X.shape == (n, len(space)) and X.dtype == np.float64
    again = decode(X, space, log=log)
    assert list(again) == list(space)
    for i, config in enumerate(configs):
        for j, key in enumerate(space):
            value = again[key].iloc[i]
            if key in config:
                assert value == (
                    pytest.approx(config[key], rel=1e-12) if isinstance(config[key], float) else config[key]
                )
            else:
                assert np.isnan(X[i, j]) and pd.isna(value)


def test_encoding_by_hand():
    space = {key: SPACES["hia"][key] for key in ("lr", "optimizer", "batch_size", "num_fc_units", "num_filters_2")}
    frame = pd.DataFrame(
        {
            "trial": [0, 1],  # more columns than the space are no matter
            "batch_size": [64, 256],
            "lr": [1e-3, 1e-1],
            "num_fc_units": [32, 8],
            "num_filters_2": [16, None],
            "optimizer": ["SGD", "Adam"],
        }
    )
    X, is_categorical = encode(frame, space)
    by_hand = [[-6.907755279, 1, 1, 3.465735903, 2.772588722], [-2.302585093, 0, 3, 2.079441542, np.nan]]
    np.testing.assert_allclose(X, by_hand, rtol=1e-9)
    raw, _ = encode(frame, space, log=False)
    np.testing.assert_array_equal(raw, [[1e-3, 1, 64, 32, 16], [1e-1, 0, 256, 8, np.nan]])
    assert is_categorical.tolist() == [False, True, False, False, False]


def test_decoding_rounds_integers_and_takes_the_nearest_choice():
    space = {"n": IntDistribution(1, 3), "size": CategoricalDistribution([32, 64, 128])}
    frame = decode(np.array([[1.6, 90.0], [2.4, 100.0]]), space, log=False)
    assert frame.to_dict("list") == {"n": [2, 2], "size": [64, 128]}


def test_no_rows_and_no_columns_have_a_shape():
    space = SPACES["gsos"]
    assert encode(as_frame([], space), space)[0].shape == (0, 10)
    assert encode(pd.DataFrame(index=range(3)), {})[0].shape == (3, 0)


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0.2),
        ("lr", -1.0),
        ("lr", "fast"),
        ("optimizer", "adam"),
        ("batch_size", 48),
        ("num_filters_1", 65),
        ("stride", 0),
    ],
)
def test_encoding_refuses_a_value_outside_the_space(name, value, log):
    space = SPACES["hia"]
    configs = [DEFAULTS["hia"], DEFAULTS["hia"] | {name: value}]
    with pytest.raises(ValueError, match=f"{name} = {value!r} is outside of"):
        encode(as_frame(configs, space), space, log=log)


def test_encoding_refuses_a_missing_column():
    with pytest.raises(ValueError, match=r"lacks the hyperparameters \['lr', 'stride'\]"):
        encode(as_frame([DEFAULTS["hia"]], SPACES["hia"]).drop(columns=["lr", "stride"]), SPACES["hia"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", 0.2), ("lr", float("nan")), ("optimizer", "adam"), ("batch_size", 48), ("stride", 1.5), ("kernel", "2")],
)
def test_checking_names_what_is_outside(name, value):
    with pytest.raises(ValueError, match=f"{name} = {value!r} is outside of"):
        check_config(DEFAULTS["hia"] | {name: value}, SPACES["hia"])


def test_checking_names_what_is_unknown_or_missing():
    with pytest.raises(ValueError, match="unknown hyperparameter 'learning_rate'; the space has"):
        check_config(DEFAULTS["hia"] | {"learning_rate": 0.1}, SPACES["hia"])
    without = {name: value for name, value in DEFAULTS["hia"].items() if name != "num_filters_2"}
    with pytest.raises(ValueError, match="lacks 'num_filters_2'"):
        check_config(without, SPACES["hia"])
    assert check_config(without | {"num_conv_layers": 1}, SPACES["hia"]) is None


def test_checking_a_part_of_a_configuration():
    space = SPACES["hia"]
    assert check_config({}, space, partial=True) is check_config({"lr": 1e-3, "stride": 2}, space, partial=True) is None
    for wrong, message in (({"lr": 1.0}, "lr = 1.0 is outside of"), ({"depth": 1}, "unknown hyperparameter 'depth'")):
        with pytest.raises(ValueError, match=message):
            check_config(wrong, space, partial=True)
    with pytest.raises(ValueError, match="lacks 'num_conv_layers'"):
        check_config({"lr": 1e-3}, space)


LEVELLED = {
    **{f"{space} {name}": SPACES[space][name] for space, name in DIMENSIONS},
    "step": IntDistribution(1, 13, step=4),
    "long step": IntDistribution(-7, 20, step=9),
    "one": IntDistribution(5, 5),
    "thousand": IntDistribution(1, 1000),
}
LEVELLED = {key: d for key, d in LEVELLED.items() if not isinstance(d, FloatDistribution)}


@pytest.mark.parametrize(
    ("d", "centres", "edges"),
    [
        (CategoricalDistribution(["a", "b", "c", "d"]), [0.125, 0.375, 0.625, 0.875], [0.25, 0.5, 0.75]),
        (IntDistribution(1, 7, step=3), [1 / 6, 3 / 6, 5 / 6], [1 / 3, 2 / 3]),
        # log(1/.5), log(2/.5), log(3/.5) and log(1.5/.5), log(2.5/.5), each of log(3.5/.5)
        (IntDistribution(1, 3, log=True), [0.356207, 0.712414, 0.920782], [0.564575, 0.827087]),
        (IntDistribution(5, 5), [0.5], []),
    ],
)
def test_a_grid_by_hand(d, centres, edges):
    for ours, by_hand in zip(grid(d), (centres, edges), strict=True):
        np.testing.assert_allclose(ours, by_hand, rtol=1e-5)


@pytest.mark.parametrize("key", LEVELLED)
def test_a_grid_is_where_the_levels_are(key):
    d = LEVELLED[key]
    centres, edges = grid(d)
    assert (len(centres), len(edges)) == (len(values(d)), len(values(d)) - 1)
    assert centres.tolist() == [
        to_unit({"x": value}, {"x": d})[0] for value in values(d)
    ]  # equal: categories are counted
    assert (centres[:-1] < edges).all() and (edges < centres[1:]).all()


@given(key=st.sampled_from(list(LEVELLED)), seed=SEEDS)
@settings(max_examples=120, deadline=None)
def test_positions_between_the_bounds_of_a_grid_are_its_levels(key, seed):
    d = LEVELLED[key]
    centres, edges = grid(d)
    ends = [0.0, *edges, 1.0]
    near = [end + shift for end in ends for shift in (-1e-9, 1e-9) if 0 <= end + shift <= 1]
    for position in [*np.random.default_rng(seed).random(50).tolist(), *near[:200], 0.0, 1.0]:
        level = next(i for i, end in enumerate(ends[1:], 1) if position < end or i == len(centres)) - 1
        assert (
            from_unit({"x": position}, {"x": d})
            == {"x": values(d)[level]}
            == from_unit({"x": centres[level]}, {"x": d})
        )


def test_what_is_continuous_or_has_more_than_a_thousand_levels_has_no_grid():
    assert grid(FloatDistribution(0, 1)) is grid(SPACES["hia"]["lr"]) is None
    assert grid(IntDistribution(0, 1000)) is grid(IntDistribution(0, 10_000, step=10)) is None
    assert len(grid(IntDistribution(0, 9_990, step=10))[0]) == len(grid(IntDistribution(1, 1000))[0]) == 1000


@pytest.mark.parametrize("step", [0.1, 0.25])
def test_floats_with_a_step_lie_on_it(step):
    space = {"x": FloatDistribution(0.0, 1.0, step=step), "only": FloatDistribution(2.0, 2.0)}
    rng = np.random.default_rng(0)
    configs = [sample(space, rng) for _ in range(400)]
    for config in configs:
        check_config(config, space)
        position = to_unit(config, space)
        assert from_unit(dict(zip(space, position, strict=True)), space) == config
    values, counts = np.unique([config["x"] for config in configs], return_counts=True)
    np.testing.assert_allclose(values, np.arange(0, 1.01, step))
    assert stats.chisquare(counts).pvalue > 0.001  # each level alike
    centres, edges = grid(space["x"])
    np.testing.assert_allclose(centres, (values / step + 0.5) / len(values))
    np.testing.assert_allclose(edges, np.arange(1, len(values)) / len(values))
