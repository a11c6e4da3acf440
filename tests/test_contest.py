"""Runs on problems whose every loss is known, records whoever makes them, and what each contestant is."""

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from gsos import contest
from gsos.contest import COLUMNS, NEED_NO_TRUTH, STRATEGIES, VARIANTS, cost_driver, open_problem, play, run_contest
from gsos.peers import OptunaTPE
from gsos.replay import Surface, Table
from gsos.space import middle, sample
from gsos.strategy import COST_WEIGHT
from gsos.tpe import TPE

ALL = STRATEGIES | VARIANTS
CHEAP = ["random", "blocks", "cost schedule"]


class Steps:
    """Ten configurations; the observed loss is the true one plus what is said of each of three seeds."""

    space, name, family = {"x": IntDistribution(0, 9)}, "steps", "made up"
    seeds, optimum, mean, mean_seconds = range(3), 1.0, 5.0, 4.0
    truths = [9.0, 8, 7, 6, 5, 4, 3, 2, 1, 5]

    def __init__(self, noise=(0.0, 0.0, 0.0)):
        self.noise, self.answers = noise, []

    def evaluate(self, config, seed):
        self.answers.append(seed)
        return self.truths[config["x"]] + self.noise[seed], 1.0 + config["x"]

    def truth(self, config):
        return self.truths[config["x"]]


class Scripted:
    """Proposes these values, one after the other, and keeps what it is told."""

    def __init__(self, values):
        self._values, self.told = iter(values), []

    def ask(self):
        return {"x": next(self._values)}

    def tell(self, config, loss, cost=None):
        self.told.append((config["x"], loss, cost))


def test_a_run_by_hand():
    strategy = Scripted([0, 3, 1, 9, 8, 2])
    regret, seconds = play(Steps(), strategy, 6, seed=0)
    # the true losses of the best so far are 9, 6, 6, 5, 1, 1; the least is 1 and the mean 5
    assert regret.tolist() == [2, 1.25, 1.25, 1, 0, 0]
    assert seconds.tolist() == [0.25, 1, 0.5, 2.5, 2.25, 0.75]
    assert strategy.told == [(0, 9.0, 1.0), (3, 6.0, 4.0), (1, 8.0, 2.0), (9, 5.0, 10.0), (8, 1.0, 9.0), (2, 7.0, 3.0)]


def test_regret_is_that_of_what_was_observed_as_best_and_of_ties_the_earlier():
    problem = Steps(noise=(0.0, -3.5, 3.0))
    values = [3, 5, 4, 2, 9, 4, 3, 2, 6, 6, 1, 0] * 2
    regret, _ = play(problem, Scripted(values), 24, seed=3)
    best, expected = np.inf, []
    for value, answer in zip(values, problem.answers, strict=True):
        loss = Steps.truths[value] + problem.noise[answer]
        if loss < best:
            best, chosen = loss, value
        expected.append((Steps.truths[chosen] - 1) / 4)
    assert regret.tolist() == expected and (np.diff(regret) > 0).any()  # noise misled it
    exact, _ = play(Steps(), Scripted([4, 9, 5, 4]), 4, seed=0)
    assert exact.tolist() == [1, 1, 0.75, 0.75]


def test_all_strategies_of_a_run_have_the_same_answers():
    seen = {}
    for seed in (0, 1):
        for values in ([1] * 60, list(range(10)) * 6):
            problem = Steps()
            play(problem, Scripted(values), 60, seed)
            assert seen.setdefault(seed, problem.answers) == problem.answers
    assert seen[0] != seen[1] and set(seen[0]) == {0, 1, 2}
    assert np.bincount(seen[0] + seen[1]).min() > 20
    shorter = Steps()
    play(shorter, Scripted([1] * 20), 20, 0)
    assert shorter.answers == seen[0][:20]


def test_surfaces_answer_with_noise_of_their_own_and_functions_without():
    noisy = open_problem("noisy 3")
    assert isinstance(noisy, Surface) and noisy.name == "noisy 3"
    config = middle(noisy.space, np.random.default_rng(0))
    told = []
    strategy = Scripted([0] * 30)
    strategy.ask, strategy.tell = lambda: config, lambda config, loss, cost: told.append(loss)
    regret, _ = play(noisy, strategy, 30, seed=0)
    assert len(set(told)) == 30 and set(regret) == {noisy.truth(config) - noisy.optimum} or np.ptp(regret) < 1e-12

    branin = open_problem("branin")
    assert (branin.family, branin.mean_seconds, branin.name) == ("function", 1.0, "branin")
    at = {"x0": 0.0, "x1": 0.0}
    assert branin.evaluate(at, 0) == (pytest.approx(55.602113), 1.0) and branin.truth(at) == pytest.approx(55.602113)
    strategy.ask = lambda: at
    regret, seconds = play(branin, strategy, 2, seed=0)
    assert regret == pytest.approx([55.602113 - 0.397887] * 2) and seconds.tolist() == [1, 1]


# What each contestant is.


@pytest.fixture(scope="module")
def australian():
    return Table("australian")


