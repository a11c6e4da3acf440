"""GSOS beside a literal transcription of Algorithm 2 and a trace by hand, and what each control changes."""

import ast
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gsos.blocks import BlockTPE
from gsos.space import DEFAULTS, GROUPS, SPACES, check_config, sample, to_unit
from gsos.strategy import (
    COST_WEIGHT,
    GSOS,
    STRATEGIES,
    Blocks,
    EpochSchedule,
    Simultaneous,
    check_groups,
    make,
    shuffled_groups,
    split_iterations,
    startups,
)
from gsos.tpe import TPE

SPACE, DEFAULT, THREE = SPACES["gsos"], DEFAULTS["gsos"], GROUPS["gsos"]
EXTRAS = {name: DEFAULT[name] for name in DEFAULT if name not in SPACE}
SMALL = {
    "a": IntDistribution(1, 9),
    "b": CategoricalDistribution(["x", "y"]),
    "c": IntDistribution(0, 2),
    "d": FloatDistribution(0.0, 1.0),
}
SMALL_DEFAULT = {"a": 2, "b": "x", "c": 0, "d": 0.5, "width": 16}
SMALL_GROUPS = [["a"], ["b", "c"], ["d"]]
SEEDS = st.integers(0, 2**32 - 1)
EVERY = pytest.mark.parametrize("name", STRATEGIES)


def loss(config):
    """Deterministic, best inside the space; large learning rates fail."""
    x = to_unit({name: config[name] for name in SPACE}, SPACE)
    return float("nan") if config["lr"] > 0.3 else float(((x - 0.4) ** 2 * np.arange(1, 11)).sum())


def play(strategy, n, loss=loss):
    """n proposals, each told."""
    proposals = []
    for _ in range(n):
        proposals.append(strategy.ask())
        strategy.tell(proposals[-1], loss(proposals[-1]))
    return proposals


def strategy(name, n_iterations=20, seed=0):
    return make(name, SPACE, DEFAULT, groups=THREE, n_iterations=n_iterations, seed=seed)


def facts(proposals):
    """What is compared: a Proposal equals another one with the same values, whatever its origin."""
    return [(dict(proposal), proposal.origin, proposal.group) for proposal in proposals]


def varied(proposals):
    return {name for name in SPACE if len({proposal[name] for proposal in proposals}) > 1}


# Algorithm 2.


def test_a_trace_of_algorithm_2_by_hand():
    gsos = GSOS(SMALL, SMALL_GROUPS, [3, 2, 2], SMALL_DEFAULT, seed=0)
    # (evaluated, its loss), and what the group after it holds fixed; losses of earlier groups do not count
    trace = [
        ({"a": 1}, 0.5, 0, "startup", {"b": "x", "c": 0, "d": 0.5}),
        ({"a": 4}, 0.3, 0, "model", {"b": "x", "c": 0, "d": 0.5}),
        ({"a": 3}, 0.3, 0, "model", {"b": "x", "c": 0, "d": 0.5}),  # a tie: the earlier value is the best
        ({"b": "y", "c": 1}, 0.4, 1, "startup", {"a": 4, "d": 0.5}),
        ({"b": "x", "c": 2}, 0.9, 1, "model", {"a": 4, "d": 0.5}),
        ({"d": 0.1}, np.nan, 2, "startup", {"a": 4, "b": "y", "c": 1}),
        ({"d": 0.2}, -np.inf, 2, "fallback", {"a": 4, "b": "y", "c": 1}),
    ]
    for i, (evaluated, value, group, origin, fixed) in enumerate(trace):
        proposal = gsos.ask()
        assert (proposal.group, proposal.origin) == (group, origin), i
        assert {name: proposal[name] for name in fixed} == fixed and proposal["width"] == 16, i
        if origin == "startup":
            own = {name: SMALL[name] for name in SMALL_GROUPS[group]}
            assert proposal == proposal | sample(own, np.random.default_rng([0, i]))
        gsos.tell(SMALL_DEFAULT | evaluated, value)
    assert gsos.current == {"a": 4, "b": "y", "c": 1, "d": 0.5, "width": 16}  # all of d's losses failed: its default
    with pytest.raises(ValueError, match="all 7 iterations of the groups are done"):
        gsos.ask()


