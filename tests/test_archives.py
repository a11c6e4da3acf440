"""Archives made by the standard library, whole, damaged and hostile, unpacked."""

import bz2
import errno
import gzip
import io
import multiprocessing
import os
import random
import shutil
import stat
import string
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsos import archives
from gsos.archives import unpack

NOISE = random.Random(0).randbytes(5000)
TREE = {"a.txt": b"first", "images/cat/1.bin": NOISE, "images/dog/1.bin": b"", "ünï/2.bin": NOISE[:1000]}
TARS = {".tar": "w:", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2"}
ENDINGS = [".zip", *TARS]
BOTH = pytest.mark.parametrize("ending", [".zip", ".tar"])
IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]  # a mount in there is seen by nobody else


def pack(path, files):
    """An archive of (name, content) in this order; a name with a slash at its end is a folder."""
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                archive.writestr(name, content)
    else:
        ending = next(ending for ending in TARS if path.name.endswith(ending))
        with tarfile.open(path, TARS[ending]) as archive:
            for name, content in files:
                archive.addfile(tar_member(name, content), io.BytesIO(content))
    return path


def tar_member(name, content=b"", **changes):
    member = tarfile.TarInfo(name)
    member.size, member.type = len(content), tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
    for attribute, value in changes.items():
        setattr(member, attribute, value)
    return member


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(archive, match, **options):
    """With the archive's name; and nothing is anywhere."""
    around = archive.parent
    before = contents(around)
    with pytest.raises(ValueError, match=match) as caught:
        unpack(archive, around / "out", **options)
    assert str(archive) in str(caught.value)
    after = contents(around)
    assert after.pop("out.lock") == b"" and after == {k: v for k, v in before.items() if k != "out.lock"}
    assert not (around / "out").exists() and not (around / "out.unfinished").exists()


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_arrive(tmp_path, ending):
    archive = pack(tmp_path / f"data{ending}", [("./", b""), ("empty/", b""), *reversed(TREE.items())])
    paths = unpack(str(archive), tmp_path / "new" / "out")
    assert contents(tmp_path / "new" / "out") == TREE
    assert paths == sorted(tmp_path / "new" / "out" / name for name in TREE)
    assert sorted(os.listdir(tmp_path / "new")) == ["out", "out.lock"]


PARTS = st.text(string.ascii_letters + string.digits + "._- äß", min_size=1, max_size=12).filter(
    lambda part: part.strip(".") and not part.startswith(" ") and not part.endswith(" ")
)
TREES = st.dictionaries(
    st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: "/".join(f"{len(parts)}{part}" for part in parts)),
    st.binary(max_size=2000),
    max_size=8,
)


@given(tree=TREES, ending=st.sampled_from(ENDINGS))
@settings(max_examples=40, deadline=None)
def test_round_trip(tree, ending):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack(pack(folder / f"data{ending}", tree.items()), folder / "out")
        assert contents(folder / "out") == tree


@pytest.mark.parametrize(
    ("ending", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".GZ", gzip.compress)]
)
def test_a_single_file_loses_its_ending(tmp_path, ending, compress):
    archive = tmp_path / f"train-images.idx{ending}"
    archive.write_bytes(compress(NOISE) + compress(b"more"))  # both formats are joined by joining files
    assert unpack(archive, tmp_path / "out") == [tmp_path / "out" / "train-images.idx"]
    assert contents(tmp_path / "out") == {"train-images.idx": NOISE + b"more"}


ESCAPES = ["/x", "//x", "../x", "a/../../x", "a/../x", "..", "a/..", "C:/x", "C:x", "c:\\x", "..\\x", "a\\..\\..\\x"]
ESCAPES += ["\\x", "\\\\server\\share\\x", "\\\\?\\C:\\x", "../x/", "/x/", "C:\\x/", "../", ".."]


@BOTH
@pytest.mark.parametrize("name", ESCAPES)
def test_paths_that_escape(tmp_path, ending, name):
    assert_refused(pack(tmp_path / f"data{ending}", [("a.txt", b"x"), (name, b"")]), "has a path that leads out")


