"""Files from the internet, each known by its checksum: what was interrupted is continued, what lies there is whole."""

import errno
import os
import re
import time
from pathlib import Path

import pooch
import requests
from filelock import FileLock
from tqdm import tqdm

TIMEOUT = (15, 60)  # seconds to connect, and without a byte
PAUSES = (1, 3, 9)  # seconds between the attempts
CHUNK = 2**16  # bytes
BUSY = (408, 429, 500, 502, 503, 504)  # HTTP: a later attempt may succeed
DROPPED = (requests.ConnectionError, requests.Timeout, requests.exceptions.BaseHTTPError)  # the last is urllib3's


def download(url: str, path: str | Path, known_hash: str, *, progress: bool = True) -> Path:
    """The file at `path`, fetched from `url` unless it is there. Its checksum is that of `known_hash`.

    known_hash: "md5:..." or "sha256:...", as pooch writes them. progress: whether to show a bar.

    What has come lies in `<path>.part` until it is whole. When the connection drops or the process dies, the next
    attempt, in this call or a later one, asks for the rest. Of several processes one fetches, the others wait for it.

    Raises ValueError for another kind of URL or hash, for a file at `path` that has another checksum (it is left as it
    is), and for one that came with another (it is removed). Raises OSError when the server does not give the file, at
    once or in several attempts, and when `path` cannot be written.
    """
    path = Path(path)
    if not re.match("https?://", str(url)):
        raise ValueError(f"url must begin with http:// or https://, not {url!r}")
    if not re.fullmatch("md5:[0-9a-fA-F]{32}|sha256:[0-9a-fA-F]{64}", str(known_hash)):
        raise ValueError(f"known_hash must be 'md5:' and 32 or 'sha256:' and 64 digits 0-9, a-f, not {known_hash!r}")
    if _is_there(path, known_hash):  # needs no lock, and so no permission to write
        return path
    part = Path(f"{path}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not _is_there(path, known_hash):
                _fetch(url, part, progress)
                _check(part, url, known_hash)
                os.replace(part, path)
    except requests.RequestException as error:
        kept = f" {part} keeps the {part.stat().st_size} bytes that came." if part.exists() else ""
        raise OSError(
            f"{path.name} could not be downloaded from {url}: {error}.{kept} Try again, or get it by hand to {path}"
        ) from error
    except OSError as error:
        what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or error
        raise OSError(
            error.errno,
            f"{path.name} could not be written ({what}); make room, or choose a folder that can be written to",
            str(path),
        ) from error
    return path


def _digests(path: Path, known_hash: str) -> tuple[str, str]:
    """The checksum of a file, and the one it should have."""
    algorithm, _, digest = known_hash.partition(":")
    return f"{algorithm}:{pooch.file_hash(path, algorithm)}", f"{algorithm}:{digest.lower()}"


def _is_there(path: Path, known_hash: str) -> bool:
    if not path.exists():
        return False
    found, expected = _digests(path, known_hash)
    if found != expected:
        raise ValueError(f"{path} has the checksum {found}, not {expected}; remove it to have it downloaded")
    return True


def _check(part: Path, url: str, known_hash: str) -> None:
    """Raises ValueError for a wrong checksum, and removes the file: continued, it would stay wrong for ever."""
    found, expected = _digests(part, known_hash)
    if found != expected:
        part.unlink()
        raise ValueError(
            f"{part.stem} came from {url} with the checksum {found}, not {expected}, and was removed. "
            f"Try again, or get it by hand to {part.with_suffix('')}"
        )


def _fetch(url: str, part: Path, progress: bool) -> None:
    """All of the file into `part`, in several attempts."""
    version = {}
    for pause in (*PAUSES, None):
        try:
            return _continue(url, part, version, progress)
        except DROPPED as error:
            if pause is None:
                raise requests.ConnectionError(f"{len(PAUSES) + 1} attempts failed, the last with {error}") from error
            time.sleep(pause)


def _continue(url: str, part: Path, version: dict[str, str], progress: bool) -> None:
    """One attempt: what `part` lacks is asked for and appended; where the server sends all, all is written anew.

    version: the header by which the next attempt asks for the rest of the same version of the file; set here.
    """
    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} | version if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        status, content_range = response.status_code, response.headers.get("Content-Range", "")
        if status == 416 and content_range == f"bytes */{done}":
            return  # it was whole
        if status == 416 or (status == 206 and not content_range.startswith(f"bytes {done}-")):
            part.unlink(missing_ok=True)
            raise requests.ConnectionError(f"the server cannot continue at byte {done}")
        if status in BUSY:
            raise requests.ConnectionError(f"the server answers {status} {response.reason}")
        response.raise_for_status()
        etag = response.headers.get("ETag", "W/")  # a weak one, W/"...", is not for ranges (RFC 9110, 13.1.5)
        version["If-Range"] = response.headers.get("Last-Modified") if etag.startswith("W/") else etag
        _write(response, part, done if status == 206 else 0, progress)


def _write(response: requests.Response, part: Path, done: int, progress: bool) -> None:
    """The body of the response, after the first `done` bytes of `part`."""
    size = response.headers.get("Content-Range", response.headers.get("Content-Length", "")).rpartition("/")[2]
    total = int(size) if size.isdigit() else None
    options = {"total": total, "unit": "B", "unit_scale": True, "desc": part.stem, "disable": not progress}
    with part.open("ab" if done else "wb") as file, tqdm(initial=done, **options) as bar:
        # not iter_content: it unpacks a .gz where the server calls that an encoding, and drops what came last
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            file.write(chunk)
            bar.update(len(chunk))
    done = part.stat().st_size
    if total is not None and done < total:  # older versions of urllib3 do not tell
        raise requests.ConnectionError(f"the connection closed after {done} of {total} bytes")
