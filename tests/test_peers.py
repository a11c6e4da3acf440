"""Optuna and Hyperopt beside their own loops, GSOS relatives beside problems of which it is known what matters."""

from math import log

import numpy as np
import optuna
import pytest
from hyperopt import Trials, fmin, hp, tpe
from hyperopt.pyll.stochastic import sample as draw
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy import stats

from gsos import peers
from gsos.peers import N_WARM_UP, ROUND, EstimatedGSOS, GIFLike, HyperoptTPE, OptunaTPE
from gsos.space import check_config, sample, to_unit
from gsos.strategy import GSOS
from gsos.tpe import TPE

SPACE = {
    "float": FloatDistribution(-2.0, 3.0),
    "log float": FloatDistribution(1e-5, 1.0, log=True),
    "integer": IntDistribution(2, 9),
    "log integer": IntDistribution(1, 64, log=True),
    "stepped": IntDistribution(1, 13, step=4),
    "stepped float": FloatDistribution(0.1, 0.7, step=0.2),
    "category": CategoricalDistribution(["a", "b", "c"]),
    "number": CategoricalDistribution([32, 64, 128, 256, 512]),
}
SMALL = {"a": FloatDistribution(0.0, 1.0), "b": CategoricalDistribution(list(range(50))), "c": IntDistribution(1, 90)}


def bowl(config):
    x = to_unit(config, SPACE)
    return float(((1 + 0.37 * np.arange(8)) * (x - 0.31 - 0.043 * np.arange(8)) ** 2).sum())


def play(strategy, n, loss=bowl):
    """n proposals, each told."""
    proposals = []
    for _ in range(n):
        proposals.append(dict(strategy.ask()))
        strategy.tell(proposals[-1], loss(proposals[-1]), 1.0)
    return proposals


@pytest.mark.parametrize("multivariate", [False, True])
def test_optunas_proposals_are_those_of_a_plain_study(multivariate):
    found = []

    def objective(trial):
        config = {
            "float": trial.suggest_float("float", -2, 3),
            "log float": trial.suggest_float("log float", 1e-5, 1, log=True),
            "integer": trial.suggest_int("integer", 2, 9),
            "log integer": trial.suggest_int("log integer", 1, 64, log=True),
            "stepped": trial.suggest_int("stepped", 1, 13, step=4),
            "stepped float": trial.suggest_float("stepped float", 0.1, 0.7, step=0.2),
            "category": trial.suggest_categorical("category", ["a", "b", "c"]),
            "number": [32, 64, 128, 256, 512][trial.suggest_int("number", 0, 4)],  # whose order it then knows
        }
        found.append(config)
        return bowl(config)

    sampler = optuna.samplers.TPESampler(seed=3, multivariate=multivariate)
    optuna.create_study(sampler=sampler).optimize(objective, n_trials=25)
    ours = play(OptunaTPE(SPACE, seed=3, multivariate=multivariate), 25)
    assert ours == found and play(OptunaTPE(SPACE, seed=4, multivariate=multivariate), 1) != found[:1]
    for config in ours:
        check_config(config, SPACE)


def test_hyperopts_proposals_are_those_of_fmin():
    space = {
        "float": hp.uniform("float", -2, 3),
        "log float": hp.loguniform("log float", log(1e-5), 0),
        "integer": hp.quniform("integer", -0.5, 7.5, 1),
        "log integer": hp.qloguniform("log integer", log(0.5), log(64.5), 1),
        "stepped": hp.quniform("stepped", -0.5, 3.5, 1),
        "stepped float": hp.quniform("stepped float", -0.5, 3.5, 1),
        "category": hp.choice("category", [0, 1, 2]),
        "number": hp.quniform("number", -0.5, 4.5, 1),
    }
    found = []

    def objective(values):
        config = {
            "float": values["float"],
            "log float": min(values["log float"], 1.0),
            "integer": 2 + int(values["integer"]),
            "log integer": max(int(values["log integer"]), 1),
            "stepped": 1 + 4 * int(values["stepped"]),
            "stepped float": 0.1 + 0.2 * int(values["stepped float"]),
            "category": "abc"[values["category"]],
            "number": 32 * 2 ** int(values["number"]),
        }
        found.append(config)
        return bowl(config)

    rstate = np.random.default_rng(5)
    fmin(objective, space, tpe.suggest, 30, trials=Trials(), rstate=rstate, show_progressbar=False, verbose=False)
    ours = play(HyperoptTPE(SPACE, seed=5), 30)
    for config, other in zip(ours, found, strict=True):
        assert config == {k: pytest.approx(v, rel=1e-9) if isinstance(v, float) else v for k, v in other.items()}
        check_config(config, SPACE)


