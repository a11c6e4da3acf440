"""BOHB: brackets, successive halving, densities and proposals, beside HpBandSter and statsmodels."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy import stats
from statsmodels.nonparametric.kernel_density import KDEMultivariate

from gsos.bohb import BOHB, brackets, draw, impute, kde, pdf
from gsos.space import SPACES, check_config, from_unit, sample, to_unit

HIA = SPACES["hia"]
WITHOUT_FILTERS = {name: d for name, d in HIA.items() if not name.startswith("num_filters_")}
SMALL = {
    "lr": FloatDistribution(1e-6, 1e-1, log=True),
    "dropout_rate": FloatDistribution(0.0, 0.9),
    "optimizer": CategoricalDistribution(["Adam", "SGD"]),
    "epoch": IntDistribution(1, 9),
}
SEEDS = st.integers(0, 2**32 - 1)

pytestmark = pytest.mark.filterwarnings("ignore:After 0.17 or January 2028:FutureWarning")  # statsmodels


def loss(config):
    """Deterministic, best at lr = 1e-3 with Adam; longer training helps."""
    return abs(np.log10(config["lr"]) + 3) + (config["optimizer"] != "Adam") + 1 / config["epoch"]


def play(optimizer, n_rungs, loss=loss):
    """The rungs asked, each told."""
    rungs = []
    for _ in range(n_rungs):
        rungs.append(optimizer.ask())
        optimizer.tell([loss(proposal.config) for proposal in rungs[-1]])
    return rungs


def observed(space, n, seed, budget=9):
    """A BOHB that knows n observations at one budget, and these: configurations and (random) losses."""
    optimizer = BOHB(space, seed=seed)
    rng = np.random.default_rng(seed)
    searched = {name: d for name, d in space.items() if name != "epoch"}
    configs = [sample(searched, rng) for _ in range(n)]
    losses = rng.permutation(n) / n
    optimizer._asked = [SimpleNamespace(config=config) for config in configs]
    optimizer._bracket, optimizer._rung = 0, [1, 3, 9].index(budget)
    optimizer.tell(losses)
    return optimizer, configs, losses


def test_brackets_by_hand():
    assert brackets(9) == [[(9, 1), (3, 3), (1, 9)], [(3, 3), (1, 9)], [(3, 9)]]
    assert brackets(9, min_budget=3) == [[(3, 3), (1, 9)], [(2, 9)]]
    assert brackets(8) == [[(3, 1), (1, 3)], [(2, 3)]]  # 9 is out of reach
    assert brackets(1) == [[(1, 1)]]


def hpbandster_brackets(max_budget, eta):
    """As printed in hpbandster/optimizers/bohb.py, min_budget = 1."""
    max_SH_iter = -int(np.log(1 / max_budget) / np.log(eta)) + 1
    budgets = max_budget * np.power(float(eta), -np.linspace(max_SH_iter - 1, 0, max_SH_iter))
    result = []
    for iteration in range(max_SH_iter):
        s = max_SH_iter - 1 - (iteration % max_SH_iter)
        n0 = int(np.floor(max_SH_iter / (s + 1)) * eta**s)
        ns = [max(int(n0 * (eta ** (-i))), 1) for i in range(s + 1)]
        result.append(list(zip(ns, budgets[-s - 1 :].tolist(), strict=True)))
    return result


@pytest.mark.parametrize(("max_budget", "eta"), [(1, 3), (3, 3), (9, 3), (27, 3), (81, 3), (2, 2), (16, 2), (64, 4)])
def test_brackets_are_those_of_hpbandster(max_budget, eta):
    for ours, theirs in zip(brackets(max_budget, eta=eta), hpbandster_brackets(max_budget, eta), strict=True):
        assert ours == [(n, pytest.approx(budget)) for n, budget in theirs]


def test_a_floored_logarithm_would_lose_a_rung():
    assert np.log(243) / np.log(3) < 5 == np.log2(32)
    assert len(hpbandster_brackets(243, 3)[0]) == 5 and hpbandster_brackets(243, 3)[0][0] == (81, pytest.approx(3))
    assert brackets(243)[0] == [(243, 1), (81, 3), (27, 9), (9, 27), (3, 81), (1, 243)]


@given(max_budget=st.integers(1, 500), min_budget=st.integers(1, 20), eta=st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_brackets_end_at_the_largest_budget_and_keep_one_in_eta(max_budget, min_budget, eta):
    max_budget = max(max_budget, min_budget)
    result = brackets(max_budget, min_budget=min_budget, eta=eta)
    assert [len(bracket) for bracket in result] == list(range(len(result), 0, -1))
    assert result[0][0][1] == min_budget and result[0][-1][1] <= max_budget < result[0][-1][1] * eta
    for bracket in result:
        assert bracket[-1][1] == result[0][-1][1] and bracket[-1][0] >= 1
        for (n, budget), (fewer, more) in zip(bracket, bracket[1:], strict=False):
            assert n == eta * fewer and more == eta * budget


@pytest.mark.parametrize("wrong", [{"eta": 1}, {"min_budget": 0}, {"min_budget": 10}])
def test_impossible_brackets_are_refused(wrong):
    with pytest.raises(ValueError, match="brackets need eta >= 2 and 0 < min_budget <= max_budget"):
        brackets(9, **wrong)


def test_an_unknown_fidelity_is_refused():
    with pytest.raises(ValueError, match="fidelity 'budget' is no hyperparameter of the space"):
        BOHB(HIA, seed=0, fidelity="budget")


def test_a_bracket_is_successive_halving():
    rungs = play(BOHB(HIA, seed=1), 3)
    pool = [proposal.config for proposal in rungs[0]]
    for rung, (n, budget) in zip(rungs, [(9, 1), (3, 3), (1, 9)], strict=True):
        pool = [config | {"epoch": budget} for config in pool]
        assert [proposal.config for proposal in rung] == pool and len(pool) == n
        worst_kept = sorted(map(loss, pool))[n // 3 - 1]
        pool = [config for config in pool if loss(config) <= worst_kept]


def test_survivors_are_their_models_at_a_larger_budget():
    rungs = play(BOHB(HIA, seed=2), 12)
    assert [len(rung) for rung in rungs] == [9, 3, 1, 3, 1, 3] * 2
    asked = [proposal for rung in rungs for proposal in rung]
    assert [proposal.iteration for proposal in asked] == list(range(40))
    for proposal in asked:
        check_config(proposal.config, HIA)
        first = asked[proposal.model]
        assert first.model == first.iteration == proposal.model <= proposal.iteration
        assert proposal.origin == first.origin
        assert proposal.config | {"epoch": None} == first.config | {"epoch": None}
    for model in {proposal.model for proposal in asked}:
        budgets = [proposal.config["epoch"] for proposal in asked if proposal.model == model]
        assert budgets == [budgets[0] * 3**i for i in range(len(budgets))]


def test_brackets_repeat():
    budgets = [rung[0].config["epoch"] for rung in play(BOHB(SMALL, seed=0), 13)]
    assert budgets == [1, 3, 9, 3, 9, 9] * 2 + [1]


def test_asking_twice_gives_the_same():
    optimizer = BOHB(HIA, seed=3)
    first = optimizer.ask()
    first_again = optimizer.ask()
    assert first == first_again and len(first) == 9
    first_again.clear()
    assert optimizer.ask() == first
    optimizer.tell(range(9))
    assert [proposal.model for proposal in optimizer.ask()] == [0, 1, 2]


@pytest.mark.parametrize("n", [0, 8, 10])
def test_a_wrong_number_of_losses_is_refused(n):
    optimizer = BOHB(HIA, seed=0)
    asked = optimizer.ask()
    with pytest.raises(ValueError, match=f"one for each of the 9 proposals asked, not {n}"):
        optimizer.tell([0.0] * n)
    assert optimizer.ask() == asked


def test_telling_before_asking_is_refused():
    for losses in ([], [0.0, 1.0]):
        with pytest.raises(ValueError, match=f"0 proposals asked, not {len(losses)}"):
            BOHB(HIA, seed=0).tell(losses)


def test_without_a_density_proposals_are_random_configurations():
    seed = 4
    for proposal in BOHB(HIA, seed=seed).ask():
        rng = np.random.default_rng(np.random.SeedSequence([seed, proposal.iteration]))
        searched = {name: d for name, d in HIA.items() if name != "epoch"}
        assert proposal.origin == "startup"
        assert proposal.config == sample(searched, rng) | {"epoch": 1}


def test_origins_begin_with_startup_and_stay_after_it():
    rungs = play(BOHB(SMALL, seed=5), 120)
    origins = [proposal.origin for rung in rungs for proposal in rung if proposal.model == proposal.iteration]
    # 3 dimensions: a density needs 4 good and 4 bad observations, which the 9 of the first rung are
    assert origins[:9] == ["startup"] * 9 and set(origins[9:]) == {"random", "model"}


def test_a_third_of_the_proposals_is_random():
    optimizer = BOHB(SMALL, seed=6, n_candidates=1)
    rungs = play(optimizer, 1200)
    origins = Counter(p.origin for rung in rungs for p in rung if p.model == p.iteration)
    n = origins["random"] + origins["model"]
    assert n == 15 * 200 - 9
    assert stats.binomtest(origins["random"], n, 1 / 3).pvalue > 1e-3


@pytest.mark.parametrize(("random_fraction", "origin"), [(0.0, "model"), (1.0, "random")])
def test_the_random_share_can_be_none_or_all(random_fraction, origin):
    rungs = play(BOHB(SMALL, seed=6, random_fraction=random_fraction), 18)[1:]
    assert {p.origin for rung in rungs for p in rung if p.model == p.iteration and p.model >= 9} == {origin}


def test_the_model_finds_the_good_region():
    random, model = (
        [loss(p.config | {"epoch": 9}) for rung in play(BOHB(SMALL, seed=7), 180) for p in rung if p.origin == origin]
        for origin in ("random", "model")
    )
    assert stats.mannwhitneyu(model, random, alternative="less").pvalue < 1e-6


@pytest.mark.parametrize("space", [HIA, SPACES["gsos"] | {"epoch": IntDistribution(1, 9)}, SMALL], ids=["h", "g", "s"])
def test_proposals_lie_in_the_space(space):
    origins = set()
    for rung in play(BOHB(space, seed=8), 36, lambda config: config["lr"]):
        for proposal in rung:
            check_config(proposal.config, space)
            origins.add(proposal.origin)
    assert origins == {"startup", "random", "model"}


def test_proposals_follow_their_seed_and_not_the_global_state():
    np.random.seed(0)
    first = play(BOHB(HIA, seed=9), 20)
    state = np.random.get_state()[1].copy()
    np.random.seed(1)
    assert play(BOHB(HIA, seed=9), 20) == first
    np.random.seed(0)
    play(BOHB(HIA, seed=9), 1)
    assert np.array_equal(np.random.get_state()[1], state)
    assert play(BOHB(HIA, seed=10), 1) != first[:1]


@given(seed=SEEDS, n_told=st.integers(1, 30))
@settings(max_examples=8, deadline=None)
def test_replaying_the_losses_resumes_the_study(seed, n_told):
    whole = play(BOHB(SMALL, seed=seed), 36)
    again = BOHB(SMALL, seed=seed)
    for rung in whole[:n_told]:
        again.ask()
        again.tell([loss(proposal.config) for proposal in rung])
    assert play(again, 36 - n_told) == whole[n_told:]


def test_losses_that_are_no_numbers_are_the_worst():
    for bad in (np.nan, np.inf, -np.inf):
        optimizer = BOHB(HIA, seed=11)
        optimizer.ask()
        optimizer.tell([bad, 5.0, bad, 4.0, bad, bad, 1e300, bad, bad])
        assert [proposal.model for proposal in optimizer.ask()] == [1, 3, 6]


@given(seed=st.integers(0, 99), share=st.sampled_from([0.5, 0.95, 1.0]), bad=st.sampled_from([np.nan, np.inf, -np.inf]))
@settings(max_examples=10, deadline=None)
def test_failures_never_crash_and_stay_in_the_space(seed, share, bad):
    rng = np.random.default_rng(seed)
    rungs = play(BOHB(SMALL, seed=seed), 24, lambda config: bad if rng.random() < share else loss(config))
    assert "model" in {proposal.origin for rung in rungs for proposal in rung}
    for proposal in (proposal for rung in rungs for proposal in rung):
        check_config(proposal.config, SMALL)
        assert all(np.isfinite(value) for value in proposal.config.values() if not isinstance(value, str))


def test_ties_keep_the_earlier():
    optimizer = BOHB(HIA, seed=12)
    optimizer.ask()
    optimizer.tell([1, 0, 0, 1, 0, 0, 0, 1, 1])
    assert [proposal.model for proposal in optimizer.ask()] == [1, 2, 4]


def points(n, n_choices, seed):
    """(n, d) random points; of every category each choice occurs."""
    rng = np.random.default_rng(seed)
    columns = [rng.permutation(np.arange(n) % k).astype(float) if k else rng.random(n) for k in n_choices]
    return np.column_stack(columns), rng


@given(n=st.integers(8, 40), n_choices=st.lists(st.sampled_from([0, 0, 2, 3, 4]), min_size=1, max_size=6), seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_densities_are_those_of_statsmodels(n, n_choices, seed):
    data, rng = points(n, n_choices, seed)
    reference = KDEMultivariate(data, var_type="".join("u" if k else "c" for k in n_choices), bw="normal_reference")
    n_choices = np.array(n_choices)
    density = kde(data, n_choices, 1e-3)
    narrow = (n_choices == 0) | (reference.bw < 1 - 1 / np.maximum(n_choices, 2))
    np.testing.assert_allclose(density.bandwidth[narrow], reference.bw[narrow], rtol=1e-10)
    reference.bw = density.bandwidth  # where ours was cut, statsmodels takes the cut one
    x, _ = points(12, n_choices, int(rng.integers(2**32)))
    np.testing.assert_allclose(pdf(density, x), reference.pdf(x), rtol=1e-10)


def test_a_density_by_hand():
    # n = 2, d = 2. Bandwidths: 1.06 * 0.2 * 2^(-1/6) = 0.188871, and 1.06 * 0.5 * 2^(-1/6) = 0.472177 < 1/2
    density = kde(np.array([[0.3, 0.0], [0.7, 1.0]]), np.array([0, 2]), 1e-3)
    assert density.bandwidth == pytest.approx([0.188871, 0.472177], rel=1e-5)
    density = density._replace(bandwidth=np.array([0.2, 0.4]))
    # at (0.5, 0): both normals are phi(1)/0.2 = 1.209854; kernels of the category 0.6 and 0.4, of which the mean is 0.5
    assert pdf(density, np.array([[0.5, 0.0]])) == pytest.approx([1.209854 * 0.5], rel=1e-6)
    # at (0.3, 1): phi(0)/0.2 = 1.994711 with 0.4, phi(2)/0.2 = 0.269955 with 0.6
    assert pdf(density, np.array([[0.3, 1.0]])) == pytest.approx([(1.994711 * 0.4 + 0.269955 * 0.6) / 2], rel=1e-6)


def test_bandwidths_have_a_floor_and_categories_a_ceiling():
    same = np.tile([0.5, 1.0], (6, 1))
    assert kde(same, np.array([0, 3]), 1e-3).bandwidth.tolist() == [1e-3, 1e-3]
    # a category of 3 that only takes the outer two: 1.06 * 1 * 4^(-1/5) = 0.803 > 2/3
    outer = np.array([[0.0], [0.0], [2.0], [2.0]])
    density = kde(outer, np.array([3]), 1e-3)
    assert density.bandwidth == pytest.approx([2 / 3])
    assert pdf(density, np.arange(3.0)[:, None]) == pytest.approx([1 / 3] * 3)  # uniform


@given(n_choices=st.lists(st.integers(2, 6), min_size=1, max_size=3), n=st.integers(1, 12), seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_a_categorical_density_sums_to_one_whatever_was_seen(n_choices, n, seed):
    rng = np.random.default_rng(seed)
    n_choices = np.array(n_choices)
    density = kde(np.floor(rng.random((n, len(n_choices))) * n_choices), n_choices, 1e-3)
    grid = np.stack(np.meshgrid(*(np.arange(k) for k in n_choices)), -1).reshape(-1, len(n_choices)).astype(float)
    assert pdf(density, grid).sum() == pytest.approx(1) and pdf(density, grid).min() > 0


@given(n=st.integers(1, 12), seed=SEEDS, factor=st.floats(0.1, 10), spread=st.sampled_from([0.0, 1e-3, 1.0]))
@settings(max_examples=60, deadline=None)
def test_candidates_stay_in_the_unit_cube_and_among_the_choices(n, seed, factor, spread):
    rng = np.random.default_rng(seed)
    n_choices = np.array([0, 4, 0])
    data = np.column_stack([rng.random(n) * spread, rng.integers(4, size=n), 1 - rng.random(n) * spread])
    x = draw(kde(data, n_choices, 1e-3), 200, factor, rng)
    assert x.shape == (200, 3) and np.isfinite(x).all()
    assert x[:, [0, 2]].min() >= 0 and x[:, [0, 2]].max() <= 1
    assert set(x[:, 1]) <= {0, 1, 2, 3}


@pytest.mark.parametrize("centre", [0.0, 0.1, 0.5, 1.0])
def test_candidates_are_truncated_normals(centre):
    density = kde(np.full((5, 1), centre), np.array([0]), 0.15)
    x = draw(density, 4000, 3.0, np.random.default_rng(0))[:, 0]
    width = 3 * 0.15
    assert stats.kstest(x, stats.truncnorm(-centre / width, (1 - centre) / width, centre, width).cdf).pvalue > 1e-3


def test_candidates_are_a_mixture_over_the_points():
    density = kde(np.array([[0.2], [0.9]]), np.array([0]), 0.02)._replace(bandwidth=np.array([0.02]))
    x = draw(density, 4000, 1.0, np.random.default_rng(1))[:, 0]
    assert stats.binomtest(int((x < 0.5).sum()), 4000).pvalue > 1e-3


def test_a_category_is_kept_with_probability_one_minus_bandwidth_else_drawn_from_all():
    density = kde(np.full((5, 1), 2.0), np.array([4]), 0.3)
    x = draw(density, 8000, 3.0, np.random.default_rng(2))[:, 0]
    # kept 0.7, else each of the four 0.075; the bandwidth is not widened
    assert stats.chisquare(np.bincount(x.astype(int)), 8000 * np.array([0.075, 0.075, 0.775, 0.075])).pvalue > 1e-3


def test_imputing_by_hand():
    n_choices = np.array([0, 0, 0, 3])
    nan = np.nan
    data = np.array([[0.1, 0.2, nan, 1], [0.3, 0.4, 0.5, 2], [0.6, nan, nan, 0]])
    filled = impute(data, n_choices, np.random.default_rng(0))
    # row 0 takes the only 0.5; row 2 takes from row 1 both, or 0.2 from row 0 and then the only 0.5
    assert filled[0].tolist() == [0.1, 0.2, 0.5, 1] and filled[1].tolist() == data[1].tolist()
    seen = {tuple(impute(data, n_choices, np.random.default_rng(seed))[2]) for seed in range(20)}
    assert seen == {(0.6, 0.4, 0.5, 0), (0.6, 0.2, 0.5, 0)}
    assert np.isnan(data).sum() == 3  # the observations stay as they were


def test_imputing_what_no_point_has_is_random():
    data = np.array([[np.nan, 0.5, np.nan]] * 300)
    filled = impute(data, np.array([0, 0, 3]), np.random.default_rng(1))
    assert stats.kstest(filled[:, 0], "uniform").pvalue > 1e-3
    assert stats.chisquare(np.bincount(filled[:, 2].astype(int), minlength=3)).pvalue > 1e-3
    assert set(filled[:, 1]) == {0.5}


@given(seed=SEEDS, n=st.integers(1, 15))
@settings(max_examples=40, deadline=None)
def test_imputed_values_come_from_points_that_have_them(seed, n):
    rng = np.random.default_rng(seed)
    data = rng.random((n, 3))
    data[rng.random((n, 3)) < 0.4] = np.nan
    filled = impute(data, np.zeros(3, int), rng)
    known = ~np.isnan(data)
    assert np.array_equal(filled[known], data[known]) and np.isfinite(filled).all()
    for column in range(3):
        if known[:, column].any():
            assert set(filled[:, column]) == set(data[known[:, column], column])


@pytest.mark.parametrize(("n", "n_good", "n_bad"), [(7, None, None), (8, 4, 4), (20, 4, 16), (40, 6, 34), (47, 7, 39)])
def test_good_and_bad_are_split_as_in_hpbandster(n, n_good, n_bad):
    # 3 dimensions: at least 4 of each. 15 % of 40 = 6, of 47 = 7.05; 85 % of 47 = 39.95: one observation is neither
    optimizer, configs, losses = observed(SMALL, n, seed=13)
    model = optimizer._fit(0)
    if n_good is None:
        assert model is None
        return
    assert (len(model.good.points), len(model.bad.points)) == (n_good, n_bad)
    best = sorted(range(n), key=losses.__getitem__)
    good = np.array([to_unit(configs[i], optimizer.space) for i in best[:n_good]])
    np.testing.assert_allclose(model.good.points[:, :2], good[:, :2], rtol=1e-12)
    assert model.good.points[:, 2].tolist() == [["Adam", "SGD"].index(configs[i]["optimizer"]) for i in best[:n_good]]


def test_the_model_is_of_the_largest_budget_that_has_enough():
    optimizer, _, _ = observed(SMALL, 30, seed=14, budget=3)
    (low,) = optimizer._observations
    assert low == 3
    few, _, _ = observed(SMALL, 7, seed=15, budget=9)
    many, _, _ = observed(SMALL, 8, seed=15, budget=9)
    optimizer._observations[9] = few._observations[9]
    assert len(optimizer._fit(0).good.points) == 4 and len(optimizer._fit(0).bad.points) == 25
    optimizer._observations[9] = many._observations[9]
    assert len(optimizer._fit(0).bad.points) == 4


def literal_proposal(model, n_choices, seed, iteration):
    """HpBandSter's get_config, one number at a time: the best vector, or None for a random configuration."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, iteration]))
    if rng.random() < 1 / 3:
        return None
    index, uniform = rng.integers(len(model.good.points), size=64), rng.random((64, len(n_choices)))
    types = "".join("u" if k else "c" for k in n_choices)
    pdfs = []
    for part in model:
        density = KDEMultivariate(part.points, types, bw=part.bandwidth)
        pdfs.append(density.pdf)
    best, best_vector = np.inf, None
    for i in range(64):
        vector = []
        for m, bw, t, u in zip(model.good.points[index[i]], model.good.bandwidth, n_choices, uniform[i], strict=True):
            bw = max(bw, 1e-3)
            if t == 0:
                bw = 3 * bw
                vector.append(stats.truncnorm.ppf(u, -m / bw, (1 - m) / bw, loc=m, scale=bw))
            elif u < 1 - bw:
                vector.append(int(m))
            else:
                vector.append(int((u - (1 - bw)) / bw * t))
        value = max(1e-32, pdfs[1](vector)) / max(pdfs[0](vector), 1e-32)
        if value < best:
            best, best_vector = value, vector
    return best_vector


