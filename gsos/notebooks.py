"""Run the numbered notebooks with a profile through papermill; what is done and unchanged is skipped."""

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import nbformat
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from gsos.paths import DATA, ROOT, RUNS
from gsos.profiles import PROFILES

FOLDER = ROOT / "notebooks"
JOINS = "08"  # the notebook that reads what the others wrote
SLOWEST = ("02", "07", "03", "06")  # with committed records; they start first
COMMON = ("PROFILE", "SEED", "DEVICE", "WORKERS")  # the parameters that every notebook has, and a profile may hold


class NotebookError(RuntimeError):
    """A notebook that did not run to its end; the message says which, where, why, and where to read it."""


class Run(NamedTuple):
    """One notebook that was run, or skipped since nothing had changed."""

    notebook: Path  # as executed
    seconds: float
    skipped: bool


def find(names: Sequence[str]) -> list[Path]:
    """Notebooks by number ("01"), name or path; all of them for none. Raises ValueError for one that is not there."""
    every = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
    chosen = []
    for name in names:
        found = [path for path in every if path.stem == Path(name).stem or path.stem.startswith(f"{name}_")]
        if not found or (Path(name).is_file() and Path(name).resolve() not in found):
            raise ValueError(f"there is no notebook {name!r}; there are {', '.join(path.stem for path in every)}")
        chosen += found
    return chosen or every


def read_profile(name: str) -> dict[str, object]:
    """The parameters of a profile. Raises ValueError for an unknown profile or an unknown key in its file."""
    path = FOLDER / "profiles" / f"{name}.yaml"
    if not path.is_file():
        there = ", ".join(p.stem for p in sorted((FOLDER / "profiles").glob("*.yaml")))
        raise ValueError(f"there is no profile {name!r}; there are {there}")
    try:
        parameters = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    if not isinstance(parameters, dict) or (unknown := [key for key in parameters if key not in COMMON]):
        keys = f"unknown keys {unknown}" if isinstance(parameters, dict) else "no keys"
        raise ValueError(f"{path} has {keys}; a profile holds {', '.join(COMMON)} only")
    if parameters.get("PROFILE") not in PROFILES:
        raise ValueError(f"{path}: PROFILE must be one of {', '.join(PROFILES)}, not {parameters.get('PROFILE')!r}")
    return parameters


def check_parameters(notebook: Path, parameters: Mapping[str, object]) -> None:
    """Raises ValueError for a parameter that the notebook does not have (papermill would only warn)."""
    known = papermill.inspect_notebook(str(notebook))
    if unknown := [name for name in parameters if name not in known]:
        raise ValueError(f"{notebook.name} has no parameter {unknown[0]!r}; it has {', '.join(known)}")


def run(notebook: Path, parameters: Mapping[str, object], *, folder: Path | None = None) -> Run:
    """Execute a notebook into `folder`/notebooks (default runs/<profile>), with a progress bar.

    Raises NotebookError, naming notebook and cell; what ran until then is readable in the executed notebook.
    """
    check_parameters(notebook, parameters)
    folder = folder or RUNS / str(parameters["PROFILE"])
    output = folder / "notebooks" / notebook.name
    stamp = output.with_suffix(".json")
    fingerprint = _fingerprint(notebook, parameters, folder)
    if (before := _unchanged(output, stamp, fingerprint)) is not None:
        return Run(output, before, skipped=True)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        _log_to(folder / "run.log")
    except OSError as error:
        why = f"the run's folder cannot be written ({error.strerror}); make it writable or make room"
        raise OSError(error.errno, why, str(folder)) from error
    start = time.monotonic()
    try:
        papermill.execute_notebook(
            str(notebook),
            str(output),
            dict(parameters),
            cwd=str(ROOT),
            log_output=True,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],  # not that a local kernel's port is unencrypted
            progress_bar={"desc": notebook.stem, "bar_format": "{desc} {bar} {n_fmt}/{total_fmt} cells, {elapsed}"},
        )
    except PapermillExecutionError as error:
        sources = [cell.source for cell in nbformat.read(notebook, as_version=4).cells]
        number = sources.index(error.source) + 1 if error.source in sources else "of parameters"
        raise NotebookError(
            f"{notebook.name}, cell {number} ({_first_line(error.source)}): "
            f"{error.ename}: {error.evalue}\nIt ran until there; read {output}"
        ) from error
    except DeadKernelError as error:
        raise NotebookError(
            f"{notebook.name}: its process died (killed, or out of memory). Finished trials are recorded: run the same "
            f"command again, with fewer WORKERS if memory was short. It ran until there; read {output}"
        ) from error
    seconds = time.monotonic() - start
    made = [str(path) for kind in ("figures", "tables") for path in folder.glob(f"{kind}/{notebook.stem[:2]}_*")]
    stamp.write_text(json.dumps({"fingerprint": fingerprint, "seconds": seconds, "made": sorted(made)}))
    return Run(output, seconds, skipped=False)