def algorithm_2(f, P, m, n, x_default, seed):
    """Line by line, with TPE as Algorithm 1; n: random starts of each group. Every x evaluated, and x_optimal."""
    x_current, evaluated = x_default, []
    for P_k, m_k, n_k in zip(P, m, n, strict=True):
        tpe = TPE(P_k, n_startup=n_k, seed=seed, first=len(evaluated))
        best = np.inf
        for _ in range(m_k):
            x = tpe.ask()
            y = f(x_current | x)
            tpe.tell(x, y)
            evaluated.append(x_current | x)
            if y < best:
                best, x_star = y, x
        x_current = x_current | x_star
    return evaluated, x_current


@pytest.mark.parametrize(("m", "n"), [([40, 30, 30], [15, 10, 10]), ([8, 6, 6], [3, 2, 2]), ([3, 20, 1], [1, 7, 1])])
def test_gsos_is_algorithm_2(m, n):
    gsos = GSOS(SPACE, THREE, m, DEFAULT, seed=1)
    proposals = play(gsos, sum(m))
    groups = [{name: SPACE[name] for name in group} for group in THREE]
    assert (proposals, gsos.current) == algorithm_2(loss, groups, m, n, DEFAULT, 1)
    assert [proposal.group for proposal in proposals] == [k for k in range(3) for _ in range(m[k])]
    for k in range(3):
        origins = [proposal.origin for proposal in proposals if proposal.group == k]
        assert origins[: n[k]] == ["startup"] * n[k] and "startup" not in origins[n[k] :]


def test_only_the_group_in_turn_varies():
    proposals = play(strategy("gsos", 100), 100)
    for k, group in enumerate(THREE):
        assert varied([proposal for proposal in proposals if proposal.group == k]) == set(group)


@pytest.mark.parametrize("seed", [0, 1])
def test_one_group_is_the_simultaneous_strategy(seed):
    gsos = play(GSOS(SPACE, [list(SPACE)], [40], DEFAULT, seed=seed), 40)
    simultaneous = play(Simultaneous(SPACE, 40, DEFAULT, seed=seed), 40)
    assert gsos == simultaneous and [p.origin for p in gsos] == [p.origin for p in simultaneous]
    assert {p.group for p in gsos} == {0} and {p.group for p in simultaneous} == {None}


def test_the_simultaneous_strategy_is_tpe_on_the_whole_space():
    tpe = TPE(SPACE, n_startup=8, seed=2)
    expected = play(tpe, 20)
    proposals = play(strategy("simultaneous", 20, 2), 20)
    assert proposals == [DEFAULT | config for config in expected]
    assert [p.origin for p in proposals] == [p.origin for p in expected] == ["startup"] * 8 + ["model"] * 12


def test_a_group_whose_losses_all_failed_keeps_the_defaults():
    for bad in (np.nan, np.inf, -np.inf):
        gsos = GSOS(SPACE, THREE, [4, 3, 3], DEFAULT, seed=3)
        proposals = play(gsos, 10, lambda config, bad=bad: bad)
        assert gsos.current == DEFAULT
        assert {p.origin for p in proposals} == {"startup", "fallback"}


def test_the_callers_arguments_stay_as_they_are():
    groups, iterations, defaults = [list(group) for group in THREE], [4, 3, 3], dict(DEFAULT)
    for made in (GSOS, EpochSchedule):
        play(made(SPACE, groups, iterations, defaults, seed=4), 10)
    play(make("top epoch", SPACE, defaults, groups=groups, n_iterations=10, seed=4), 10)
    assert (groups, iterations, defaults) == (THREE, [4, 3, 3], DEFAULT)