def in_unit_cube(vector, n_choices):
    return [(x + 0.5) / k if k else x for x, k in zip(vector, n_choices, strict=True)]


@pytest.mark.parametrize("space", [SMALL, WITHOUT_FILTERS], ids=["small", "hia"])
def test_proposals_are_those_of_a_literal_loop(space):
    seed = 16
    optimizer, _, _ = observed(space, 60, seed)
    model = optimizer._fit(0)
    for part in model:  # statsmodels counts the choices that it sees
        assert all(len(set(part.points[:, j])) == k for j, k in enumerate(optimizer.n_choices) if k)
    origins = Counter()
    for iteration in range(15):
        proposal = optimizer._propose(iteration, 9, model)
        vector = literal_proposal(model, optimizer.n_choices, seed, iteration)
        origins[proposal.origin] += 1
        assert proposal.origin == ("random" if vector is None else "model")
        if vector is not None:
            position = dict(zip(optimizer.space, in_unit_cube(vector, optimizer.n_choices), strict=True))
            expected = from_unit(position, optimizer.space) | {"epoch": 9}
            for name, value in proposal.config.items():
                assert value == (
                    pytest.approx(expected[name], rel=1e-8) if isinstance(value, float) else expected[name]
                )
    assert min(origins["random"], origins["model"]) >= 2