@given(
    before=st.lists(PARTS, max_size=3),
    after=st.lists(st.sampled_from(["..", ".", "x"]), max_size=3),
    separator=st.sampled_from("/\\"),
    ending=st.sampled_from([".zip", ".tar"]),
)
@settings(max_examples=40, deadline=None)
def test_no_path_may_go_up(before, after, separator, ending):
    name = separator.join([*before, "..", *after])
    with tempfile.TemporaryDirectory() as folder:
        assert_refused(pack(Path(folder) / f"data{ending}", [(name, b"x")]), "has a path that leads out")


def test_names_with_a_null_byte(tmp_path):
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.addfile(tar_member("a", pax_headers={"path": "a\0b"}))
    assert_refused(tmp_path / "data.tar", "has a path that leads out")
    archive = pack(tmp_path / "data.zip", [("name", b"x")])
    archive.write_bytes(archive.read_bytes().replace(b"name", b"\0ame"))  # zipfile cuts there: no name is left
    assert_refused(archive, "another member is where '' belongs")


@BOTH
def test_the_separators_of_windows(tmp_path, ending):
    unpack(pack(tmp_path / f"data{ending}", [(r"images\cat\1.bin", b"cat")]), tmp_path / "out")
    assert contents(tmp_path / "out") == {"images/cat/1.bin": b"cat"}


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE"])
def test_links_and_devices_in_a_tar(tmp_path, kind):
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.addfile(tar_member("a.txt", b"x"), io.BytesIO(b"x"))
        archive.addfile(tar_member("link", type=getattr(tarfile, kind), linkname="a.txt"))
    assert_refused(tmp_path / "data.tar", "its member 'link' is a link or a device")


@pytest.mark.parametrize("kind", ["S_IFLNK", "S_IFCHR", "S_IFBLK", "S_IFIFO", "S_IFSOCK"])
def test_links_and_devices_in_a_zip(tmp_path, kind):
    info = zipfile.ZipInfo("link")
    info.external_attr = (getattr(stat, kind) | 0o777) << 16
    assert_refused(
        pack(tmp_path / "data.zip", [("a.txt", b"x"), (info, "/etc/passwd")]), "'link' is a link or a device"
    )