def run_side_by_side(notebooks: Sequence[Path], parameters: Mapping[str, object]) -> list[Run]:
    """As `run`, of each in its own process, as many at a time as there are cores; the one that joins the rest is last.

    For a profile that trains nothing: trainings fill the cores by themselves.
    """
    last = [notebook for notebook in notebooks if notebook.name.startswith(JOINS)]
    first = [notebook for notebook in notebooks if notebook not in last]
    first.sort(key=lambda notebook: SLOWEST.index(notebook.name[:2]) if notebook.name[:2] in SLOWEST else len(SLOWEST))
    with get_context("spawn").Pool() as pool:  # not more at a time than cores
        runs = pool.map(partial(run, parameters=parameters), first, chunksize=1)
        pool.close()
        pool.join()
    runs += [run(notebook, parameters) for notebook in last]
    return sorted(runs, key=lambda each: [path.name for path in notebooks].index(each.notebook.name))


def section_seconds(executed: Path) -> dict[str, float]:
    """Seconds spent under each heading of an executed notebook."""
    heading, seconds = executed.stem, {}
    for cell in nbformat.read(executed, as_version=4).cells:
        if cell.cell_type == "markdown":
            titles = [line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")]
            heading = titles[-1] if titles else heading
        duration = cell.metadata.get("papermill", {}).get("duration") or 0.0
        seconds[heading] = seconds.get(heading, 0.0) + duration
    return seconds


def save_outputs(executed: Path, notebook: Path) -> None:
    """Put an executed notebook's outputs into the notebook itself, without times and injected parameters."""
    source, done = nbformat.read(notebook, as_version=4), nbformat.read(executed, as_version=4)
    ran = [cell for cell in done.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    count = 0
    for cell, result in zip(source.cells, ran, strict=True):
        if cell.cell_type == "code":
            count += 1
            cell.outputs, cell.execution_count = result.outputs, count
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = count
    nbformat.write(source, notebook)


def _unchanged(output: Path, stamp: Path, fingerprint: str) -> float | None:
    """The seconds of an earlier run that this one would repeat, with all it made still there; else None."""
    if not (output.is_file() and stamp.is_file()):
        return None
    try:
        before = json.loads(stamp.read_text())
    except json.JSONDecodeError:  # cut short
        return None
    whole = before["fingerprint"] == fingerprint and all(Path(path).is_file() for path in before["made"])
    return before["seconds"] if whole else None


def _first_line(source: str) -> str:
    return next((line.strip() for line in source.splitlines() if line.strip()), "")[:80]


def _fingerprint(notebook: Path, parameters: Mapping[str, object], folder: Path) -> str:
    """Of all that the outcome depends on: parameters, the notebook's sources, the package and the data.

    For the notebook that joins the others' results, these too.
    """
    cells = [cell.source for cell in nbformat.read(notebook, as_version=4).cells]
    digest = hashlib.sha256(json.dumps([dict(parameters), cells], sort_keys=True, default=str).encode())
    files = [*Path(__file__).parent.glob("*.py"), *DATA.glob("published/*"), *DATA.glob("records/**/*.parquet")]
    if notebook.name.startswith(JOINS):
        files += [path for kind in ("claims", "tables") for path in folder.glob(f"{kind}/[0-9]*.csv")]
        files = [path for path in files if not path.name.startswith(JOINS)]
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _log_to(path: Path) -> None:
    """papermill's log, with the cells' output, goes to this file."""
    logger = logging.getLogger("papermill")
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