# HpBandSter itself, where it is installed. Of ConfigSpace it gets only the few methods that it calls (newer versions
# deprecate them, and place integers differently in the unit cube), with our unit cube behind them.


class Category:
    """Stands for a CategoricalHyperparameter."""

    def __init__(self, n_choices):
        self.choices = range(n_choices)


class Vector(dict):
    """Stands for a Configuration."""

    def __init__(self, configspace, values=(), vector=None):
        super().__init__(values)
        self.configspace, self.vector = configspace, vector

    def get_array(self):
        x, k = to_unit(self, self.configspace.space), self.configspace.n_choices
        return np.where(k > 0, np.floor(x * k), x)

    def get_dictionary(self):
        return self


class Spaces:
    """Stands for a ConfigurationSpace."""

    def __init__(self, optimizer):
        self.space, self.n_choices = optimizer.space, optimizer.n_choices

    def get_hyperparameters(self):
        return [Category(k) if k else SimpleNamespace() for k in self.n_choices]

    def get_hyperparameter_by_idx(self, index):
        return index

    def get_hyperparameter(self, index):
        return self.get_hyperparameters()[index]

    def sample_configuration(self):
        return Vector(self)


@pytest.fixture
def theirs(monkeypatch):
    """Makes HpBandSter's generator of configurations with the observations of a BOHB at budget 9."""
    reason = "compares with HpBandSter, which needs ConfigSpace and is not among the dependencies"
    module = pytest.importorskip("hpbandster.optimizers.config_generators.bohb", reason=reason)
    stub = SimpleNamespace(
        Configuration=Vector,
        hyperparameters=SimpleNamespace(CategoricalHyperparameter=Category),
        util=SimpleNamespace(
            deactivate_inactive_hyperparameters=lambda configuration_space, configuration: configuration
        ),
    )
    monkeypatch.setattr(module, "ConfigSpace", stub)

    def make(optimizer, configs, losses):
        generator = module.BOHB(Spaces(optimizer))
        for config, value in zip(configs, losses, strict=True):
            job = SimpleNamespace(exception=None, result={"loss": value}, kwargs={"budget": 9, "config": config})
            generator.new_result(job)
        return generator, module

    return make


