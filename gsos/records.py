"""Trial records: one row an evaluation, kept in an Optuna storage while a study runs, in Parquet once published."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import optuna
import pandas as pd
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from gsos.space import Space

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Column(NamedTuple):
    name: str
    dtype: str
    unit: str
    meaning: str
    kind: str  # "key", "hyperparameter", "data", "result", "cost" or "provenance"


COLUMNS: list[Column] = [
    Column("study", "string", "", "what was run and at which sizes, such as hia-quick", "key"),
    Column("strategy", "string", "", "what chose the configurations: random, bohb, or one of `STRATEGIES`", "key"),
    Column("dataset", "string", "", "name in `datasets`", "key"),
    Column("seed", "Int64", "", "seed of the study", "key"),
    Column("round", "Int64", "", "repetition of the study, from 0", "key"),
    Column("iteration", "Int64", "", "number of the evaluation in its strategy, from 0", "key"),
    Column("group", "Int64", "", "group of hyperparameters tuned, from 0; null where there are no groups", "data"),
    Column("origin", "string", "", "of the configuration: startup, random, model or fallback", "data"),
    Column("model", "Int64", "", "iteration of this model's first evaluation; others continue its training", "data"),
    Column("num_conv_layers", "Int64", "layers", "convolutional layers", "hyperparameter"),
    Column("lr", "float64", "", "learning rate", "hyperparameter"),
    Column("dropout_rate", "float64", "", "share of units dropped before a fully connected layer", "hyperparameter"),
    Column("optimizer", "string", "", "Adam or SGD (HIA), adam or sgd (GSOS)", "hyperparameter"),
    Column("epoch", "Int64", "epochs", "passes over the training images: the evaluation's budget", "hyperparameter"),
    Column("stride", "Int64", "pixels", "stride of the convolutions", "hyperparameter"),
    Column("padding", "", "pixels", "of the convolutions: pixels (HIA), or valid and same (GSOS)", "hyperparameter"),
    Column("kernel", "Int64", "pixels", "side of the convolutions' kernels", "hyperparameter"),
    Column("num_fc_units", "Int64", "units", "width of the hidden fully connected layer", "hyperparameter"),
    Column("batch_size", "Int64", "images", "images a step", "hyperparameter"),
    *(
        Column(f"num_filters_{i}", "Int64", "filters", f"of layer {i}; null where it does not exist", "hyperparameter")
        for i in range(1, 5)
    ),
    Column("n_train", "Int64", "images", "training images", "data"),
    Column("n_valid", "Int64", "images", "validation images", "data"),
    Column("n_test", "Int64", "images", "test images", "data"),
    Column("in_channel_num", "Int64", "channels", "colour channels of the images", "data"),
    Column("image_size", "Int64", "pixels", "height of the images", "data"),
    Column("n_classes", "Int64", "classes", "classes of the dataset", "data"),
    Column("images_crc32", "Int64", "", "checksum of the training and validation images and their labels", "data"),
    Column("state", "string", "", "complete, diverged (a loss was not finite) or failed (an error)", "result"),
    Column("error", "string", "", "the error of a failed training", "result"),
    Column("validation_accuracy", "float64", "", "share of validation images, in [0, 1]; the last finite", "result"),
    Column("test_accuracy", "float64", "", "share of test images, in [0, 1]", "result"),
    Column("validation_loss", "float64", "nats", "mean cross-entropy of a validation image", "result"),
    Column("multiply_adds", "Int64", "", "multiply-adds of one image's forward pass", "result"),
    Column("n_parameters", "Int64", "", "trained numbers of the network", "result"),
    Column("clipped", "boolean", "", "whether an operation did not fit the feature map and was clipped", "result"),
    Column("epochs_trained", "Int64", "epochs", "trained for this evaluation; fewer when it continued", "cost"),
    Column("train_seconds", "float64", "s", "CPU or device seconds of these epochs, without evaluation", "cost"),
    Column(
        "propose_seconds",
        "float64",
        "s",
        "seconds that choosing the configuration took: of the clock (HIA) or the CPU (GSOS)",
        "cost",
    ),
    Column("device", "string", "", "cpu, or the name of the CUDA device", "provenance"),
    Column("version", "string", "", "versions of gsos and PyTorch", "provenance"),
    Column("finished", "string", "UTC", "when the record was made", "provenance"),
]
KEY = [column.name for column in COLUMNS if column.kind == "key"]


def describe() -> pd.DataFrame:
    """The columns of a record with type, unit and meaning."""
    return pd.DataFrame(COLUMNS).set_index("name")


def to_frame(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Rows (dicts) as a frame, typed, sorted by key; its columns are those of COLUMNS that occur, and all results.

    A key that occurs twice (two machines that ran the same study) is kept once.
    """
    frame = pd.DataFrame(list(rows))
    if unknown := [name for name in frame if name not in describe().index]:
        raise ValueError(f"a record has the unknown columns {unknown}; `records.COLUMNS` says which there are")
    if frame.empty:
        return pd.DataFrame({name: pd.Series(dtype=describe().dtype[name]) for name in KEY})
    frame = frame.reindex(columns=[c.name for c in COLUMNS if c.name in frame or c.kind == "result"])
    present = [c for c in COLUMNS if c.name in frame and (c.kind in ("key", "result") or frame[c.name].notna().any())]
    typed = {c.name: frame[c.name].astype(c.dtype) if c.dtype else frame[c.name].convert_dtypes() for c in present}
    return pd.DataFrame(typed).drop_duplicates(KEY).sort_values(KEY, ignore_index=True)


