"""JupyterLab, as `make lab` starts it, runs notebook 02 to its end in a browser."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from headless import chromium, needs_chromium

from gsos.paths import ROOT

NAME = "02_importance.ipynb"
TOKEN = "of-this-test"


@pytest.fixture
def folder(tmp_path):
    """A copy of the notebooks; 02 has the smoke profile, and runs of its own, since others run that study too."""
    copy = shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    notebook = nbformat.read(copy / NAME, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    for name, value in {"PROFILE": "smoke", "DEVICE": "cpu"}.items():
        parameters.source, n = re.subn(rf'^{name} = "\w+"', f'{name} = "{value}"', parameters.source, flags=re.M)
        assert n == 1
    parameters.source += f"\n\nimport pathlib\nimport gsos.paths\ngsos.paths.RUNS = pathlib.Path({str(tmp_path)!r})"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, copy / NAME)
    return copy


@pytest.fixture
def server(folder, tmp_path):
    """The server's address."""
    command = re.search(r"^lab:.*\n\t\$\(BIN\)/jupyter (.+)", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert command == ["lab", "notebooks"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"]
    options += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment = os.environ | {name: str(tmp_path / name.lower()) for name in own} | {"OMP_NUM_THREADS": "1"}
    with open(tmp_path / "server.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", *command, *options],
            cwd=folder.parent, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.wait(timeout=30)


def wait_until(is_so, seconds, log):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(1)


def kernels(server):
    """What runs on the server; None where it does not answer yet."""
    try:
        with urllib.request.urlopen(f"{server}/api/kernels?token={TOKEN}", timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


def outputs_and_counts(path):
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return [output for cell in code for output in cell.outputs], [cell.execution_count for cell in code]


@needs_chromium
def test_notebook_02_runs_to_its_end_in_jupyterlab(server, folder, tmp_path):
    log = tmp_path / "server.log"
    wait_until(lambda: kernels(server) == [], 60, log)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{server}/lab/tree/{NAME}?token={TOKEN}")
        idle = page.get_by_text("Python 3 (ipykernel) | Idle", exact=True)  # in the status bar
        wait_until(lambda: idle.is_visible() and len(kernels(server)) == 1, 60, log)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

        def has_run():
            if not idle.is_visible():
                return False
            page.keyboard.press("Control+s")
            outputs, counts = outputs_and_counts(folder / NAME)
            return all(counts) or any(output.output_type == "error" for output in outputs)

        wait_until(has_run, 240, log)
    outputs, counts = outputs_and_counts(folder / NAME)
    assert not [output.evalue for output in outputs if output.output_type == "error"]
    assert counts == list(range(1, len(counts) + 1))
    made = sorted((tmp_path / "smoke" / "figures").glob("02_*.png"))
    assert sum("image/png" in output.get("data", {}) for output in outputs) == len(made) > 0
    assert (tmp_path / "smoke" / "claims" / "02_importance.csv").is_file()
