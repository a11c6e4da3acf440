"""What a notebook asks for: the records of a study at a profile's sizes, stored ones read and missing ones trained."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from gsos import published, records
from gsos.paths import DATA, RUNS
from gsos.space import DEFAULTS, RATE_BOUNDS, SPACES, divide_epochs


def hia_records(
    profile: str,
    size: Mapping[str, object],
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
) -> pd.DataFrame:
    """The records of HIA's study at a profile's sizes (`profiles.sizes`): what is stored, and what is missing trained.

    "recorded" trains nothing and reads data/records/hia; "workstation" and "paper" take up what is committed there.
    Running studies live in runs/<profile>, where the records are also written to records/hia.parquet.
    """
    if profile == "recorded":
        return _recorded("hia", size)
    from gsos.collect import collect  # with PyTorch, which reading records does not need
    from gsos.datasets import load

    options = {"study": size["study"], "workers": workers, "device": device, "seed": seed}
    options |= {"store": RUNS / profile / "trials.journal", "committed": _committed("hia", profile)}
    published_amounts = published.table("hia_figure_2").set_index("name").amount
    frames = []
    for name in size["datasets"]:
        images = load(name, n_train=size["n_train"], size=size["image_size"], seed=seed)
        n = int(published_amounts.get(name, 1000)) if size["n_models"] is None else size["n_models"]
        frames.append(collect(images, n, **options))
    return _export(frames, "hia", profile)


def filter_records(
    profile: str,
    size: Mapping[str, object],
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
) -> pd.DataFrame:
    """Models of HIA's network in which only the filters vary, at random, with two and with three layers (HIA 5.5).

    All else is at its default. The studies are those of `hia_records` with "-filters-2" and "-filters-3" added, on the
    datasets size["filter_datasets"], size["n_filter_models"] models each; read and trained as there.
    """
    studies = {layers: f"{size['study']}-filters-{layers}" for layers in (2, 3)}
    if profile == "recorded":
        every = records.load(DATA / "records" / "hia")
        return records.concat([records.select(every, study) for study in studies.values()])
    from gsos.datasets import load
    from gsos.tuning import run_strategies

    options = {
        "n_iterations": size["n_filter_models"],
        "rounds": [0],
        "workers": workers,
        "device": device,
        "seed": seed,
    }
    options |= {"store": RUNS / profile / "trials.journal", "committed": _committed("hia", profile)}
    frames = []
    for name in size["filter_datasets"]:
        images = load(name, n_train=size["n_train"], size=size["image_size"], seed=seed)
        for layers, study in studies.items():
            space = {f"num_filters_{i}": SPACES["hia"][f"num_filters_{i}"] for i in range(1, layers + 1)}
            defaults = DEFAULTS["hia"] | {"num_conv_layers": layers}
            frames.append(run_strategies(["random"], images, study=study, space=space, defaults=defaults, **options))
    return _export(frames, "hia-filters", profile)


def gsos_records(
    profile: str,
    size: Mapping[str, object],
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
) -> pd.DataFrame:
    """The records of GSOS's study at a profile's sizes, read and trained as in `hia_records`.

    size["strategies"] run on all of size["datasets"], size["controls"] on those of them in size["control_datasets"].
    """
    if profile == "recorded":
        return _recorded("gsos", size)
    frames = _run_strategies(profile, size, seed=seed, device=device, workers=workers)
    return _export(frames, "gsos", profile)


def unscaled_records(
    profile: str,
    size: Mapping[str, object],
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
) -> pd.DataFrame | None:
    """GSOS and simultaneous TPE on those datasets of the study in size["unscaled_datasets"], with the paper's epochs.

    The study is that of `gsos_records` with "-unscaled" added; read and trained as there. None where there are none.
    """
    study = f"{size['study']}-unscaled"
    if profile == "recorded":
        every = records.load(DATA / "records" / "gsos")
        return records.select(every, study) if study in set(every.study) else None
    datasets = [name for name in size["datasets"] if name in size["unscaled_datasets"]]
    if not datasets:
        return None
    size = {**size, "study": study, "datasets": datasets, "strategies": ("gsos", "simultaneous"), "controls": ()}
    size["epoch_divisor"] = 1
    return _export(_run_strategies(profile, size, seed=seed, device=device, workers=workers), "gsos-unscaled", profile)


def _run_strategies(profile: str, size: Mapping[str, object], *, seed: int, **options: object) -> list[pd.DataFrame]:
    from gsos.datasets import load
    from gsos.tuning import run_strategies

    options |= {"study": size["study"], "seed": seed, "rounds": range(size["n_rounds"])}
    options |= {"store": RUNS / profile / "trials.journal", "committed": _committed("gsos", profile)}
    space, defaults = divide_epochs(SPACES["gsos"], DEFAULTS["gsos"], size["epoch_divisor"])
    options |= {"space": space, "defaults": defaults, "n_iterations": size["n_iterations"]}
    frames = []
    for name in size["datasets"]:
        images = load(name, n_train=size["n_train"], n_valid=size["n_valid"], size=size["image_size"], seed=seed)
        controls = [control for control in size["controls"] if name in size["control_datasets"]]
        frames.append(run_strategies([*size["strategies"], *controls], images, **options))
    return frames


def hgd_records(
    profile: str,
    size: Mapping[str, object],
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
) -> pd.DataFrame:
    """The reports of HGD's study at a profile's sizes (`experiments.COLUMNS`), read and trained as in `hia_records`.

    30 % of the training images validate (HGD 5); where a dataset has no test part, as many are set aside and not used.
    The runs of a case study have their own seeds, which all algorithms and variants share.

    Raises ValueError where there are not as many cases as datasets.
    """
    from gsos import experiments

    if profile == "recorded":
        return records.select(experiments.load(DATA / "records" / "hgd"), size["study"], size["datasets"])
    from gsos.datasets import load
    from gsos.evaluation import study_seed
    from gsos.schedulers import POPULATION_BASED, Experiment

    if len(size["cases"]) != len(size["datasets"]):
        raise ValueError(f"CASES must name one case study a dataset, not {size['cases']} for {size['datasets']}")
    images = {name: load(name, n_train=size["n_train"], valid_fraction=0.3, seed=seed) for name in size["datasets"]}
    planned = [
        Experiment(case, dataset, algorithm, variant, run, size["budget"], size["max_epochs"], size["width_divisor"],
                   study_seed(seed, case, dataset, f"run {run}"))
        for run in range(size["n_runs"])  # outermost: what there is early are whole runs
        for case, dataset in zip(size["cases"], size["datasets"], strict=True)
        for algorithm in size["algorithms"]
        for variant in size["variants"]
        if variant != "hgd reset" or algorithm in POPULATION_BASED  # in others nothing is copied
    ]  # fmt: skip
    options = {"study": size["study"], "workers": workers, "device": device, "committed": _committed("hgd", profile)}
    frame = experiments.run_experiments(planned, images, store=RUNS / profile / "hgd", **options)
    records.export(frame, RUNS / profile / "records" / "hgd.parquet")
    return frame


def sensitivity_records(
    profile: str, size: Mapping[str, object], *, seed: int = 0, workers: int | None = None
) -> pd.DataFrame:
    """Networks of HGD's study trained from every alpha_0, beta and eta of a profile's sizes (`sensitivity.COLUMNS`).

    They are those of the first of size["cases"] on the first of size["datasets"], at most 2,000 images of it, for five
    epochs, on a CPU. gamma_0 is that of the study; beside it there are constants with the lowest momentum that HGD may
    learn. "recorded" reads data/records/sensitivity.
    """
    if profile == "recorded":
        return pd.read_parquet(DATA / "records" / "sensitivity" / "settings.parquet")
    from gsos.datasets import load
    from gsos.schedulers import GAMMA_0
    from gsos.sensitivity import run_settings

    n_train = min(2000, size["n_train"] or 2000)
    images = load(size["datasets"][0], n_train=n_train, valid_fraction=0.3, seed=seed)
    settings = list(product(size["alphas"], [GAMMA_0], size["betas"], size["etas"]))
    settings += product(size["alphas"], RATE_BOUNDS["momentum"][:1], [0], [0])
    how = {"n_networks": size["n_networks"], "n_epochs": 5, "case": size["cases"][0], "seed": seed, "workers": workers}
    how |= {"width_divisor": size["width_divisor"], "store": RUNS / profile / "sensitivity"}
    frame = run_settings(images, settings, **how)
    records.export(frame, RUNS / profile / "records" / "sensitivity.parquet")
    return frame


def settings_records(profile: str, *, seed: int = 0, workers: int | None = None) -> pd.DataFrame:
    """What HGD's alpha_0, gamma_0, beta and eta, and the constants, were chosen on (`sensitivity.COLUMNS`): networks of
    both case studies, one a batch size, on 1,500 images of Fashion-MNIST, which no result rests on.

    "workstation" and "paper" train them (half an hour of a CPU), all others read data/records/sensitivity.
    """
    if profile not in ("workstation", "paper"):
        return pd.read_parquet(DATA / "records" / "sensitivity" / "fashion_mnist.parquet")
    from gsos.datasets import load
    from gsos.schedulers import CASES
    from gsos.sensitivity import run_settings

    learning = [(0, 0), *product((1e-6, 1e-5, 1e-4), (1e-3, 1e-2, 1e-1))]
    starts = product((0.003, 0.01, 0.03, 0.1), (0.8, 0.9, 0.95))
    settings = [(*start, *rates) for start, rates in product(starts, learning)]
    images = load("fashion_mnist", n_train=1500, valid_fraction=0.3, seed=seed)
    how = {"n_epochs": 4, "width_divisor": 16, "seed": seed, "workers": workers, "store": RUNS / profile / "settings"}
    frames = [
        run_settings(images, settings, case=case, n_networks=len(SPACES[case]["batch_size"].choices), **how)
        for case in CASES
    ]
    frame = pd.concat(frames, ignore_index=True)
    records.export(frame, RUNS / profile / "records" / "settings.parquet")
    return frame


class Beyond(NamedTuple):
    """The records of notebook 07."""

    contest: pd.DataFrame  # strategies and variants of Block TPE (`contest.COLUMNS`)
    tuning: pd.DataFrame  # variants on other seeds
    judges: pd.DataFrame  # of importance (`judging.COLUMNS`)
    trials: pd.DataFrame  # strategies on images (`records.COLUMNS`)


def beyond_records(
    profile: str,
    size: Mapping[str, object],
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
) -> Beyond:
    """The records of the study on tables, functions and images at a profile's sizes, read and made as in `hia_records`.

    Strategies on images run as in GSOS's study with the quick profile. Seeds on tables are apart: 0 and on for tuning,
    100 and on for the contest.
    """
    from gsos.contest import NEED_NO_TRUTH, PROBLEMS, STRATEGIES, VARIANTS, run_contest, to_frame

    folder = DATA / "records" / "beyond"
    if profile == "recorded":
        contest, tuning, judges = (pd.read_parquet(folder / f"{name}.parquet") for name in _BEYOND)
        trials = records.select(records.load(folder / "trials.parquet"), size["study"], size["datasets"])
        return Beyond(to_frame([contest]), to_frame([tuning]), judges, trials)
    from gsos.judging import SIZES, run_judges
    from gsos.profiles import sizes
    from gsos.replay import TABLES

    tables = list(size["tables"] or TABLES)
    functions = list(PROBLEMS if size["functions"] is None else size["functions"])
    contestants = list(size["contestants"] or STRATEGIES | VARIANTS)
    options = {"n": size["marks"][-1], "store": RUNS / profile / "contest", "workers": workers}
    seeds = range(100 + seed, 100 + seed + size["n_seeds"])
    tuned = [name for name in contestants if name in ("blocks", "optuna multivariate") or name in VARIANTS]
    contest = to_frame(
        [
            run_contest(tables, contestants, seeds, **options),
            run_contest(functions, [name for name in contestants if name in NEED_NO_TRUTH], seeds, **options),
        ]
    )
    tuning = run_contest(tables, tuned, range(seed, seed + size["n_tuning_seeds"]), **options)
    judging = {"sizes": size["judge_sizes"] or SIZES, "n_seeds": size["n_judge_seeds"], "workers": workers}
    judges = run_judges(tables, **judging, store=RUNS / profile / "judges")
    for name, frame in zip(_BEYOND, (contest, tuning, judges), strict=True):
        records.export(frame, RUNS / profile / "records" / f"{name}.parquet")
    sizes_of_trials = sizes("04", "quick") | {"controls": ()}
    sizes_of_trials |= {name: size[name] for name in size.keys() & sizes_of_trials.keys()}
    frames = _run_strategies(profile, sizes_of_trials, seed=seed, device=device, workers=workers)
    return Beyond(contest, tuning, judges, _export(frames, "trials", profile))


_BEYOND = ("contest", "tuning", "judges")


def _recorded(kind: str, size: Mapping[str, object]) -> pd.DataFrame:
    return records.select(records.load(DATA / "records" / kind), size["study"], size["datasets"])


def _committed(kind: str, profile: str) -> Path | None:
    return DATA / "records" / kind if profile in ("workstation", "paper") else None


def _export(frames: list[pd.DataFrame], kind: str, profile: str) -> pd.DataFrame:
    frame = records.concat(frames)
    records.export(frame, RUNS / profile / "records" / f"{kind}.parquet")
    return frame