# The controls.


@pytest.mark.parametrize(("name", "cost_weight"), [("blocks", 0.0), ("blocks cost", COST_WEIGHT)])
def test_blocks_are_block_tpe_on_the_whole_space_from_the_defaults(name, cost_weight):
    def cost(config):
        return config["epoch"] / config["batch_size"]

    blocks = strategy(name, 30, 3)
    tpe = BlockTPE(SPACE, default={key: DEFAULT[key] for key in SPACE}, cost_weight=cost_weight, seed=3)
    for i in range(30):
        proposal, expected = blocks.ask(), tpe.ask()
        assert facts([proposal]) == [(EXTRAS | expected, "startup" if i < 10 else "model", None)]
        assert i > 0 or proposal == DEFAULT
        blocks.tell(proposal, loss(proposal), cost(proposal))
        tpe.tell(expected, loss(proposal), cost(proposal))


def test_blocks_weigh_costs_where_their_name_says_so():
    runs = {}
    for name in ("blocks", "blocks cost"):
        runs[name] = [strategy(name, 30, 4), strategy(name, 30, 4)]
        for told in runs[name]:
            for i in range(20):
                config = DEFAULT | sample(SPACE, np.random.default_rng(i))
                told.tell(config, loss(config), config["epoch"] if told is runs[name][0] else None)
    with_costs, without = ([dict(pair[i].ask()) for pair in runs.values()] for i in (0, 1))
    assert with_costs[0] == without[0] == without[1] != with_costs[1]


def test_random_search_is_the_space_alone():
    proposals = play(strategy("random", seed=5), 12)
    for i, proposal in enumerate(proposals):
        assert proposal == EXTRAS | sample(SPACE, np.random.default_rng(np.random.SeedSequence([5, i])))
        assert (proposal.origin, proposal.group) == ("random", None)


def epoch_schedule(f, free, n, seed, name="epoch"):
    """TPE on the whole space in a loop, one hyperparameter overruled in the trials that are not `free`."""
    tpe, value, best, evaluated = TPE(SPACE, n_startup=startups(n, 0), seed=seed), DEFAULT[name], np.inf, []
    for i in range(n):
        x = DEFAULT | tpe.ask() | ({} if i in free else {name: value})
        y = f(x)
        tpe.tell({key: x[key] for key in SPACE if key != name or i in free}, y)
        if i in free and y < best:
            best, next_value = y, x[name]
        value = next_value if i + 1 == free[-1] + 1 else value
        evaluated.append(x)
    return evaluated


@pytest.mark.parametrize(("name", "free"), [("epoch", range(8, 14)), ("lr", range(8)), ("kernel", range(14, 20))])
def test_the_epoch_schedule_frees_one_hyperparameter_when_gsos_does(name, free):
    proposals = play(EpochSchedule(SPACE, THREE, [8, 6, 6], DEFAULT, seed=6, name=name), 20)
    assert proposals == epoch_schedule(loss, free, 20, 6, name)
    freed = [i for i, p in enumerate(play(strategy("gsos"), 20)) if name in THREE[p.group]]
    assert freed == list(free)
    before, during, after = proposals[: free[0]], proposals[free[0] : free[-1] + 1], proposals[free[-1] + 1 :]
    best = min((p for p in during if loss(p) == loss(p)), key=loss)[name]
    assert {p[name] for p in before} <= {DEFAULT[name]} and {p[name] for p in after} <= {best}
    assert len({p[name] for p in during}) > 1
    assert varied(proposals) == set(SPACE) and {p.group for p in proposals} == {None}
    assert [p.origin for p in proposals] == ["startup"] * 8 + ["model"] * 12


