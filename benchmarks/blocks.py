"""Milliseconds of a proposal of Block TPE, beside our TPE's and Optuna's multivariate TPE's; in one run, in turn.

    python benchmarks/blocks.py [--trials 100 300] [--repeats 5]

Asking and telling, on spaces of ten hyperparameters of all kinds (GSOS's), of nine and five with levels (tables), and
of six floats. Ratios of the least times are what to read. A minute.
"""

import argparse
import time

import pandas as pd

from gsos.blocks import BlockTPE
from gsos.contest import open_problem
from gsos.peers import OptunaTPE
from gsos.tpe import TPE

PEERS = {
    "Block TPE": lambda space, seed: BlockTPE(space, seed=seed),
    "cost-aware": lambda space, seed: BlockTPE(space, cost_weight=0.5, seed=seed),
    "TPE": lambda space, seed: TPE(space, seed=seed),
    "Optuna": lambda space, seed: OptunaTPE(space, seed=seed, multivariate=True),
}
PROBLEMS = ("additive 0", "naval_propulsion", "car", "hartmann6")


def milliseconds(peer: str, problem, n: int, seed: int) -> float:
    """Of a proposal, the mean of n."""
    strategy, spent = PEERS[peer](problem.space, seed), 0.0
    for _ in range(n):
        start = time.process_time()
        config = strategy.ask()
        spent += time.process_time() - start
        loss, seconds = problem.evaluate(config, 0)
        start = time.process_time()
        strategy.tell(config, loss, seconds)
        spent += time.process_time() - start
    return spent / n * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = {}
    for name in PROBLEMS:
        problem = open_problem(name)
        for n in options.trials:
            times = [{p: milliseconds(p, problem, n, seed) for p in PEERS} for seed in range(options.repeats)]
            rows[name, n] = pd.DataFrame(times).min()
    table = pd.DataFrame(rows).T.rename_axis(["problem", "trials"])
    table["Block TPE / TPE"] = table["Block TPE"] / table.TPE
    table["Block TPE / Optuna"] = table["Block TPE"] / table.Optuna
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()
