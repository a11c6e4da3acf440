"""The command `gsos`: run the notebooks, collect trial records, rebuild the figures, judge trials, get datasets."""

import shutil
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
import yaml
from typer.core import TyperCommand

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Which hyperparameters matter, and how does knowing it make tuning faster?",
)
data = typer.Typer(no_args_is_help=True, help="The datasets of the three papers: list them, get them.")
app.add_typer(data, name="data")


class _PairCommand(TyperCommand):
    """Takes `-p NAME VALUE` as papermill does; Typer's own lists have options of one value only."""

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        joined, rest = [], iter(args)
        for arg in rest:
            joined.append(arg)
            if arg in ("-p", "--parameter"):
                name, value = next(rest, None), next(rest, None)
                if value is None:
                    raise typer.BadParameter("-p needs two values: NAME VALUE")
                joined.append(f"{name}={value}")
        return super().parse_args(ctx, joined)


@app.command(cls=_PairCommand)
def run(
    notebooks: Annotated[list[str] | None, typer.Argument(help="Numbers, names or paths; all where none.")] = None,
    profile: Annotated[str, typer.Option(help="A file in notebooks/profiles: how much is run.")] = "quick",
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME VALUE", help="A parameter of the notebooks; repeatable."),
    ] = None,
) -> None:
    """Run notebooks with a profile and write runs/PROFILE. What is done and unchanged is skipped.

    All notebooks end with the report (`gsos report`).
    """
    from gsos import notebooks as nb
    from gsos import report as site

    overrides = dict(pair.split("=", 1) for pair in parameter or [])
    try:
        chosen = nb.find(notebooks or [])
        parameters = nb.read_profile(profile) | {name: yaml.safe_load(value) for name, value in overrides.items()}
        for notebook in chosen:
            nb.check_parameters(notebook, parameters)
        runs = [nb.run(notebook, parameters) for notebook in chosen]
        if not notebooks:
            site.make(runs[0].notebook.parents[1])
    except (ValueError, OSError, yaml.YAMLError, nb.NotebookError) as error:
        _fail(error)
    except KeyboardInterrupt:
        _fail("stopped; what had finished is recorded, and the same command goes on from there")
    _summary(runs)


def _summary(runs: list) -> None:
    """What was made, where to look, where the time went."""
    from gsos.notebooks import section_seconds

    folder = runs[0].notebook.parents[1]
    for notebook, seconds, skipped in runs:
        print(f"\n{notebook.stem}: " + ("done before, nothing has changed" if skipped else f"{seconds:.0f} s"))
        sections = sorted(section_seconds(notebook).items(), key=lambda item: -item[1])
        for heading, duration in sections[:3]:
            print(f"  {duration:6.1f} s  {heading}")
    print(f"\nIn {folder}:")
    for kind in ("notebooks/*.ipynb", "figures/*.png", "figures/*.svg", "tables/*.csv", "run.log", "report/index.html"):
        if files := sorted(folder.glob(kind)):
            print(f"  {kind:<18} {len(files):>3}  {', '.join(file.stem for file in files)}")