@pytest.mark.parametrize(("space", "n"), [(SMALL, 8), (SMALL, 47), (WITHOUT_FILTERS, 24), (WITHOUT_FILTERS, 90)])
def test_hpbandster_has_the_same_split_bandwidths_and_score(theirs, space, n):
    optimizer, configs, losses = observed(space, n, seed=17)
    generator, _ = theirs(optimizer, configs, losses)
    model = optimizer._fit(0)
    x = np.random.default_rng(0).random((20, len(optimizer.space)))
    x = np.where(optimizer.n_choices > 0, np.floor(x * optimizer.n_choices), x)
    scores = []
    for name in ("good", "bad"):
        density, reference = getattr(model, name), generator.kde_models[9][name]
        np.testing.assert_allclose(density.points, reference.data, rtol=1e-12)
        np.testing.assert_allclose(density.bandwidth, reference.bw, rtol=1e-10)
        assert all(len(set(density.points[:, j])) == k for j, k in enumerate(optimizer.n_choices) if k)
        scores.append((pdf(density, x), reference.pdf(x)))
    (l_ours, l_theirs), (g_ours, g_theirs) = scores
    np.testing.assert_allclose(l_ours / g_ours, l_theirs / g_theirs, rtol=1e-9)


@given(n=st.integers(1, 120), bad=st.booleans())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hpbandster_has_a_density_where_we_have(theirs, n, bad):
    optimizer, configs, losses = observed(SMALL, n, seed=18)
    if bad:
        losses[0] = np.inf
        optimizer._observations[9][0] = (optimizer._observations[9][0][0], np.inf)
    generator, _ = theirs(optimizer, configs, losses)
    model = optimizer._fit(0)
    assert (model is None) == (9 not in generator.kde_models)
    if model is not None:
        for name in ("good", "bad"):
            assert len(getattr(model, name).points) == len(generator.kde_models[9][name].data)


