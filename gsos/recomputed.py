"""What the papers' own tables say of their claims: recomputed, nothing trained (notebook 00)."""

import pandas as pd
from scipy.stats import ttest_1samp

from gsos import catalogue, published
from gsos.claims import Result
from gsos.importance import ranked_pairs
from gsos.relief import joint_importance

POPULATION_BASED = ["pbt", "pb2"]
DELAY, N_TRIALS = 0.01, 100  # GSOS A: seconds of an evaluation, evaluations of a run


def hia_pairs() -> pd.DataFrame:
    """HIA T5 beside Eq 11 on T3, one row a rank: printed, weight, recomputed, recomputed_weight.

    `printed` and `recomputed` are what the number of convolutional layers, which is in every pair, stands with.
    """
    single, printed = published.table("hia_table_3"), published.table("hia_table_5").set_index("rank")
    pairs = ranked_pairs(joint_importance(single.weight), single.name)[: len(printed)]
    found = {"recomputed": pairs.index.get_level_values(1), "recomputed_weight": pairs.to_numpy()}
    return printed.rename(columns={"with": "printed"})[["printed", "weight"]].assign(**found)


def datasets_that_differ(paper: str) -> pd.DataFrame:
    """Numbers of HIA's or GSOS's T2 that are not the publishers' (data/datasets.yaml): dataset, column, printed, real.

    Sizes in pixels are left out: the papers resize.
    """
    printed, real = published.table(f"{paper}_table_2").set_index("name"), catalogue.paper_table(paper)
    numbers = [column for column in real if pd.api.types.is_integer_dtype(real[column])]
    both = {"printed": printed[numbers].stack(), "real": real.loc[printed.index, numbers].stack()}
    frame = pd.DataFrame(both).rename_axis(["dataset", "column"]).reset_index()
    return frame[frame.printed != frame.real].reset_index(drop=True)


def claim_results() -> dict[str, Result]:
    """By the ids of notebook 00's claims; n_records counts the printed numbers that a result rests on."""
    return _hia() | _gsos() | _gsos_table_3() | _hgd() | _hgd_population_based()


def _hia() -> dict[str, Result]:
    two, three, four = (published.table(f"hia_table_{i}").set_index("name") for i in (2, 3, 4))
    amount, pairs, k = published.table("hia_figure_2").amount, hia_pairs(), len(three)
    order, deviation = list(pairs.recomputed), (pairs.weight - pairs.recomputed_weight).abs().max()
    every = ranked_pairs(joint_importance(three.weight), three.index)
    with_depth = sum("num_conv_layers" in pair for pair in every.index[:10])
    return {
        "HIA-30": Result(amount.sum() - 10_000, len(amount), len(amount)),
        "HIA-31": Result(amount.min() - 1000, len(amount), len(amount)),
        "HIA-32": Result(k, k, 1),
        "HIA-33": Result((two.channel_num == 3).sum(), len(two), len(two)),
        "HIA-34": Result(1 - datasets_that_differ("hia").dataset.nunique() / len(two), 3 * len(two), len(two)),
        "HIA-35": Result(list(four.weight.sort_values(ascending=False).index), k, 1),
        "HIA-36": Result(1 + 5e-7 * k - four.weight.sum(), k, 1),
        "HIA-37": Result(2e-6 - deviation, k + len(pairs), 1),
        "HIA-38": Result(order, k, 1),
        "HIA-39": Result(order, k, 1),
        "HIA-40": Result(with_depth, k, 1),
    }