@app.command()
def collect(
    dataset: Annotated[str, typer.Option(help="A name of `gsos data list`, or of NAME.npz in the same folder.")],
    n: Annotated[int, typer.Option(help="Records wanted, random search : BOHB = 7 : 3.")],
    workers: Annotated[int | None, typer.Option(help="Processes; default one a core.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; processes may share a GPU.")] = "auto",
    study: Annotated[str, typer.Option(help="Name of the study; one study, one set of sizes.")] = "hia",
    store: Annotated[str, typer.Option(help="Journal file or RDB URL.")] = "runs/hia/trials.journal",
    n_train: Annotated[int | None, typer.Option(help="Training images; default all.")] = None,
    size: Annotated[int | None, typer.Option(help="Resize the images to so many pixels.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    export: Annotated[Path | None, typer.Option(help="Write the records to this Parquet file.")] = None,
) -> None:
    """Train CNNs of HIA's space and record them. Stop and repeat it as you like: it goes on where it was."""
    from gsos import records
    from gsos.collect import collect as collect_records
    from gsos.datasets import load

    try:
        images = load(dataset, n_train=n_train, size=size, seed=seed)
        frame = collect_records(
            images, n, store=store, study=study, workers=workers, device=device, seed=seed, progress=True
        )
        if export is not None:
            records.export(frame, export)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        _fail(error)
    except KeyboardInterrupt:
        _fail("stopped; what had finished is recorded, and the same command goes on from there")
    counts = ", ".join(f"{count} {state}" for state, count in frame.state.value_counts().items())
    print(f"{len(frame)} records of {dataset} in {store}: {counts}; best {frame.validation_accuracy.max():.4f}")


@app.command()
def figures() -> None:
    """Rebuild figures/, the notebooks' saved outputs and the README's verdicts from the committed records."""
    from gsos import notebooks as nb
    from gsos import verdicts
    from gsos.paths import ROOT

    try:
        every = nb.find([])
        for notebook, done in zip(every, nb.run_side_by_side(every, nb.read_profile("recorded")), strict=True):
            nb.save_outputs(done.notebook, notebook)
            folder = done.notebook.parents[1]
            for file in sorted(folder.glob(f"figures/{notebook.stem[:2]}_*")):
                shutil.copy(file, ROOT / "figures")
                print(ROOT / "figures" / file.name)
        table = verdicts.join(folder)
        verdicts.shown(table).assign(why=table.why).to_csv(ROOT / "figures" / "verdicts.csv")
        readme = ROOT / "README.md"
        readme.write_text(verdicts.put_into(readme.read_text(), verdicts.in_short(table)))
    except (ValueError, OSError, nb.NotebookError) as error:
        _fail(error)


@app.command()
def report(
    profile: Annotated[str, typer.Option(help="Whose run is reported, of those in runs/.")] = "quick",
) -> None:
    """Make the replication report of a run, runs/PROFILE/report: a static site for any browser, without a network."""
    from gsos import notebooks as nb
    from gsos import report as site
    from gsos.paths import RUNS

    try:
        nb.read_profile(profile)
        print(site.make(RUNS / profile))
    except (ValueError, OSError) as error:
        _fail(error)


@app.command()
def importance(
    source: Annotated[
        str, typer.Argument(metavar="TRIALS", help="CSV, Parquet, Optuna journal file, or URL of a database.")
    ],
    performance: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="What is to be explained; of a study its value.")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option(metavar="NAMES", help="Hyperparameters: repeat, or A,B,C; default all others.")
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="calibrated, fanova-total, fanova, ped-anova, ... or all; repeatable. Default: two that suit.",
        ),
    ] = None,
    log: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Is on a log scale; repeatable.")] = None,
    linear: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Is on a linear scale; repeatable.")] = None,
    categorical: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Has values without order; repeatable.")
    ] = None,
    maximise: Annotated[
        bool | None,
        typer.Option("--maximise/--minimise", help="What is good; only ped-anova asks. Default: as the study, or max."),
    ] = None,
    study: Annotated[str | None, typer.Option(help="Of an Optuna storage that holds several.")] = None,
    neighbours: Annotated[int, typer.Option(min=1, help="For judges of the RReliefF family.")] = 30,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder for importance.csv, .png and .svg.")] = Path("runs/importance"),
) -> None:
    """Which hyperparameters matter, in trials of your own: a table and a bar plot.

    A main effect is what a hyperparameter does on average over the others: what tuning it alone can gain.

    A total effect counts its interactions with the others too: one without can be left alone.
    """
    from gsos import trials

    try:
        found_trials = trials.read(source, study)
        chosen = trials.choose(
            found_trials,
            performance,
            [name.strip() for names in columns or [] for name in names.split(",")],
            maximise=maximise,
            log=log or [],
            linear=linear or [],
            categorical=categorical or [],
        )
        judges = trials.pick_judges(judge or [], chosen, of_a_study=bool(found_trials.space))
        _say_what_is_judged(chosen, neighbours)
        found, failed = trials.ask(chosen, judges, n_neighbours=neighbours, seed=seed)
        silent = [f"{name} can say nothing: {why}" for name, why in failed.items()]
        if not found:
            _fail("; ".join(silent))
        for line in silent:
            print(f"gsos: {line}", file=sys.stderr)
        _say_importance(found)
        _write_importance(found, out, f"{len(chosen.frame)} trials of {Path(source).name}: {chosen.performance}")
    except (ValueError, OSError) as error:
        _fail(error)