def test_epochs_keep_their_default_where_all_losses_of_their_turn_failed():
    schedule, evaluated = strategy("epoch schedule"), []
    for i in range(20):
        evaluated.append(schedule.ask())
        schedule.tell(evaluated[-1], -np.inf if 8 <= i < 14 else loss(evaluated[-1]))
    assert {p["epoch"] for p in evaluated[14:]} == {10} != {p["epoch"] for p in evaluated[8:14]}


def test_the_epoch_schedule_made_by_name_is_that_of_the_shares():
    schedule = EpochSchedule(SPACE, THREE, [40, 30, 30], DEFAULT, seed=7)
    assert facts(play(strategy("epoch schedule", 100, 7), 100)) == facts(play(schedule, 100))


@pytest.mark.parametrize(
    ("name", "groups", "defaults"),
    [
        ("gsos", THREE, {}),
        ("reversed order", [THREE[2], THREE[1], THREE[0]], {}),
        ("random groups", shuffled_groups(THREE, 8), {}),
        ("calibrated groups", GROUPS["calibrated"], {}),
        ("middle epoch", THREE, {"epoch": 55}),
        ("top epoch", THREE, {"epoch": 100}),
    ],
)
def test_the_controls_are_gsos_but_for_what_their_name_says(name, groups, defaults):
    proposals = play(strategy(name, 40, 8), 40)
    expected = play(GSOS(SPACE, groups, [16, 12, 12], DEFAULT | defaults, seed=8), 40)
    assert facts(proposals) == facts(expected)
    assert varied(proposals[:16]) == set(groups[0])
    assert all(p[name] == (DEFAULT | defaults)[name] for p in proposals[:16] for name in SPACE if name not in groups[0])


def test_random_groups_are_a_partition_of_the_same_sizes():
    shuffled = [shuffled_groups(THREE, seed) for seed in range(20)]
    for groups in shuffled:
        assert [len(group) for group in groups] == [3, 4, 3]
        assert sorted(name for group in groups for name in group) == sorted(SPACE)
        assert all(type(name) is str for group in groups for name in group)
    assert len({tuple(map(tuple, groups)) for groups in shuffled}) == 20
    assert shuffled_groups(THREE, 3) == shuffled[3]
    assert {groups[0][0] for groups in shuffled} - set(THREE[0])


def test_startups_by_hand():
    of_100 = [startups(100, 0), *(startups(m, k) for k, m in enumerate([40, 30, 30]))]
    assert of_100 == [15, 15, 10, 10]
    assert [startups(m, 0) for m in (1, 2, 8, 16, 39, 41, 1000)] == [1, 1, 3, 6, 15, 15, 15]
    assert [startups(m, 1) for m in (1, 2, 6, 12, 44, 46, 1000)] == [1, 1, 2, 4, 15, 15, 15]


def test_iterations_are_shared_four_to_three_to_three():
    assert split_iterations(100) == [40, 30, 30] and split_iterations(40) == [16, 12, 12]
    assert split_iterations(3) == [1, 1, 1] and split_iterations(7, (1, 1)) in ([4, 3], [3, 4])


@given(n=st.integers(1, 2000), shares=st.sampled_from([(4, 3, 3), (1, 1), (1,), (5, 3, 1, 1)]))
@settings(max_examples=60, deadline=None)
def test_shared_iterations_sum_to_all_of_them(n, shares):
    exact = [n * share / sum(shares) for share in shares]
    try:
        iterations = split_iterations(n, shares)
    except ValueError:
        assert min(exact) < 1
        return
    assert sum(iterations) == n and min(iterations) >= 1
    assert all(abs(m - share) <= 1 for m, share in zip(iterations, exact, strict=True))


# What all strategies have in common.


@EVERY
@given(seed=SEEDS)
@settings(max_examples=5, deadline=None)
def test_proposals_are_complete_and_lie_in_the_space(name, seed):
    for proposal in play(strategy(name, 20, seed), 20):
        check_config({key: value for key, value in proposal.items() if key not in EXTRAS}, SPACE)
        assert {key: proposal[key] for key in EXTRAS} == EXTRAS and set(proposal) == set(DEFAULT)