@BOTH
@pytest.mark.parametrize(
    "names",
    [
        ("a", "a"),
        ("a", "./a"),
        ("b/a", "b//a"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("a", "a/b/c"),
        ("b/a", "b\\a"),
        ("a", "."),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_in_one_place(tmp_path, ending, names):
    archive = pack(tmp_path / f"data{ending}", [(name, b"x") for name in names])
    assert_refused(archive, "another member is where .* belongs")


def test_an_encrypted_zip(tmp_path):
    archive = pack(tmp_path / "data.zip", [("secret.txt", b"x")])
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x03\x04") + 6] |= 1  # the flags of the local header, and of the directory's
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    assert_refused(archive, "its member 'secret.txt' is encrypted")


@BOTH
def test_too_many_members(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    names = ["a/", "a/1", "a/2", "a/3"]
    unpack(pack(tmp_path / f"few{ending}", [(name, b"") for name in names[:3]]), tmp_path / "few")
    assert_refused(pack(tmp_path / f"data{ending}", [(name, b"") for name in names]), "'a/3' is one of more than 3")


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_limit_is_on_all_files_together(tmp_path, ending):
    archive = pack(tmp_path / f"data{ending}", TREE.items())
    n_bytes = sum(map(len, TREE.values()))
    assert_refused(archive, f"'ünï/2.bin' takes it above {n_bytes - 1} bytes", max_bytes=n_bytes - 1)
    unpack(archive, tmp_path / "out", max_bytes=n_bytes)
    assert contents(tmp_path / "out") == TREE


def test_a_bomb_that_does_not_tell_its_size(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(archives, "_create", lambda *_: Written(written))
    archive = tmp_path / "data.gz"
    archive.write_bytes(gzip.compress(bytes(10**7)) * 1000)  # 10 GB, in 10 MB
    start = time.perf_counter()
    assert_refused(archive, "'data' takes it above 5000000 bytes", max_bytes=5 * 10**6)
    assert 0 < sum(written) <= 5 * 10**6 and time.perf_counter() - start < 5


class Written(io.RawIOBase):
    """A file that only counts."""

    def __init__(self, written):
        self.written = written

    def writable(self):
        return True

    def write(self, content):
        self.written.append(len(content))
        return len(content)


def test_a_bomb_that_tells_a_smaller_size(tmp_path):
    archive = pack(tmp_path / "data.zip", [("zeros.bin", bytes(10**6))])
    size = (10**6).to_bytes(4, "little")
    content = archive.read_bytes()
    assert content.count(size) == 2  # in the local header and in the directory
    archive.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    assert_refused(archive, "is damaged", max_bytes=1000)


def made(folder, ending):
    """An archive of TREE, or of one file; and what should come of it."""
    path = folder / f"data{ending}"
    if ending in (".gz", ".bz2"):
        path.write_bytes({".gz": gzip, ".bz2": bz2}[ending].compress(NOISE))
        return path, {"data": NOISE}
    return pack(path, TREE.items()), TREE


@given(ending=st.sampled_from([*ENDINGS, ".gz", ".bz2"]), share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_a_cut_archive_is_refused(ending, share):
    with tempfile.TemporaryDirectory() as name:
        archive, tree = made(Path(name), ending)
        content = archive.read_bytes()
        end = len(content.rstrip(b"\0")) + 2 * tarfile.BLOCKSIZE if ending == ".tar" else len(content)
        archive.write_bytes(content[: int(share * end)])
        try:
            unpack(archive, Path(name) / "out")
            assert ending == ".tar" and contents(Path(name) / "out") == tree  # of a tar's end one block is enough
        except ValueError:
            assert_refused(archive, "is damaged .* remove it and get it again")


@given(ending=st.sampled_from([".tar.gz", ".tar.bz2", ".gz", ".bz2"]), share=st.floats(0, 1), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_is_refused_or_does_no_harm(ending, share, bit):
    with tempfile.TemporaryDirectory() as name:
        archive, tree = made(Path(name), ending)
        content = bytearray(archive.read_bytes())
        content[min(int(share * len(content)), len(content) - 1)] ^= 1 << bit
        archive.write_bytes(content)
        try:
            unpack(archive, Path(name) / "out")
            assert contents(Path(name) / "out") == tree
        except ValueError as error:
            assert "is damaged" in str(error) and not (Path(name) / "out").exists()


def test_a_wrong_checksum_in_a_zip(tmp_path):
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("images/1.bin", NOISE)
    content = bytearray(archive.read_bytes())
    content[content.index(NOISE) + 100] ^= 1
    archive.write_bytes(content)
    assert_refused(archive, "is damaged .*Bad CRC-32 for file 'images/1.bin'")


@pytest.mark.parametrize("i", [1, 2])
def test_a_damaged_header_within_a_tar(tmp_path, i):
    zeros = bytes(2 * tarfile.BLOCKSIZE)  # as at the end
    archive = pack(tmp_path / "data.tar", [("0", zeros), ("1", zeros), ("2", zeros)])
    content = bytearray(archive.read_bytes())
    content[3 * i * tarfile.BLOCKSIZE] ^= 1  # each member is a block of header and two of content
    archive.write_bytes(content)
    assert_refused(archive, "is damaged .*no proper end")


def test_the_end_of_a_tar(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LONGEST_END", 40_000)
    archive = pack(tmp_path / "data.tar", [("0", b"x"), ("1", b"x")])
    content = archive.read_bytes()
    for n_blocks in (2, 4):  # cut after a member
        archive.write_bytes(content[: n_blocks * tarfile.BLOCKSIZE])
        assert_refused(archive, "is damaged .*no proper end")
    archive.write_bytes(content + bytes(40_000))
    assert_refused(archive, "is damaged .*no proper end")
    archive.write_bytes(content + bytes(20_000))
    assert len(unpack(archive, tmp_path / "out")) == 2


@pytest.mark.parametrize("ending", [*ENDINGS, ".gz", ".bz2"])
@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", NOISE])
def test_something_else(tmp_path, ending, content):
    archive = tmp_path / f"data{ending}"
    archive.write_bytes(content)
    assert_refused(archive, "is damaged .* remove it and get it again")


def test_other_endings_and_no_archive(tmp_path):
    (tmp_path / "data.rar").write_bytes(NOISE)
    assert_refused(tmp_path / "data.rar", "must end in .zip, .tar, .tar.gz, .tgz, .tar.bz2, .gz or .bz2")
    with pytest.raises(FileNotFoundError, match="there is no such archive: .*missing.zip"):
        unpack(tmp_path / "missing.zip", tmp_path / "out")


def test_a_folder_that_has_files_is_kept(tmp_path):
    archive = pack(tmp_path / "data.zip", TREE.items())
    (tmp_path / "out").mkdir()
    unpack(archive, tmp_path / "out")  # into an empty one
    (tmp_path / "out" / "a.txt").write_bytes(b"mine")
    with pytest.raises(ValueError, match=f"{tmp_path / 'out'} is there already; remove it to have data.zip unpacked"):
        unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == TREE | {"a.txt": b"mine"}


def test_permissions_are_plain(tmp_path):
    info = zipfile.ZipInfo("run.sh")
    info.external_attr = (stat.S_IFREG | 0o6777) << 16
    pack(tmp_path / "data.zip", [(info, b"x")])
    with tarfile.open(tmp_path / "data.tar", "w") as file:
        file.addfile(tar_member("run.sh", b"x", mode=0o6777, uid=1234), io.BytesIO(b"x"))
    (tmp_path / "plain").touch()
    plain = (tmp_path / "plain").stat()
    for ending in (".zip", ".tar"):
        (path,) = unpack(tmp_path / f"data{ending}", tmp_path / ending)
        assert (path.stat().st_mode, path.stat().st_uid) == (plain.st_mode, plain.st_uid)


def test_a_killed_process_leaves_nothing_for_long(tmp_path):
    archive, unfinished = tmp_path / "data.gz", tmp_path / "out.unfinished"
    archive.write_bytes(gzip.compress(bytes(10**7)) * 100)
    process = multiprocessing.get_context("spawn").Process(target=unpack, args=(archive, tmp_path / "out"))
    process.start()
    while not (unfinished / "data").exists():
        assert process.is_alive()
        time.sleep(0.005)
    process.kill()
    process.join()
    assert not (tmp_path / "out").exists() and contents(unfinished).keys() == {"data"}
    unpack(pack(tmp_path / "data.zip", TREE.items()), tmp_path / "out")
    assert contents(tmp_path / "out") == TREE and not unfinished.exists()


def test_of_several_at_once_one_unpacks(tmp_path):
    archive = pack(tmp_path / "data.zip", TREE.items())
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(unpack, archive, tmp_path / "out") for _ in range(4)]
    errors = [future.exception() for future in futures]
    assert errors.count(None) == 1 and sum("is there already" in str(error) for error in errors) == 3
    assert contents(tmp_path / "out") == TREE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a thing of Linux")
def test_a_full_disk(tmp_path, monkeypatch):
    archive = pack(tmp_path / "data.zip", TREE.items())
    monkeypatch.setattr(archives, "_create", lambda *_: open("/dev/full", "wb"))
    with pytest.raises(OSError, match="data.zip could not be unpacked .* make room") as caught:
        unpack(archive, tmp_path / "out")
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["data.zip", "out.lock"]


FULL_AND_READ_ONLY = """
import subprocess, sys
from pathlib import Path
from gsos.archives import unpack
archive, folder = sys.argv[1:]
def attempt(name):
    try:
        print("done", len(unpack(archive, Path(folder) / name)))
    except OSError as error:
        print(error, sorted(path.name for path in Path(folder).iterdir()))
def mount(*options):
    subprocess.run(["mount", *options, folder], check=True)
mount("-t", "tmpfs", "-o", "size=64k", "none")
attempt("x")
mount("-o", "remount,size=1m")
attempt("x")
mount("-o", "remount,ro")
attempt("y")
"""


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*IN_NAMESPACE, "true"], capture_output=True).returncode != 0,
    reason="no namespaces for users here",
)
def test_a_disk_that_is_full_and_then_read_only(tmp_path):
    archive = pack(tmp_path / "data.zip", [("zeros.bin", bytes(200_000))])
    (tmp_path / "disk").mkdir()
    command = [*IN_NAMESPACE, sys.executable, "-c", FULL_AND_READ_ONLY, str(archive), str(tmp_path / "disk")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    full, again, read_only = done.stdout.splitlines()
    assert "No space left on device" in full and full.endswith("['x.lock']") and again == "done 1"
    assert "Read-only file system" in read_only and read_only.endswith("['x', 'x.lock']")
