"""Anybody's trials: read from files and Optuna storages, chosen, and put before the judges of importance."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from gsos.guess import Guess, guess_columns, kept
from gsos.importance import JUDGES, Importance, assess
from gsos.space import is_ordered

optuna.logging.set_verbosity(optuna.logging.WARNING)

ENOUGH = 300  # rows from which calibrated RReliefF can be believed


class Trials(NamedTuple):
    """What a file or a study holds."""

    frame: pd.DataFrame  # one trial a row
    performance: str | None  # its column, where the source says
    maximise: bool
    space: dict[str, BaseDistribution]  # of the hyperparameters whose distributions the source knows


class Chosen(NamedTuple):
    """What can be judged."""

    frame: pd.DataFrame  # the rows used, their performance such that higher is better
    performance: str
    guesses: dict[str, Guess]  # of every column that might be a hyperparameter
    messages: list[str]  # rows and columns that were left out, and why

    @property
    def space(self) -> dict[str, BaseDistribution]:
        return kept(self.guesses)


def read(source: str | Path, study: str | None = None) -> Trials:
    """Trials from a CSV or Parquet file, or the complete ones of an Optuna study in a journal file or a database.

    source: a path, or the URL of the database. study: a name, needed where an Optuna storage holds several. Nothing
    is written. Parameters of a study that are categories come as text; its values are the column "value".

    Raises ValueError, naming the source, where there is no such file, study or trial, and where it cannot be read.
    """
    path = Path(source)
    is_url = "://" in str(source)
    try:
        if not is_url and not path.is_file():
            raise ValueError("there is no such file")
        if is_url or _is_journal(path):
            return _from_study(_load_study(_open(source), study))
        if study is not None:
            raise ValueError(f"study {study!r} was asked for, but this is no Optuna storage")
        return Trials(_table(path), None, True, {})
    except (ValueError, OSError, ImportError, RuntimeError, SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error  # what the database said
        reason = (str(cause).splitlines() or [type(cause).__name__])[0]
        ours = type(error) is ValueError  # the readers raise subclasses
        raise ValueError(f"{source}: {reason if ours else f'cannot be read: {reason}'}") from error


def _table(path: Path) -> pd.DataFrame:
    match path.suffix.lower():
        case ".csv":
            frame = pd.read_csv(path, low_memory=False)
        case ".parquet":
            frame = pd.read_parquet(path)
        case suffix:
            raise ValueError(
                f"{suffix or 'a file without a suffix'} is not known; give .csv, .parquet, an Optuna journal file, "
                "or a database's URL such as sqlite:///study.db"
            )
    if frame.empty:
        raise ValueError("the table is empty")
    return frame.rename(columns=str)


def _is_journal(path: Path) -> bool:
    with path.open("rb") as file:
        line = file.readline(1000)
    return line.startswith(b"{") and b'"op_code"' in line


def _open(source: str | Path) -> BaseStorage:
    """The storage, as it is: `records.open_storage` would make what is missing and mend what is torn."""
    if "://" not in str(source):
        return JournalStorage(JournalFileBackend(str(source)))
    url = make_url(str(source))
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise ValueError("there is no such file")
    return RDBStorage(str(source), skip_table_creation=True)


def _load_study(storage: BaseStorage, name: str | None) -> optuna.Study:
    names = optuna.get_all_study_names(storage)
    if not names:
        raise ValueError("the storage holds no study")
    if name is None and len(names) > 1:
        raise ValueError(f"the storage holds several studies, choose one with --study: {', '.join(names)}")
    if name is not None and name not in names:
        raise ValueError(f"there is no study {name!r}; there are {', '.join(names)}")
    return optuna.load_study(study_name=name or names[0], storage=storage)


def _from_study(study: optuna.Study) -> Trials:
    if len(study.directions) > 1:
        raise ValueError(
            f"study {study.study_name!r} has {len(study.directions)} objectives; write its trials_dataframe() to CSV "
            "and choose a column"
        )
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not trials:
        raise ValueError(f"study {study.study_name!r} has no complete trials")
    found: dict[str, list[BaseDistribution]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            found.setdefault(name, []).append(distribution)
    space = {name: _union(distributions) for name, distributions in found.items()}
    performance = "value" if "value" not in space else "the study's value"
    rows = [
        {name: value if is_ordered(space[name]) else str(value) for name, value in trial.params.items()}
        | {performance: trial.value}
        for trial in trials
    ]
    return Trials(pd.DataFrame(rows), performance, study.direction == StudyDirection.MAXIMIZE, space)


def _union(distributions: list[BaseDistribution]) -> BaseDistribution:
    """One distribution of a hyperparameter whose range changed while the study ran, as Optuna allows.

    Categories become text (also None, which a frame would hold for missing), numeric choices get into their order.
    """
    first = distributions[0]
    if isinstance(first, CategoricalDistribution):
        return CategoricalDistribution(sorted(first.choices) if is_ordered(first) else [str(c) for c in first.choices])
    if all(d == first for d in distributions):
        return first
    low, high = min(d.low for d in distributions), max(d.high for d in distributions)
    return type(first)(low, high, log=all(d.log for d in distributions))


def choose(
    trials: Trials,
    performance: str | None = None,
    columns: Iterable[str] = (),
    *,
    maximise: bool | None = None,
    log: Iterable[str] = (),
    linear: Iterable[str] = (),
    categorical: Iterable[str] = (),
) -> Chosen:
    """The rows and hyperparameters that can be judged.

    performance: a column of numbers, by default what the source says; rows where it is not finite are left out.
    columns: the hyperparameters, by default all other columns. One that has no value in some rows is left out by
    default; of those named here, only the rows where they all exist are used. maximise: whether higher is better, by
    default as the source says. log, linear, categorical: names whose type is known better than guessed.

    Raises ValueError for unknown names, a performance that is no number or the same everywhere, and where nothing is
    left.
    """
    columns, categorical = list(dict.fromkeys(columns)), list(categorical)
    performance = performance or trials.performance
    frame, messages = _with_performance(trials.frame, performance)
    names = columns or [name for name in frame if name != performance]
    if unknown := [name for name in names if name not in frame or name == performance]:
        others = ", ".join(name for name in frame if name != performance)
        raise ValueError(f"{unknown[0]!r} cannot be a hyperparameter; there are {others}")
    if columns:
        frame = _where_they_exist(frame, names, messages)
    if len(frame) < 2 or frame[performance].nunique() < 2:
        raise ValueError(f"{performance} is the same in all {len(frame)} rows: nothing can be said of it")
    if not (trials.maximise if maximise is None else maximise):
        frame[performance] *= -1
    for name in set(categorical) & set(names):
        frame[name] = frame[name].map(_text, na_action="ignore")  # names, not levels
    guesses = guess_columns(frame[names], log, linear, categorical)
    known = {name: d for name, d in trials.space.items() if name in names and name not in {*log, *linear, *categorical}}
    guesses |= {name: Guess(distribution, "as in the study") for name, distribution in known.items()}
    for name, missing in frame[names].isna().sum().items():
        if missing and guesses[name].distribution:
            why = f"it has no value in {missing} of {len(frame)} rows; with --columns, only the others are used"
            guesses[name] = Guess(None, why)
    left_out = [f"{name} left out: {found.why}" for name, found in guesses.items() if found.distribution is None]
    if len(left_out) == len(guesses):
        raise ValueError("; ".join(["no hyperparameters", *left_out]))
    if not columns and not trials.space:
        messages.append(f"every column but {performance} is a hyperparameter, unless --columns names these")
    return Chosen(frame, performance, guesses, messages + left_out)


def _with_performance(frame: pd.DataFrame, performance: str | None) -> tuple[pd.DataFrame, list[str]]:
    """The rows with a finite performance, as float, infinities in other columns missing; and what was left out."""
    if performance not in frame:
        problem = f"there is no column {performance!r}" if performance else "--performance must name a column"
        raise ValueError(f"{problem}; there are {', '.join(frame)}")
    p = pd.to_numeric(frame[performance], errors="coerce").astype(float)
    if (wrong := p.isna() & frame[performance].notna()).any():
        raise ValueError(f"performance {performance!r} must hold numbers, not {frame[performance][wrong].iloc[0]!r}")
    finite = np.isfinite(p)
    frame = frame.assign(**{performance: p})[finite].reset_index(drop=True)
    numbers = frame.select_dtypes("number").columns
    frame[numbers] = frame[numbers].replace([np.inf, -np.inf], np.nan)
    if frame.empty:
        raise ValueError(f"{performance} is not finite in any of {len(p)} rows")
    left_out = f", {(~finite).sum()} without a finite {performance} left out" if not finite.all() else ""
    return frame, [f"{len(p)} rows{left_out}"]


def _where_they_exist(frame: pd.DataFrame, names: list[str], messages: list[str]) -> pd.DataFrame:
    missing = frame[names].isna().sum()
    there = frame[names].notna().all(axis=1)
    if there.all():
        return frame
    counts = ", ".join(f"{name} ({count})" for name, count in missing[missing > 0].items())
    if not there.any():
        raise ValueError(f"no row has all of the hyperparameters; rows without: {counts}")
    messages.append(f"{there.sum()} rows used, {(~there).sum()} left out for want of a value: {counts}")
    return frame[there].reset_index(drop=True)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def pick_judges(names: Iterable[str], chosen: Chosen, *, of_a_study: bool = False) -> list[str]:
    """The judges of these names ("all": every one); where there are none, two that suit the trials.

    Calibrated RReliefF is one of the two from 300 trials on, unless they are a study's, whose sampler mostly learns.
    Raises ValueError for an unknown name.
    """
    names = list(dict.fromkeys(names))
    if unknown := [name for name in names if name not in (*JUDGES, "all")]:
        raise ValueError(f"there is no judge {unknown[0]!r}; there are {', '.join(JUDGES)}, all")
    if "all" in names:
        return list(JUDGES)
    varying = sum(chosen.frame[name].nunique() > 1 for name in chosen.space)
    suits = len(chosen.frame) >= ENOUGH and varying > 1 and not of_a_study
    return names or ["fanova-total", "calibrated" if suits else "fanova"]


def ask(
    chosen: Chosen, judges: Iterable[str], *, n_neighbours: int = 30, seed: int = 0
) -> tuple[dict[str, Importance], dict[str, str]]:
    """What each judge says; and of those that can say nothing, why. What a judge warns of goes to its remark.

    n_neighbours: of the RReliefF family, taken down to what there is.
    """
    options = {"performance": chosen.performance, "n_neighbours": min(n_neighbours, len(chosen.frame) - 1)}
    found, failed = {}, {}
    for judge in judges:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                importance = assess(chosen.frame, chosen.space, judge, **options, seed=seed)
            except (ValueError, RuntimeError) as error:
                failed[judge] = str(error)
                continue
        warned = [str(warning.message) for warning in caught if warning.category is UserWarning]
        found[judge] = importance._replace(remark="; ".join(filter(None, [importance.remark, *warned])))
    return found, failed


def shares(found: Mapping[str, Importance]) -> pd.DataFrame:
    """The shares of importance: a row each hyperparameter, a column each judge; sorted, the first judge first."""
    frame = pd.DataFrame({judge: importance.table.share for judge, importance in found.items()})
    return frame.sort_values(list(frame), ascending=False, kind="stable")


def labels(judges: Iterable[str]) -> dict[str, str]:
    """The title of each judge with what it estimates."""
    return {judge: f"{JUDGES[judge].title}: {JUDGES[judge].estimates}" for judge in judges}