@pytest.mark.parametrize("space", [SMALL, WITHOUT_FILTERS], ids=["small", "hia"])
def test_hpbandster_proposes_the_same_from_the_same_numbers(theirs, space, monkeypatch):
    seed = 16
    optimizer, configs, losses = observed(space, 60, seed)
    generator, module = theirs(optimizer, configs, losses)
    model, n_choices = optimizer._fit(0), optimizer.n_choices
    for iteration in range(12):
        # HpBandSter draws one number after the other: it is handed those that we draw at once
        rng = np.random.default_rng(np.random.SeedSequence([seed, iteration]))
        share, index = rng.random(), rng.integers(len(model.good.points), size=64)
        numbers = iter(rng.random((64, len(n_choices))).ravel().tolist())
        turns = iter(index.tolist())
        state = SimpleNamespace(first=True, u=None)

        def rand(state=state, share=share, numbers=numbers):
            if state.first:
                state.first = False
                return share
            state.u = next(numbers)
            return state.u

        def randint(low, high=None, state=state, turns=turns):
            if high is not None:
                return next(turns)
            bandwidth = model.good.bandwidth[list(n_choices).index(low)]
            return int((state.u - (1 - bandwidth)) / bandwidth * low)

        def rvs(a, b, loc, scale, numbers=numbers):
            return stats.truncnorm.ppf(next(numbers), a, b, loc=loc, scale=scale)

        monkeypatch.setattr(module, "sps", SimpleNamespace(truncnorm=SimpleNamespace(rvs=rvs)))
        monkeypatch.setattr(
            module, "np", SimpleNamespace(**vars(np) | {"random": SimpleNamespace(rand=rand, randint=randint)})
        )
        config, info = generator.get_config(9)
        proposal = optimizer._propose(iteration, 9, model)
        assert info["model_based_pick"] == (proposal.origin == "model")
        if proposal.origin == "model":
            position = dict(zip(optimizer.space, in_unit_cube(config.vector, n_choices), strict=True))
            np.testing.assert_allclose(
                to_unit(proposal.config, optimizer.space),
                to_unit(from_unit(position, optimizer.space), optimizer.space),
                rtol=1e-8,
            )