def configs_of(name, problem, n, seed):
    """What a contestant asks for, told the losses of the recorded seed 0."""
    strategy, configs = ALL[name].make(problem, n, seed), []
    for _ in range(n):
        configs.append(dict(strategy.ask()))
        strategy.tell(configs[-1], *problem.evaluate(configs[-1], 0))
    return configs


def test_every_contestant_plays_on_a_table_and_where_it_needs_no_truth_on_a_function(australian):
    branin = open_problem("branin")
    for name in ALL.keys() - {"cost schedule"}:
        assert len(configs_of(name, australian, 14, 0)) == 14
    for name in NEED_NO_TRUTH:
        assert len(configs_of(name, branin, 14, 0)) == 14
    assert set(NEED_NO_TRUTH) <= ALL.keys() and len({contestant.title for contestant in ALL.values()}) == len(ALL)


def varied(configs):
    return {name for name in configs[0] if len({config[name] for config in configs}) > 1}


def test_gsos_has_the_order_its_name_says(australian):
    # of main effects learning_rate_init has .54, batch_size .04, alpha .03, width .01 and depth .01: groups of 2, 2, 1
    true = [{"learning_rate_init", "batch_size"}, {"alpha", "width"}, {"depth"}]
    ends = {"gsos": (20, 35), "gsos reversed": (20, 35)}
    for name, groups in (("gsos", true), ("gsos reversed", true[::-1])):
        configs = configs_of(name, australian, 50, 1)
        first, second = ends[name]
        parts = configs[:first], configs[first:second], configs[second:]
        assert [varied(part) for part in parts] == groups
        start = middle(australian.space, np.random.default_rng([1, 1]))
        assert all(configs[0][name] == start[name] for name in australian.space.keys() - groups[0])
    orders = [[sorted(varied(configs_of("gsos random", australian, 50, s)[:20])) for s in range(8)] for _ in range(2)]
    assert orders[0] == orders[1] and {len(order) for order in orders[0]} == {2}
    assert len(set(map(tuple, orders[0]))) > 3


def test_peers_and_variants_are_what_their_names_say(australian):
    assert configs_of("optuna multivariate", australian, 14, 2) == play_with(
        OptunaTPE(australian.space, seed=2, multivariate=True), australian, 14
    )
    independent = TPE(australian.space, n_startup=10, quantile=0.1, seed=2)
    assert configs_of("independent", australian, 14, 2) == play_with(independent, australian, 14)
    first = {name: configs_of(name, australian, 1, 2)[0] for name in ("random", "blocks", "random default")}
    assert first["random"] == sample(australian.space, np.random.default_rng([2, 0]))
    assert first["blocks"] == middle(australian.space, np.random.default_rng(0))  # nothing is unordered
    assert first["random default"] == sample(australian.space, np.random.default_rng([2, 4]))
    runs = {name: configs_of(name, australian, 30, 2) for name in ("blocks", *VARIANTS)}
    assert not any(runs[name] == runs["blocks"] for name in VARIANTS if not name.startswith(("cost", "repeats")))
    kinds = {"quantile": "quantile", "starts": "n_startup", "bandwidth": "bandwidth", "cost": "cost_weight"}
    for name in VARIANTS:
        words = name.split()
        if words[0] in kinds or words[-1] in kinds:  # a kind and its number
            word, number = words if words[0] in kinds else words[::-1]
            assert ALL[name].make.keywords == {kinds[word]: float(number)}
    assert ALL["blocks cost"].make.keywords == {"cost_weight": COST_WEIGHT}
    weighted, reverse = (ALL[name].make(australian, 30, 0)._in_block for name in ("weights", "weights reversed"))
    assert list(australian.space)[weighted.argmax()] == "learning_rate_init" and weighted.argmin() == reverse.argmax()


def play_with(strategy, problem, n):
    configs = []
    for _ in range(n):
        configs.append(dict(strategy.ask()))
        strategy.tell(configs[-1], *problem.evaluate(configs[-1], 0))
    return configs


def test_repeats_are_what_blocks_do_not_propose():
    class Six(Steps):
        space = {"x": IntDistribution(0, 5)}

    for name, n_distinct in (("repeats", 5), ("blocks", 6)):
        found = [
            len({c["x"] for c in play_with(ALL[name].make(Six(), 6, seed), Six(noise=(0, 0, 0)), 6)})
            for seed in range(8)
        ]
        assert max(found) <= 6 and (min(found) == 6 if name == "blocks" else np.mean(found) < n_distinct)


# What drives the cost.


def made_up(seconds, **choices):
    """A table of these seconds, one axis a hyperparameter."""
    table = object.__new__(Table)
    table.space = {name: CategoricalDistribution(values) for name, values in choices.items()}
    table.seconds = np.asarray(seconds, dtype=float).reshape(2, -1)
    return table