@EVERY
@given(seed=SEEDS, i=st.integers(0, 20))
@settings(max_examples=5, deadline=None)
def test_a_run_goes_on_as_it_would_have(name, seed, i):
    whole = play(strategy(name, 20, seed), 20)
    resumed = strategy(name, 20, seed)
    for proposal in whole[:i]:
        resumed.tell(dict(proposal), loss(proposal))
    assert facts(play(resumed, 20 - i)) == facts(whole[i:])


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("n_told", [0, 6])
def test_several_may_be_asked_before_they_are_told(name, n_told):
    asked_ahead = strategy(name)
    play(asked_ahead, n_told)
    assert len({tuple(asked_ahead.ask().items()) for _ in range(4)}) == 4


@EVERY
def test_proposals_follow_their_seed_and_not_the_global_state(name):
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    first = play(strategy(name, 20, 9), 20)
    assert np.array_equal(np.random.get_state()[1], state)
    np.random.seed(1)
    assert facts(play(strategy(name, 20, 9), 20)) == facts(first)
    assert play(strategy(name, 20, 10), 3) != first[:3]


FRESH = """
from gsos.space import DEFAULTS, GROUPS, SPACES
from gsos.strategy import STRATEGIES, make
for name in STRATEGIES:
    strategy = make(name, SPACES["gsos"], DEFAULTS["gsos"], groups=GROUPS["gsos"], n_iterations=20, seed=9)
    for i in range(20):
        config = strategy.ask()
        strategy.tell(config, abs(config["lr"] - 0.01) + config["epoch"] / 1000)
        print(repr((config, config.origin, config.group)))
"""


def test_a_fresh_process_proposes_the_same(capsys):
    exec(FRESH)
    here = capsys.readouterr().out.splitlines()
    environment = os.environ | {"PYTHONHASHSEED": "54321"}
    again = subprocess.run([sys.executable, "-c", FRESH], env=environment, capture_output=True, text=True, check=True)
    assert len(here) == 20 * len(STRATEGIES)
    assert list(map(ast.literal_eval, again.stdout.splitlines())) == list(map(ast.literal_eval, here))


# Errors.


@pytest.mark.parametrize(
    ("groups", "iterations", "message"),
    [
        (
            [["a", "e"], ["b", "c"], ["d"]],
            [1, 1, 1],
            r"groups have 'e', which is not in the space: \['a', 'b', 'c', 'd'\]",
        ),
        ([["a"], ["b", "c"]], [1, 1], "'d' is in no group; groups are"),
        ([["a", "b"], ["b", "c"], ["d"]], [1, 1, 1], "'b' is in a group more than once; groups are"),
        ([["a", "a"], ["b", "c"], ["d"]], [1, 1, 1], "'a' is in a group more than once; groups are"),
        ([["a", "b", "c", "d"], []], [1, 1], "group 1 is empty; groups are"),
        (SMALL_GROUPS, [3, 0, 2], r"one positive integer for each of 3 groups, not \[3, 0, 2\]"),
        (SMALL_GROUPS, [3, -1, 2], r"one positive integer for each of 3 groups, not \[3, -1, 2\]"),
        (SMALL_GROUPS, [3, 2.0, 2], r"one positive integer for each of 3 groups, not \[3, 2.0, 2\]"),
        (SMALL_GROUPS, [3, 2], r"one positive integer for each of 3 groups, not \[3, 2\]"),
        (SMALL_GROUPS, [3, 2, 1, 1], r"one positive integer for each of 3 groups, not \[3, 2, 1, 1\]"),
    ],
)
def test_groups_that_cannot_be_are_refused(groups, iterations, message):
    with pytest.raises(ValueError, match=message):
        check_groups(SMALL, groups, iterations)
    for made in (GSOS, EpochSchedule):
        with pytest.raises(ValueError, match=message):
            made(SMALL, groups, iterations, SMALL_DEFAULT, seed=0)