def _gsos() -> dict[str, Result]:
    hia, weights = (published.table(name).set_index("name").weight for name in ("hia_table_3", "gsos_weights"))
    two, five = published.table("gsos_table_2"), published.table("gsos_table_5").set_index("d").seconds
    new = set(two.name) - set(published.table("hia_table_2").name)
    proposal = five[12] / N_TRIALS
    return {
        "GSOS-47": Result(len(hia), len(hia), 1),
        "GSOS-48": Result(0.0005 - (weights - hia[weights.index]).abs().max(), len(weights), 1),
        "GSOS-49": Result(len(new), len(two), len(two)),
        "GSOS-50": Result(1 - datasets_that_differ("gsos").dataset.nunique() / len(two), 3 * len(two), len(two)),
        "GSOS-51": Result(1 / 2 - (five / (five + N_TRIALS * DELAY)).max(), len(five), 1),
        "GSOS-52": Result(12 - five[12] / five[1], 2, 1),
        "GSOS-53": Result(0.01 - proposal / (proposal + 3), 1, 1),
    }


def _gsos_table_3() -> dict[str, Result]:
    grouped, simultaneous = published.gsos_runs()
    four = published.table("gsos_table_4").set_index("name")
    n, accuracies = len(four), ["val_accuracy", "test_accuracy"]
    of = {name: published.averages(grouped[name], simultaneous[name]) for name in grouped}
    reduction, change = 1 - grouped / simultaneous, (grouped - simultaneous)[accuracies]
    agrees = {
        "GSOS-45": 1e-5 - (reduction.total_time - four.time_reduction_percent / 100).abs().max(),
        "GSOS-46": 1e-4 - (change - four[[f"{name}_change" for name in accuracies]].to_numpy()).abs().max(axis=None),
    }
    values = {
        "GSOS-34": -of["total_time"].mean_of_ratios,
        "GSOS-35": -of["total_time"].ratio_of_sums,
        "GSOS-36": -of["time_to_optimum"].mean_of_ratios,
        "GSOS-37": -of["time_to_optimum"].ratio_of_sums,
        "GSOS-38": reduction.total_time.min(),
        "GSOS-39": reduction.time_to_optimum.min(),
        "GSOS-40": change.val_accuracy.mean(),
        "GSOS-41": of["val_accuracy"].ratio_of_sums,
        "GSOS-42": change.test_accuracy.mean(),
        "GSOS-43": of["test_accuracy"].ratio_of_sums,
        "GSOS-44": (change < 0).mean().min() - 0.5,
    }
    return {claim: Result(value, 2 * n, n) for claim, value in (values | agrees).items()}


def _hgd() -> dict[str, Result]:
    accuracy, gains = published.hgd_accuracy(), published.hgd_gains()
    early, end = (gains.xs(seconds, axis=1, level="seconds") for seconds in (500, 3000))
    of = {name: published.averages(*(accuracy[name, 500, variant] for variant in ("hgd", "sgd"))) for name in early}
    complexity = published.table("hgd_table_1").time_complexity
    given = complexity[complexity != "-"]
    values = {
        "HGD-41": of["cifar10"].ratio_of_sums,
        "HGD-42": of["cifar10"].mean_of_ratios,
        "HGD-43": of["cifar100"].ratio_of_sums,
        "HGD-44": of["cifar100"].mean_of_ratios,
        "HGD-45": end.cifar10.mean(),
        "HGD-46": end.cifar100.mean(),
        "HGD-47": end.min(axis=None),
        "HGD-48": 0.05 - ttest_1samp(early, 0).pvalue.max(),
    }
    found = {claim: Result(value, 12, 1) for claim, value in values.items()}
    return found | {"HGD-53": Result(given.str.contains("d").mean() - 0.5, len(given), 1)}


def _hgd_population_based() -> dict[str, Result]:
    """CIFAR-10, CIFAR-100: what PBT and PB2 gain early, and where they stand without hypergradients."""
    accuracy, gains = published.hgd_accuracy(), published.hgd_gains()
    found = {}
    for dataset, less, place in (("cifar10", "HGD-49", "HGD-51"), ("cifar100", "HGD-50", "HGD-52")):
        gain = gains[dataset, 500]
        ahead = gain.drop(POPULATION_BASED).mean() - gain[POPULATION_BASED].mean()
        found[less] = Result(ahead, 2 * len(gain), 1)
        best_first = accuracy[dataset, 500, "sgd"].sort_values(ascending=False).index
        found[place] = Result(list(best_first), len(gain), 1)
    return found