def _say_what_is_judged(chosen, neighbours: int) -> None:
    from gsos.guess import describe

    print("\n".join(chosen.messages))
    if (most := len(chosen.frame) - 1) < neighbours:
        print(f"judges that look at neighbours look at {most}, not {neighbours}: there are no more")
    print("\nHyperparameters; where a type is wrong, say --log, --linear or --categorical NAME:")
    print(describe(chosen.guesses).to_string(max_colwidth=70))


def _say_importance(found: dict) -> None:
    from gsos.trials import labels, shares

    print("\nShares of importance (they sum to 1 also where little was found: see the remarks):")
    print(f"{shares(found).to_string(float_format='{:.3f}'.format)}\n")
    for judge, label in labels(found).items():
        print(f"{judge:<{max(map(len, found))}}  {'; '.join(filter(None, [label, found[judge].remark]))}")


def _write_importance(found: dict, folder: Path, footer: str) -> None:
    import matplotlib
    import pandas as pd

    from gsos import figures, figures_hia
    from gsos.trials import labels, shares

    folder.mkdir(parents=True, exist_ok=True)
    pd.concat({judge: said.table for judge, said in found.items()}, names=["judge"]).to_csv(folder / "importance.csv")
    matplotlib.use("agg")  # no window
    figures.style()
    figures.save(figures_hia.importance_bars(shares(found), labels(found)), folder, "importance", footer)
    print(f"\nIn {folder}: importance.csv, importance.png, importance.svg")


Root = Annotated[Path | None, typer.Option(help="Folder of the datasets; default $GSOS_DATA, else data/raw.")]


@data.command("list")
def list_datasets(root: Root = None) -> None:
    """Every dataset: its paper, images, classes, pixels, channels, licence, size, and where it is if it is here."""
    from gsos import catalogue

    print(catalogue.table(root).to_string())
    print(
        f"\nLooked for in {catalogue.data_root(root)}. `gsos data fetch NAME` gets one; hia, gsos and hgd are groups."
    )


@data.command()
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Datasets, or groups: hia, gsos, hgd.")],
    root: Root = None,
) -> None:
    """Get datasets as they were published. What is there is not fetched again; what was interrupted goes on."""
    from gsos import catalogue

    folder, failed = catalogue.data_root(root), []
    try:
        chosen = catalogue.choose(names)
    except ValueError as error:
        _fail(error)
    for entry in chosen:
        size = f", {catalogue.megabytes(entry.files)}" if entry.files else ""
        print(f"{entry.name}: {entry.title}{size}; licence: {entry.licence}; cite {entry.citation}")
        try:
            news = "fetched" if catalogue.fetch(entry, folder) else "is here already"
            print(f"{entry.name} {news}: {catalogue.where(entry, folder)}")
        except (ValueError, OSError) as error:
            failed.append(entry.name)
            print(f"gsos: {entry.name}: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            _fail("stopped; what has come is kept, and the same command goes on from there")
    if failed:
        _fail(f"{len(failed)} of {len(chosen)} failed: {', '.join(failed)}; the same command tries these again")


def _fail(error: object) -> NoReturn:
    print(f"gsos: {error}", file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