def test_every_value_is_as_likely_to_hyperopt_as_to_the_space():
    space = {name: peers._hyperopt(name, d) for name, d in SPACE.items()}
    rng = np.random.default_rng(0)
    drawn = [draw(space, rng=rng) for _ in range(3000)]
    configs = [{name: peers._from_hyperopt(d, values[name]) for name, d in SPACE.items()} for values in drawn]
    for config in configs:
        check_config(config, SPACE)
    reference = [sample(SPACE, np.random.default_rng(i)) for i in range(3000)]
    for name in ("integer", "log integer", "stepped", "stepped float", "category", "number"):
        values = sorted({config[name] for config in reference}, key=str)
        table = [[sum(c[name] == value for c in group) for value in values] for group in (configs, reference)]
        assert sum(map(sum, table)) == 6000 and stats.chi2_contingency(table).pvalue > 1e-3, name
    for name in ("float", "log float"):
        both = ([config[name] for config in group] for group in (configs, reference))
        assert stats.ks_2samp(*both).pvalue > 1e-3
    assert {type(value) for config in configs for value in config.values()} == {int, float, str}


@pytest.mark.parametrize("make", [OptunaTPE, HyperoptTPE])
def test_what_others_propose_follows_its_seed_and_gets_better(make):
    runs = [play(make(SPACE, seed=seed), 45) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    for run in runs[1:]:
        losses = list(map(bowl, run))
        assert np.mean(losses[25:]) < 0.75 * np.mean(losses[:10])


# GSOS relatives.


def varied(configs):
    return {name for name in configs[0] if len({config[name] for config in configs}) > 1}


def by_weight(**weights):
    """A loss with main effects alone, of the sizes of these weights."""
    return lambda config: sum(w * (to_unit({k: config[k]}, {k: SMALL[k]})[0] - 0.4) ** 2 for k, w in weights.items())


@pytest.mark.parametrize("order", ["abc", "bca", "cab"])
def test_the_estimated_order_is_that_of_the_random_trials(order):
    loss = by_weight(**dict(zip(order, (9.0, 3.0, 0.5), strict=True)))
    configs = play(EstimatedGSOS(SMALL, 50, seed=7), 50, loss)
    assert configs[:20] == [sample(SMALL, np.random.default_rng([7, i])) for i in range(20)]
    best = min(configs[:20], key=loss)
    groups = [[name] for name in order]  # 30 iterations in the proportion 4:3:3, one hyperparameter each
    assert [varied(configs[start:end]) for start, end in ((20, 32), (32, 41), (41, 50))] == list(map(set, groups))
    gsos = GSOS(SMALL, groups, [12, 9, 9], best, seed=[7, 1])
    assert configs[20:] == play(gsos, 30, loss)


def test_without_a_word_from_the_trials_groups_are_in_the_order_of_the_space():
    for n, n_random in ((10, 4), (40, 16)):
        configs = play(EstimatedGSOS(SMALL, n, seed=8), n, lambda config: 0.5)
        assert varied(configs[n_random : n_random + 2]) <= {"a"} == varied(configs[n_random : n_random + 4]) & {"a"}
        assert {name: configs[n_random][name] for name in "bc"} == {name: configs[0][name] for name in "bc"}


def gif_like(loss, weights_of, n, seed):
    """In loops: `weights_of` a number of trials says what is important. Configurations, and what each trial tuned."""
    told, tuned, before = [], [], np.inf
    for i in range(n):
        if i < 20:
            config, names = sample(SMALL, np.random.default_rng([seed, i])), list(SMALL)
        else:
            best, best_loss = min(told, key=lambda pair: pair[1])
            if i % 10 == 0:
                weights = weights_of(i)
                ranked = sorted(weights, key=weights.get, reverse=True)
                shares = [round(10 * sum(weights[k] for k in ranked[:j]) / sum(weights.values())) for j in (1, 2, 3)]
                gained = best_loss < before
                plan = [[next(k for k, end in zip(ranked, shares, strict=True) if j < end)] for j in range(10)]
                plan, before = plan if gained else [list(SMALL)] * 10, best_loss
            names = plan[i % 10]
            tpe = TPE({name: SMALL[name] for name in names}, n_startup=1, seed=seed)
            for tried, value in told:
                tpe.tell({name: tried[name] for name in names}, value)
            config = best | tpe.ask()
        told.append((config, loss(config)))
        tuned.append(names)
    return [config for config, _ in told], tuned


def test_rounds_of_the_gif_like_strategy_by_hand(monkeypatch):
    weights = {20: (0.2, 0.5, 0.3), 40: (0.6, 0.0, 0.2)}
    asked = []

    def importance(X, losses, is_categorical, **options):
        asked.append((len(X), options))
        assert X.shape == (len(losses), 3) and not is_categorical.any()
        return np.array(weights[len(X)]) - (len(X) == 40) * np.array([0, 0.1, 0])  # a negative one counts as 0

    monkeypatch.setattr(peers, "nrrelieff", importance)
    losses = iter([*np.linspace(9, 8, 20), *[8.5] * 10, *[8.2] * 4, 1.0, *[2.0] * 5, *[3.0] * 10, *[4.0] * 3])
    strategy = GIFLike(SMALL, seed=9)
    values, configs = [], []
    for i in range(53):
        configs.append(dict(strategy.ask()))
        values.append(float(next(losses)))
        strategy.tell(configs[i], values[i])
    expected, tuned = gif_like(
        dict_of(configs, values), lambda i: dict(zip("abc", weights.get(i, (1, 1, 1)), strict=True)), 53, 9
    )
    assert configs == expected
    # the first round always has groups: b has 5 of 10 trials, c 3, a 2; it brings nothing, so the next one tunes all
    assert tuned[20:30] == [["b"]] * 5 + [["c"]] * 3 + [["a"]] * 2 and tuned[30:40] == [list("abc")] * 10
    assert varied(configs[20:25]) == {"b"} and varied(configs[30:40]) == set("abc")
    # a gain in the second round: groups again, a 7.5 -> 8 of 10 trials and c the rest; then all again
    assert tuned[40:50] == [["a"]] * 8 + [["c"]] * 2 and tuned[50:] == [list("abc")] * 3
    assert {config["b"] for config in configs[40:50]} == {configs[34]["b"]}
    assert [n for n, _ in asked] == [20, 40] and asked[0][1] == {"n_neighbours": 19, "normalise_response": True}
    assert (N_WARM_UP, ROUND) == (20, 10)


def dict_of(configs, values):
    """A loss known at these configurations, one after the other."""
    remaining = iter(values)
    return lambda config: next(remaining)


@pytest.mark.parametrize("order", ["abc", "bca", "cab"])
def test_the_gif_like_strategy_begins_with_what_is_important(order):
    loss = by_weight(**dict(zip(order, (9.0, 0.3, 0.0), strict=True)))
    configs = play(GIFLike(SMALL, seed=10), 24, loss)
    assert varied(configs[20:24]) == {order[0]}
    for config in configs:
        check_config(config, SMALL)


def test_where_all_losses_are_the_same_the_gif_like_strategy_shares_alike():
    configs = play(GIFLike(SMALL, seed=11), 42, lambda config: 0.5)
    assert [varied(configs[s:e]) for s, e in ((20, 23), (23, 27), (27, 30))] == [{"a"}, {"b"}, {"c"}]
    assert len(varied(configs[30:40])) > 1


@pytest.mark.parametrize(
    "make", [lambda seed: EstimatedGSOS(SPACE, 30, seed=seed), lambda seed: GIFLike(SPACE, seed=seed)]
)
def test_gsos_relatives_follow_their_seed_and_stay_in_the_space(make):
    first, again, other = (play(make(seed), 30) for seed in (0, 0, 1))
    assert first == again and not any(config in other for config in first)
    for config in first:
        check_config(config, SPACE)
