"""Seconds of proposing alone, ours beside Hyperopt and Optuna, in one run with interleaved repeats.

    python benchmarks/tpe_overhead.py [--repeats 5] [--long-repeats 1]

GSOS's appendix A without the pauses: random losses, x_i ~ U(0, 1e6), 15 random starts. Ratios are what to read; they
are of the least and of the median seconds of the repeats. About two minutes on an idle machine.
"""

import argparse

import pandas as pd

from gsos.overhead import PEERS, time_runs

# (trials, d) -> peer -> how many times as long as ours it should take, at least
TARGETS = {
    (100, 1): {"hyperopt": 8, "optuna": 8, "optuna independent": 8},
    (100, 4): {},
    (100, 8): {},
    (100, 12): {"hyperopt": 30, "optuna": 12, "optuna independent": 12},
    (1000, 12): {"hyperopt": 20, "optuna": 10, "optuna independent": 10},
}


def ratios(seconds: pd.DataFrame, n_trials: int) -> pd.DataFrame:
    """One row each d and peer; seconds: index (d, peer), columns least and median."""
    rows = []
    for (d, peer), (least, median) in seconds.iterrows():
        if not peer.startswith("gsos"):
            ours, target = seconds.loc[d, "gsos"], TARGETS[n_trials, d].get(peer)
            least, median = least / ours["least"], median / ours["median"]
            met = "" if target is None else "met" if least >= target else "missed"
            rows.append((n_trials, d, PEERS[peer].title, least, median, target, met))
    return pd.DataFrame(rows, columns=["trials", "d", "peer", "least", "median", "target", "by the least"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--long-repeats", type=int, default=1)
    args = parser.parse_args()
    tables = []
    for n_trials, repeats in ((100, args.repeats), (1000, args.long_repeats)):
        dimensions = [d for n, d in TARGETS if n == n_trials]
        runs = time_runs(list(PEERS), dimensions, n_trials, repeats=repeats, seed=0)
        seconds = runs.groupby(["d", "peer"]).tpe.agg(least="min", median="median")
        shown = (1000 * seconds).map("{:.1f}".format)
        print(f"milliseconds of {n_trials} trials, least / median of {repeats}")
        print((shown["least"] + " / " + shown["median"]).unstack()[list(PEERS)].to_string(), end="\n\n", flush=True)
        tables.append(ratios(seconds, n_trials))
    print("times as long as ours")
    print(pd.concat(tables).to_string(index=False, float_format="{:.3g}".format, na_rep=""))


if __name__ == "__main__":
    main()