@given(seed=SEEDS, n=st.integers(1, 12))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hpbandster_imputes_the_same_from_the_same_numbers(theirs, seed, n):
    rng = np.random.default_rng(seed)
    n_choices = np.array([0, 0, 3, 0])
    data = np.column_stack([rng.random((n, 2)), rng.integers(3, size=n), rng.random(n)])
    data[:, 1:][rng.random((n, 3)) < 0.5] = np.nan  # HpBandSter overlooks a row whose only NaN is in its first column
    generator, _ = theirs(BOHB(SMALL, seed=0), [], [])
    generator.vartypes = n_choices
    state = np.random.get_state()
    try:
        np.random.seed(seed)
        reference = generator.impute_conditional_data(data)
        np.random.seed(seed)
        legacy = SimpleNamespace(integers=np.random.randint, random=np.random.rand)
        assert np.array_equal(impute(data, n_choices, legacy), reference)
    finally:
        np.random.set_state(state)


def test_budgets_stay_in_the_range_of_the_fidelity():
    optimiser = BOHB(SPACES["gsos"], seed=0, max_budget=90)
    for _ in range(6):
        rung = optimiser.ask()
        for proposal in rung:
            check_config(proposal.config, SPACES["gsos"])
        optimiser.tell([0.0] * len(rung))
    with pytest.raises(ValueError, match=r"max_budget must lie in epoch's range 10..100, not 9"):
        BOHB(SPACES["gsos"], seed=0)