def test_iterations_may_be_numpys():
    assert check_groups(SMALL, SMALL_GROUPS, np.array([3, 2, 2])) is None


def test_defaults_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="a = 10 is outside of IntDistribution"):
        GSOS(SMALL, SMALL_GROUPS, [3, 2, 2], SMALL_DEFAULT | {"a": 10}, seed=0)
    with pytest.raises(ValueError, match="the configuration lacks 'c'"):
        GSOS(SMALL, SMALL_GROUPS, [3, 2, 2], {"a": 2, "b": "x", "d": 0.5}, seed=0)
    with pytest.raises(ValueError, match="the configuration lacks 'c'"):
        Blocks(SMALL, {"a": 2, "b": "x", "d": 0.5}, seed=0)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(
        ValueError,
        match="strategy must be one of gsos, simultaneous, .*, blocks, blocks cost, calibrated groups, not 'grid'",
    ):
        strategy("grid")
    with pytest.raises(ValueError, match=r"2 iterations are too few for groups with the shares \(4, 3, 3\)"):
        strategy("gsos", 2)
    with pytest.raises(ValueError, match=r"0 iterations are too few for groups with the shares \(1, 1\)"):
        split_iterations(0, (1, 1))


@pytest.mark.parametrize("name", ["gsos", "simultaneous", "epoch schedule", "blocks"])
def test_a_trial_outside_of_the_space_is_refused(name):
    tuned = strategy(name)
    asked = tuned.ask()
    with pytest.raises(ValueError, match="lr = 2.0 is outside of FloatDistribution"):
        tuned.tell(asked | {"lr": 2.0}, 0.0)


def test_the_control_needs_its_hyperparameter_and_its_default():
    space = {"epoch": IntDistribution(1, 9), "a": IntDistribution(1, 3)}
    arguments = [space, [["a"], ["epoch"]], [4, 4]]
    with pytest.raises(ValueError, match=r"name must be a hyperparameter of the space, \['epoch', 'a'\], not 'nope'"):
        EpochSchedule(*arguments, {"epoch": 1}, seed=0, name="nope")
    with pytest.raises(ValueError, match="the configuration lacks 'epoch'"):
        EpochSchedule(*arguments, {"a": 1}, seed=0)
    with pytest.raises(ValueError, match="epoch = 10 is outside of"):
        EpochSchedule(*arguments, {"epoch": 10}, seed=0)
    with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
        EpochSchedule(*arguments, {"epoch": 1}, seed=-1)


def test_gsos_told_more_than_its_iterations_is_done():
    gsos = GSOS({"a": IntDistribution(1, 9)}, [["a"]], [2], {"a": 1}, seed=0)
    for value in (1, 2, 3):
        gsos.tell({"a": value}, value)
    with pytest.raises(ValueError, match="all 2 iterations of the groups are done"):
        gsos.ask()


def test_a_filter_of_a_layer_that_is_not_there_is_not_told():
    strategy = Simultaneous(SPACES["hia"], 10, DEFAULTS["hia"], seed=0)
    configs = [strategy.ask() for _ in range(10)]
    few = [config for config in configs if config["num_conv_layers"] < 3]
    assert few and all("num_filters_3" not in config for config in few)


def test_errors_of_defaults_and_of_epochs_that_are_not_there():
    space = {"a": IntDistribution(1, 3)}
    with pytest.raises(ValueError, match="defaults: the configuration lacks 'a'"):
        GSOS(space, [["a"]], [3], {}, seed=0)
    with pytest.raises(ValueError, match="strategy 'middle epoch' needs the hyperparameter 'epoch'"):
        make("middle epoch", space, {"a": 1}, groups=[["a"]], n_iterations=10, seed=0)
    with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
        make("random", space, {}, groups=[["a"]], n_iterations=10, seed=-1)
