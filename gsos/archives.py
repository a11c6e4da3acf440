"""Archives unpacked with care: all or nothing, no more than a limit, only files, and none outside of the folder."""

import bz2
import errno
import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import BinaryIO, NamedTuple, TypeVar

from filelock import FileLock

T = TypeVar("T")
MAX_MEMBERS = 500_000
CHUNK = 2**20  # bytes
LONGEST_END = 2**24  # bytes of zeros at the end of a tar file; most have 10 KiB at most
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
DAMAGED += (EOFError, OSError, ValueError, NotImplementedError)  # the modules raise these as well


class Member(NamedTuple):
    """What an archive has: its path there, why it is refused (or ""), and its content (None: it has none)."""

    name: str
    fault: str
    stream: BinaryIO | None


def unpack(archive: str | Path, folder: str | Path, *, max_bytes: int = 20 * 2**30) -> list[Path]:
    """The files of an archive, unpacked to `folder`, sorted. It appears when all are there, without empty folders.

    archive: .zip, .tar, .tar.gz, .tgz, .tar.bz2, or a single file as .gz or .bz2, which is named without the ending.
    folder: one that is not there yet, or is empty. max_bytes: how large the files may be in all.

    Raises ValueError for a path that is absolute, has a drive or `..`, for a link, a device, two members in one place,
    one that is encrypted, more than max_bytes or MAX_MEMBERS, a damaged archive, another ending, and a folder that has
    files. Raises OSError when there is no archive, or the folder cannot be written. Nothing appears in all these cases.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise FileNotFoundError(errno.ENOENT, "there is no such archive", str(archive))
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if folder.exists() and any(folder.iterdir()):
                raise ValueError(f"{folder} is there already; remove it to have {archive.name} unpacked")
            shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
            try:
                unfinished.mkdir()
                paths = _write(archive, unfinished, max_bytes)
                os.replace(unfinished, folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{archive.name} could not be unpacked ({error.strerror}); make room, or choose another folder",
            str(folder),
        ) from error
    return sorted(folder / path.relative_to(unfinished) for path in paths)


def _write(archive: Path, folder: Path, max_bytes: int) -> list[Path]:
    paths, n_bytes = [], 0
    for i, (name, fault, stream) in enumerate(_reading(archive, _members(archive))):
        place = PureWindowsPath(name)  # knows drives, and both slashes
        if place.anchor or ".." in place.parts or "\0" in name:
            fault = "has a path that leads out of the folder"
        if i == MAX_MEMBERS:
            fault = f"is one of more than {MAX_MEMBERS}"
        if fault:
            raise ValueError(f"{archive} is refused: its member {name!r} {fault}")
        if stream is None:
            continue
        paths.append(folder.joinpath(*place.parts))
        with _create(paths[-1], archive, name) as file, stream:
            for chunk in _reading(archive, iter(partial(stream.read, CHUNK), b"")):
                n_bytes += len(chunk)
                if n_bytes > max_bytes:
                    raise ValueError(f"{archive} is refused: {name!r} takes it above {max_bytes} bytes")
                file.write(chunk)
    return paths


def _create(path: Path, archive: Path, name: str) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"{archive} is refused: another member is where {name!r} belongs") from error


def _reading(archive: Path, items: Iterator[T]) -> Iterator[T]:
    """The items; what fails in reading them, and that only, is told as a damage of the archive."""
    try:
        yield from items
    except DAMAGED as error:
        raise ValueError(f"{archive} is damaged ({error}); remove it and get it again") from error


def _members(archive: Path) -> Iterator[Member]:
    name = archive.name.lower()
    if name.endswith(".zip"):
        return _zip_members(archive)
    if name.endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2")):
        return _tar_members(archive)
    if name.endswith((".gz", ".bz2")):
        return _only_member(archive)
    raise ValueError(f"{archive} must end in .zip, .tar, .tar.gz, .tgz, .tar.bz2, .gz or .bz2")


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            fault = "is encrypted" if info.flag_bits & 1 else ""
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                fault = "is a link or a device"
            yield Member(info.filename, fault, None if fault or info.filename.endswith("/") else file.open(info))


def _tar_members(archive: Path) -> Iterator[Member]:
    with _open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as file:
        for member in file:
            fault = "" if member.isfile() or member.isdir() else "is a link or a device"
            yield Member(member.name, fault, file.extractfile(member) if member.isfile() else None)
        # tarfile takes a cut or damaged header for the end, and leaves the checksum behind the end unread
        stream.seek(file.offset)
        end = stream.read(LONGEST_END)
        if any(end[: tarfile.BLOCKSIZE]) or not tarfile.BLOCKSIZE <= len(end) < LONGEST_END:
            raise tarfile.ReadError("it has no proper end")


def _only_member(archive: Path) -> Iterator[Member]:
    if not archive.stat().st_size:
        raise EOFError("it is empty")  # which the gzip module accepts
    yield Member(archive.stem, "", _open(archive))


def _open(archive: Path) -> BinaryIO:
    opener = {".gz": gzip.open, ".tgz": gzip.open, ".bz2": bz2.open, ".tar": open}[archive.suffix.lower()]
    return opener(archive, "rb")
