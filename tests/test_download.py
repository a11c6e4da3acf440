"""Downloads from a server in the same process, which drops connections, stalls, redirects and counts what it sends."""

import errno
import gzip
import hashlib
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsos import download as module
from gsos.download import download

CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
SPAWN = multiprocessing.get_context("spawn")
IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]  # a mount in there is seen by nobody else


def md5(content):
    return f"md5:{hashlib.md5(content).hexdigest()}"


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """Answers with server.content as the next entry of server.plan says, or in the ordinary way.

    status, headers: the answer is these, without content. stop, stall: how many bytes until the connection is closed or
    nothing comes any more. slow: seconds between ten pieces. ranges=False: knows none. length=False: does not tell it.
    chunked: in pieces with their lengths. shift, only: the range given begins so much earlier, is only so long.
    """

    def do_GET(self):
        server, plan = self.server, self.server.plan.pop(0) if self.server.plan else {}
        server.asked.append((self.headers["Range"], self.headers["If-Range"]))
        server.encodings.add(self.headers["Accept-Encoding"])
        server.sent.append(0)
        if "status" in plan:
            return self.start(plan["status"], plan.get("headers", {}))
        content, start, total = server.content, 0, len(server.content)
        current = self.headers["If-Range"] in (None, *server.headers.values())
        if self.headers["Range"] and plan.get("ranges", True) and current:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= total:
                return self.start(416, {"Content-Range": f"bytes */{total}"})
            start -= plan.get("shift", 0)
        end = start + plan.get("only", total) if start else total
        headers = {"Content-Length": min(end, total) - start} if plan.get("length", True) else {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{min(end, total) - 1}/{total}"
        if plan.get("chunked"):
            headers = {"Transfer-Encoding": "chunked"}
            self.protocol_version = "HTTP/1.1"
        self.close_connection = True
        self.start(206 if start else 200, headers | server.headers)
        self.send(content[start:end][: plan.get("stop", plan.get("stall"))], **plan)

    def start(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def send(self, content, slow=0, chunked=False, stop=None, stall=None, **others):
        size = max(len(content) // 10, 1) if slow or chunked else max(len(content), 1)
        for i in range(0, len(content), size):
            piece = content[i : i + size]
            self.server.sent[-1] += len(piece)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            time.sleep(slow)
        if chunked and stop is None:
            self.wfile.write(b"0\r\n\r\n")
        if stall is not None:
            self.server.over.wait(10)

    def log_message(self, *_):
        pass


@contextmanager
def serving(*plan, content=CONTENT, **headers):
    """A server with its `url`, and for each request so far what was `asked` (Range, If-Range) and how much `sent`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.plan, server.content, server.over = list(plan), content, Event()
    server.asked, server.sent, server.encodings = [], [], set()
    server.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    server.url = f"http://127.0.0.1:{server.server_port}/data.bin"
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True, scope="module")
def impatient():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAUSES", (0, 0, 0))
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture
def short_timeout(monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", (5, 0.6))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("known_hash", [md5(CONTENT), sha256(CONTENT), md5(CONTENT).upper().replace("MD5", "md5")])
def test_a_file_is_fetched_once(tmp_path, known_hash):
    path = tmp_path / "new" / "data.bin"
    with serving() as server:
        assert download(server.url, path, known_hash, progress=False) == path
        assert path.read_bytes() == CONTENT and not Path(f"{path}.part").exists()
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
        assert download(server.url, str(path), known_hash, progress=False) == path
        assert server.sent == [len(CONTENT)] and server.asked == [(None, None)]


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *[("url", url) for url in ("ftp://host/x", "file:///etc/passwd", "data.bin", None)],
        *[("known_hash", text) for text in (None, "", "md5:", "md5:" + "g" * 32, "0" * 64, "sha1:" + "0" * 40)],
    ],
)
def test_bad_arguments(tmp_path, argument, value):
    arguments = {"url": "http://127.0.0.1:9/x", "known_hash": md5(b"")} | {argument: value}
    with pytest.raises(ValueError, match=f"^{argument} must .*, not {value!r}$"):
        download(path=tmp_path / "x", **arguments)
    assert names(tmp_path) == []


def test_an_existing_file_with_another_checksum_is_kept(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(OTHER)
    with serving() as server, pytest.raises(ValueError) as caught:
        download(server.url, path, md5(CONTENT))
    assert all(text in str(caught.value) for text in (str(path), md5(CONTENT), md5(OTHER), "remove it"))
    assert path.read_bytes() == OTHER and server.asked == [] and names(tmp_path) == ["data.bin"]


def test_a_folder_in_the_place_of_the_file(tmp_path):
    with serving() as server, pytest.raises(IsADirectoryError, match=str(tmp_path)):
        download(server.url, tmp_path, md5(CONTENT))
    assert server.asked == []


@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=3), chunked=st.booleans())
@settings(max_examples=30, deadline=None)
def test_wherever_the_connection_drops_the_file_is_the_same(cuts, chunked):
    plan = [{"stop": cut, "chunked": chunked} for cut in cuts]
    with tempfile.TemporaryDirectory() as folder, serving(*plan) as server:
        path = download(server.url, Path(folder) / "data.bin", md5(CONTENT), progress=False)
        assert path.read_bytes() == CONTENT and names(Path(folder)) == ["data.bin", "data.bin.lock"]
        if not chunked:  # of a chunk that was not finished nothing is kept
            assert sum(server.sent) == len(CONTENT)


def test_a_connection_that_always_drops(tmp_path):
    path, part = tmp_path / "data.bin", tmp_path / "data.bin.part"
    with serving(*[{"stop": 1000}] * 4) as server:
        with pytest.raises(OSError, match="data.bin could not be downloaded") as caught:
            download(server.url, path, md5(CONTENT), progress=False)
        expected = (server.url, "4 attempts failed", f"{part} keeps the 4000 bytes", f"by hand to {path}")
        assert all(text in str(caught.value) for text in expected)
        assert not path.exists() and part.read_bytes() == CONTENT[:4000]
        assert download(server.url, path, md5(CONTENT), progress=False).read_bytes() == CONTENT
        assert server.sent == [1000] * 4 + [len(CONTENT) - 4000]
        assert [asked for asked, _ in server.asked] == [None] + [f"bytes={n}000-" for n in range(1, 5)]


def test_pauses_grow(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(module, "PAUSES", (1, 3, 9))
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=waited.append))
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(OSError, match=f"x could not be downloaded from http://127.0.0.1:{port}/x: 4 attempts failed"):
        download(f"http://127.0.0.1:{port}/x", tmp_path / "x", md5(b""))
    assert waited == [1, 3, 9]


def test_a_server_without_ranges(tmp_path):
    with serving({"stop": 5000}, {"ranges": False}) as server:
        assert download(server.url, tmp_path / "x", md5(CONTENT), progress=False).read_bytes() == CONTENT
        assert server.sent == [5000, len(CONTENT)]


@pytest.mark.parametrize("shift", [1, 700])
def test_a_server_that_gives_another_range(tmp_path, shift):
    with serving({"stop": 5000}, {"shift": shift}) as server:
        assert download(server.url, tmp_path / "x", md5(CONTENT), progress=False).read_bytes() == CONTENT
        assert server.asked[2] == (None, None) and server.sent[2] == len(CONTENT)


def test_a_server_that_gives_a_part_of_the_range(tmp_path):
    with serving({"stop": 5000}, {"only": 2000}) as server:
        assert download(server.url, tmp_path / "x", md5(CONTENT), progress=False).read_bytes() == CONTENT
        assert server.sent == [5000, 2000, len(CONTENT) - 7000]


@pytest.mark.parametrize("length", [300_000, 1000])
def test_a_wrong_checksum_leaves_nothing(tmp_path, length):
    path = tmp_path / "data.bin"
    with serving(content=OTHER[:length]) as server:
        with pytest.raises(ValueError) as caught:
            download(server.url, path, md5(CONTENT), progress=False)
        texts = ("data.bin came from", server.url, md5(OTHER[:length]), md5(CONTENT), f"by hand to {path}")
        assert all(text in str(caught.value) for text in texts) and names(tmp_path) == ["data.bin.lock"]
        server.content = CONTENT
        assert download(server.url, path, md5(CONTENT), progress=False).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [401, 403, 404, 410, 501])
def test_what_the_server_refuses_fails_at_once(tmp_path, status):
    path = tmp_path / "data.bin"
    with serving({"status": status}) as server, pytest.raises(OSError, match=f"{status} .* by hand to {path}"):
        download(server.url, path, md5(CONTENT))
    assert len(server.asked) == 1 and names(tmp_path) == ["data.bin.lock"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(tmp_path, status):
    busy = {"status": status}
    with serving(busy, {"stop": 10}, busy) as server:
        assert download(server.url, tmp_path / "x", md5(CONTENT), progress=False).read_bytes() == CONTENT
    assert server.sent == [0, 10, 0, len(CONTENT) - 10]
    with serving(*[busy] * 4) as server, pytest.raises(OSError, match=f"the server answers {status}"):
        download(server.url, tmp_path / "y", md5(CONTENT))


def test_redirects_are_followed_when_resuming_as_well(tmp_path):
    moved = {"status": 302, "headers": {"Location": "/elsewhere"}}
    with serving(moved, {"stop": 10}, moved) as server:
        assert download(server.url, tmp_path / "x", md5(CONTENT), progress=False).read_bytes() == CONTENT
        assert server.sent == [0, 10, 0, len(CONTENT) - 10]


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/x", "/again"])
def test_redirects_that_lead_nowhere(tmp_path, place):
    with serving(*[{"status": 301, "headers": {"Location": place}}] * 99) as server:
        with pytest.raises(OSError, match="x could not be downloaded"):
            download(server.url, tmp_path / "x", md5(CONTENT))
        assert names(tmp_path) == ["x.lock"] and len(server.asked) < 40


@pytest.mark.usefixtures("short_timeout")
def test_a_slow_stream_takes_its_time(tmp_path):
    with serving({"slow": 0.08}) as server:  # 0.8 s in all, of which no 0.6 s are without a byte
        assert download(server.url, tmp_path / "x", md5(CONTENT), progress=False).read_bytes() == CONTENT
        assert server.sent == [len(CONTENT)]


@pytest.mark.usefixtures("short_timeout")
def test_a_stalled_stream_is_given_up_and_resumed(tmp_path):
    start = time.perf_counter()
    with serving({"stall": 200_000}) as server:
        assert download(server.url, tmp_path / "x", md5(CONTENT), progress=False).read_bytes() == CONTENT
        assert server.sent[0] == 200_000 and 100_000 <= server.sent[1] < 100_000 + module.CHUNK
    assert time.perf_counter() - start < 5  # the server would wait 10 s


def test_content_length_missing(tmp_path):
    for i, plan in enumerate(({"length": False}, {"chunked": True})):
        with serving(plan) as server:
            assert download(server.url, tmp_path / str(i), md5(CONTENT), progress=False).read_bytes() == CONTENT


def test_an_encoding_is_left_as_it_is(tmp_path):
    packed = gzip.compress(CONTENT)
    with serving({"stop": 1000}, content=packed, Content_Encoding="gzip") as server:
        assert download(server.url, tmp_path / "x.gz", md5(packed), progress=False).read_bytes() == packed
        assert server.encodings == {"identity"}


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (CONTENT[:1234], [len(CONTENT) - 1234]),
        (CONTENT, [0]),  # the server says that there is no more
        (CONTENT + b"more", [0, len(CONTENT)]),  # the server says that it has less
        (b"", [len(CONTENT)]),
    ],
)
def test_a_part_from_before(tmp_path, part, sent):
    (tmp_path / "x.part").write_bytes(part)
    with serving() as server:
        assert download(server.url, tmp_path / "x", md5(CONTENT), progress=False).read_bytes() == CONTENT
        assert server.sent == sent and names(tmp_path) == ["x", "x.lock"]


@pytest.mark.parametrize("part", [OTHER, OTHER[:1000]])
def test_a_part_of_something_else_is_removed(tmp_path, part):
    (tmp_path / "x.part").write_bytes(part)
    with serving() as server:
        with pytest.raises(ValueError, match="was removed"):
            download(server.url, tmp_path / "x", md5(CONTENT), progress=False)
        assert names(tmp_path) == ["x.lock"]
        assert download(server.url, tmp_path / "x", md5(CONTENT), progress=False).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({"ETag": '"1"', "Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, '"1"'),
        ({"ETag": 'W/"1"', "Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({"Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({"ETag": 'W/"1"'}, None),
        ({}, None),
    ],
)
def test_the_rest_is_asked_of_the_same_version(tmp_path, headers, asked):
    with serving({"stop": 1000}, **headers) as server:
        assert download(server.url, tmp_path / "x", md5(CONTENT), progress=False).read_bytes() == CONTENT
        assert server.asked == [(None, None), ("bytes=1000-", asked)]


@pytest.mark.usefixtures("short_timeout")
def test_a_file_that_changes_in_between_is_fetched_anew(tmp_path):
    with serving({"stall": 100_000}, content=OTHER, ETag='"old"') as server:
        thread = Thread(target=download, args=(server.url, tmp_path / "x", md5(CONTENT)), kwargs={"progress": False})
        thread.start()
        while server.sent != [100_000]:
            time.sleep(0.01)
        server.content, server.headers = CONTENT, {"ETag": '"new"'}
        thread.join()
        assert (tmp_path / "x").read_bytes() == CONTENT and server.sent[1] == len(CONTENT)


def test_progress_bar(tmp_path, capsys):
    with serving({"stop": 150_000}) as server:
        download(server.url, tmp_path / "shown.bin", md5(CONTENT))
        shown = capsys.readouterr()
        assert "shown.bin:  50%" in shown.err and "300k/300k" in shown.err and not shown.out
        download(server.url, tmp_path / "hidden.bin", md5(CONTENT), progress=False)
        assert capsys.readouterr() == ("", "")


def fetch(url, path, barrier):
    barrier.wait()
    download(url, path, md5(CONTENT), progress=False)


def test_two_processes_fetch_once(tmp_path):
    barrier = SPAWN.Barrier(2)
    with serving({"slow": 0.03}) as server:
        processes = [SPAWN.Process(target=fetch, args=(server.url, tmp_path / "x", barrier)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(20)
        assert [process.exitcode for process in processes] == [0, 0]
        assert server.sent == [len(CONTENT)] and (tmp_path / "x").read_bytes() == CONTENT


def test_a_killed_process_is_taken_up(tmp_path):
    part = tmp_path / "x.part"
    alone = SPAWN.Barrier(1)
    with serving({"stall": 200_000}) as server:
        process = SPAWN.Process(target=fetch, args=(server.url, tmp_path / "x", alone))
        process.start()
        while not part.exists() or part.stat().st_size < 3 * module.CHUNK:
            assert process.is_alive()
            time.sleep(0.01)
        process.kill()
        process.join()
        kept = part.stat().st_size
        assert names(tmp_path) == ["x.lock", "x.part"] and kept <= 200_000
        assert download(server.url, tmp_path / "x", md5(CONTENT), progress=False).read_bytes() == CONTENT
        assert server.sent == [200_000, len(CONTENT) - kept]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a thing of Linux")
def test_a_full_disk(tmp_path):
    path = tmp_path / "x"
    Path(f"{path}.part").symlink_to("/dev/full")
    with (
        serving() as server,
        pytest.raises(OSError, match=r"x could not be .*\(the disk is full\); make room") as caught,
    ):
        download(server.url, path, md5(CONTENT), progress=False)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path) and not path.exists()


FULL_AND_READ_ONLY = """
import subprocess, sys
from pathlib import Path
from gsos.download import download
url, known_hash, folder = sys.argv[1:]
def attempt(name):
    try:
        print("done", len(download(url, Path(folder) / name, known_hash, progress=False).read_bytes()))
    except OSError as error:
        print(error, sorted(path.name for path in Path(folder).iterdir()))
def mount(*options):
    subprocess.run(["mount", *options, folder], check=True)
mount("-t", "tmpfs", "-o", "size=160k", "none")
attempt("x")
mount("-o", "remount,size=1m")
attempt("x")
mount("-o", "remount,ro")
attempt("x")
attempt("y")
"""


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*IN_NAMESPACE, "true"], capture_output=True).returncode != 0,
    reason="no namespaces for users here",
)
def test_a_disk_that_is_full_and_then_read_only(tmp_path):
    with serving() as server:
        command = [*IN_NAMESPACE, sys.executable, "-c", FULL_AND_READ_ONLY, server.url, md5(CONTENT), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    full, resumed, there, read_only = done.stdout.splitlines()
    assert "the disk is full" in full and "['x.lock', 'x.part']" in full
    assert resumed == there == f"done {len(CONTENT)}" and sum(server.sent[1:]) < len(CONTENT)
    assert (
        "Read-only file system" in read_only and f"'{tmp_path / 'y'}'" in read_only and "['x', 'x.lock']" in read_only
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    tmp_path.chmod(0o555)
    try:
        with serving() as server:
            assert download(server.url, tmp_path / "x", md5(CONTENT)) == tmp_path / "x"
            with pytest.raises(PermissionError, match="y could not be .* a folder that can be written to"):
                download(server.url, tmp_path / "y", md5(CONTENT))
            assert server.asked == []
    finally:
        tmp_path.chmod(0o755)


def test_a_lock_that_is_not_permitted(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(module, "FileLock", refuse)
    with pytest.raises(PermissionError, match=r"x could not be .*\(Permission denied\).* a folder that can be written"):
        download("http://127.0.0.1:9/x", tmp_path / "x", md5(CONTENT))