def test_the_driver_of_costs_by_hand():
    # of log seconds b's mean effects (0, 1, 2 times log 10) have the variance 2/3, a's (0, 1/2) 1/16: 91 %
    log10 = np.array([[1.0, 0, 2], [1.5, 0.5, 2.5]])
    seconds = 10 ** np.stack([log10, log10])
    b = made_up(seconds, a=["x", "y"], b=[8, 16, 32])
    assert cost_driver(b) == ("b", 16)
    # over the seeds the mean counts: half of nothing and half of twice is the same
    assert cost_driver(made_up(seconds * [[[0.5]], [[1.5]]], a=["x", "y"], b=[8, 16, 32])) == ("b", 16)
    # two that count alike: neither has half and more; 49 % is not enough
    alike = 10.0 ** np.array([[0, 1], [0.99, 1.99]])
    assert cost_driver(made_up([alike, alike], a=[1, 2], b=[3, 4])) == ("b", 3)
    three = 10.0 ** np.add.outer([0, 1], [[0, 1], [1, 2]])
    assert cost_driver(made_up([three, three], a=[1, 2], b=[3, 4], c=[5, 6])) is None
    assert cost_driver(open_problem("branin")) is None and cost_driver(open_problem("additive 0")) is None


def test_the_driver_of_costs_of_tables(australian):
    assert cost_driver(Table("naval_propulsion")) == ("batch_size", 64)  # the largest batches are the cheapest
    assert cost_driver(Table("cifar10")) is None and cost_driver(australian) is None


def test_the_cost_schedule_begins_with_the_cheapest_value():
    problem = Table("naval_propulsion")
    groups = [group for group in contest.groups_of(problem.exact_importance().main)]
    turn = next(i for i, group in enumerate(groups) if "batch_size" in group)
    configs = configs_of("cost schedule", problem, 20, 3)
    before = {config["batch_size"] for config in configs[: (0, 8, 14)[turn]]}
    assert turn > 0 and before == {64} and len({config["batch_size"] for config in configs}) > 1


# Records.


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    store = tmp_path_factory.mktemp("contest")
    return run_contest(["australian", "branin"], CHEAP, range(5, 8), n=12, store=store, workers=2), store


def test_records_have_the_columns_and_a_row_an_evaluation(records):
    frame, store = records
    assert list(frame) == list(COLUMNS)
    runs = frame.groupby(["problem", "strategy", "seed"], observed=True)
    assert runs.evaluation.apply(list).tolist() == [list(range(1, 13))] * 12  # no cost schedule: there is no driver
    assert set(frame.strategy) == {"random", "blocks"} and set(frame.seed) == {5, 6, 7}
    assert dict(zip(frame.problem, frame.family, strict=True)) == {"australian": "hpobench mlp", "branin": "function"}
    assert frame.regret.min() >= 0 and (frame.seconds > 0).all() and not frame.isna().any(axis=None)
    assert (frame[frame.problem == "branin"].seconds == 1).all()
    assert len(list(store.iterdir())) == 4 and not list(store.glob("*.part"))


def test_records_are_those_of_runs(records, australian):
    for problem in (australian, open_problem("branin")):
        for name in ("random", "blocks"):
            regret, seconds = play(problem, STRATEGIES[name].make(problem, 12, 6), 12, 6)
            frame = records[0]
            rows = frame[(frame.problem == problem.name) & (frame.strategy == name) & (frame.seed == 6)]
            np.testing.assert_allclose(rows.regret, regret, rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(rows.seconds, seconds, rtol=1e-6, atol=1e-3)


def test_the_number_of_workers_does_not_matter_and_stored_parts_are_taken(records, tmp_path, monkeypatch):
    frame, store = records
    options = {"n": 12, "workers": 1}
    names = ["australian", "branin"]
    pd.testing.assert_frame_equal(run_contest(names, CHEAP, [5, 6, 7], store=tmp_path, **options), frame)
    (part,) = tmp_path.glob("australian_blocks_*.parquet")
    changed = pd.read_parquet(part)
    changed["regret"] += 100
    changed.to_parquet(part)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = run_contest(names, CHEAP, range(5, 8), store=tmp_path, **options)
    taken = (again.problem == "australian") & (again.strategy == "blocks")
    np.testing.assert_allclose(again.regret, frame.regret + 100 * taken, rtol=1e-5)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times

    # other seeds and other lengths are other parts
    assert len(run_contest(["branin"], ["random"], [5], store=tmp_path, **options)) == 12
    assert len(run_contest(["branin"], ["random"], range(5, 8), n=5, store=tmp_path, workers=1)) == 15
    assert len(list(tmp_path.iterdir())) == len(times) + 2


@pytest.mark.parametrize("name", ["nope", "noisy", "noisy x", "noisy -1", "quiet 1", ""])
def test_unknown_problems_are_refused(name, tmp_path):
    with pytest.raises(
        ValueError, match=f"problem must be one of naval_propulsion, .*branin, .*noisy SEED, not '{name}'"
    ):
        run_contest([name], ["random"], [0], store=tmp_path)


def test_unknown_strategies_are_refused(tmp_path):
    with pytest.raises(ValueError, match="strategies must be of random, hyperopt, .*no blocks, .*, not 'best'"):
        run_contest(["branin"], ["random", "best"], [0], store=tmp_path)
    assert not list(tmp_path.iterdir())