def concat(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Several frames of records as one, sorted by key; a key that occurs twice is kept once."""
    return to_frame(pd.concat([frame.astype(object) for frame in frames], ignore_index=True).to_dict("records"))


def select(frame: pd.DataFrame, study: str, datasets: Iterable[str] | None = None) -> pd.DataFrame:
    """The records of a study, of some datasets where these are given. Raises ValueError where there are none."""
    chosen = frame[(frame.study == study) & (frame.dataset.isin(list(datasets)) if datasets is not None else True)]
    if chosen.empty:
        there = ", ".join(f"{s} ({d})" for s, d in frame.groupby(["study", "dataset"]).groups)
        raise ValueError(f"there are no records of study {study!r} and datasets {datasets}; there are {there}")
    return chosen.reset_index(drop=True)


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """What must be equal when a study is run again: all but times and provenance."""
    excluded = {column.name for column in COLUMNS if column.kind in ("cost", "provenance")}
    return frame.drop(columns=[name for name in frame if name in excluded])


def open_storage(store: str | Path) -> optuna.storages.BaseStorage:
    """An Optuna storage: a journal file (made where there is none), or the database of an RDB URL.

    A line that a full disk cut short is dropped. Raises OSError, naming the file, when it cannot be written, and
    ValueError when it is no journal.
    """
    if "://" in str(store):
        try:
            return optuna.storages.get_storage(str(store))
        except (SQLAlchemyError, ImportError, ValueError) as error:
            raise ValueError(f"the store {store} cannot be opened: {error}") from error
    path = Path(store)
    lock = FileLock(f"{path}.lock")  # an operating system's lock: unlike Optuna's own, it dies with its process
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock:
            _mend(path)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except OSError as error:
        raise OSError(
            error.errno, f"the record store cannot be written ({error.strerror}); choose another place", str(path)
        ) from error


def _mend(path: Path) -> None:
    """Drop a last line that was cut short, of a file that is a journal."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb+") as file:
        content = file.read()
        if not (content.startswith(b"{") and b'"op_code"' in content.partition(b"\n")[0]):
            raise ValueError(f"{path} is no store of records but some other file; name another one")
        if not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def open_study(storage: optuna.storages.BaseStorage, name: str) -> optuna.Study:
    """The study of this name, made where there is none; its value is 1 - validation accuracy."""
    return optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)


def add(study: optuna.Study, row: Mapping[str, object], space: Space) -> None:
    """Append one finished training, as one trial: hyperparameters as parameters, the rest as attributes.

    Raises OSError, naming the record, when the disk is full; what was recorded before is safe.
    """
    params = {name: row[name] for name in space if row.get(name) is not None}
    failed = row["state"] == "failed"
    trial = optuna.trial.create_trial(
        state=TrialState.FAIL if failed else TrialState.COMPLETE,
        value=None if failed else 1 - row["validation_accuracy"],
        params=params,
        distributions={name: space[name] for name in params},
        user_attrs={name: value for name, value in row.items() if name not in params and value is not None},
    )
    try:
        study.add_trial(trial)
    except (OSError, StorageInternalError) as error:
        where = ", ".join(f"{name} {row[name]}" for name in KEY if name in row)
        raise OSError(
            getattr(error, "errno", None),
            f"record ({where}) could not be stored: {getattr(error, 'strerror', error)}. Earlier records are safe: "
            "make room and run the same command again",
        ) from error


def from_study(study: optuna.Study) -> pd.DataFrame:
    """The records of a study."""
    return to_frame(_row(trial) for trial in study.get_trials(deepcopy=False))


def _row(trial: FrozenTrial) -> dict[str, object]:
    return {**trial.params, **trial.user_attrs}


def stamp(version: str) -> dict[str, str]:
    """The provenance of a record made now."""
    return {"version": version, "finished": datetime.now(UTC).isoformat(timespec="seconds")}


def export(frame: pd.DataFrame, path: str | Path) -> None:
    """Write records to Parquet; `load` reads them back."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False, compression="zstd")


def load(source: str | Path) -> pd.DataFrame:
    """Records from a Parquet file, from all Parquet files of a folder, or from a store with all its studies.

    Raises ValueError where there is nothing.
    """
    path = Path(source)
    if "://" not in str(source):
        if path.is_dir():
            frames = [pd.read_parquet(file) for file in sorted(path.glob("*.parquet"))]
            if not frames:
                raise ValueError(f"{path} holds no Parquet files")
            return concat(frames)
        if not path.is_file():
            raise ValueError(f"there are no records at {path}")
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
    storage = open_storage(source)
    studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    return to_frame(_row(trial) for study in studies for trial in study.get_trials(deepcopy=False))
