"""The runner of notebooks, and every notebook end to end with the smoke profile."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from typer.testing import CliRunner

from gsos import notebooks, profiles
from gsos.cli import app
from gsos.paths import ROOT

NOTEBOOKS = notebooks.find([])
RUN = {"PROFILE": "smoke", "SEED": 0, "DEVICE": "cpu", "WORKERS": 2}


def small_notebook(path, *sources, parameters="PROFILE = 'recorded'\nSEED = 0\nDEVICE = 'auto'\nWORKERS = None"):
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    cells = [first, *map(nbformat.v4.new_code_cell, sources)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_with_smoke_by_papermill_alone(notebook, tmp_path):
    """As a user of papermill would, who knows nothing of `gsos run`."""
    profile = ROOT / "notebooks" / "profiles" / "smoke.yaml"
    command = [sys.executable, "-m", "papermill", str(notebook), str(tmp_path / "out.ipynb"), "-f", str(profile)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    findings = [
        output["data"]["text/markdown"]
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "text/markdown" in output.get("data", {})
    ]
    assert sum("**Finding.**" in finding for finding in findings) >= 2
    assert not any("nan" in finding.lower().split() for finding in findings)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_parameters_fit_every_profile(notebook):
    parameters = papermill.inspect_notebook(str(notebook))
    assert list(parameters)[:4] == list(notebooks.COMMON)
    sizes = profiles.SIZES[notebook.stem[:2]]
    assert set(parameters) - set(notebooks.COMMON) == {name.upper() for name in sizes}
    for name in sizes:
        assert parameters[name.upper()]["default"] == "None"
    assert parameters["PROFILE"]["default"] == '"recorded"'
    for profile in profiles.PROFILES:
        values = notebooks.read_profile(profile)
        assert values["PROFILE"] == profile and list(values) == list(notebooks.COMMON)
        notebooks.check_parameters(notebook, values)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_saved_outputs_are_of_a_clean_run(notebook):
    code = [c for c in nbformat.read(notebook, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert str(ROOT) not in json.dumps(outputs)


def test_sizes_are_overridden_one_by_one():
    assert profiles.sizes("01", "quick")["n_train"] == 1000
    assert profiles.sizes("01", "quick", n_train=50, study=None)["n_train"] == 50
    with pytest.raises(
        ValueError, match="PROFILE must be one of smoke, quick, recorded, workstation, paper, not 'fast'"
    ):
        profiles.sizes("01", "fast")
    assert profiles.sizes("01", "smoke", datasets="digits")["datasets"] == ("digits",)
    assert profiles.sizes("01", "recorded", study="hia-workstation")["study"] == "hia-workstation"
    with pytest.raises(ValueError, match=r"profile recorded trains nothing: \['n_models'\] cannot be chosen"):
        profiles.sizes("01", "recorded", n_models=3)
    assert not any(profiles.sizes("05", "recorded").values())  # nothing to measure
    with pytest.raises(ValueError, match=r"\['n_repeats'\] cannot be chosen"):
        profiles.sizes("05", "recorded", n_repeats=3)
    with pytest.raises(ValueError, match="notebook 01 has no size"):
        profiles.sizes("01", "quick", n_epochs=3)
    assert all(len(values) == len(profiles.PROFILES) for sizes in profiles.SIZES.values() for values in sizes.values())
    assert list(profiles.table("01").columns) == list(profiles.PROFILES)


def test_a_run_is_skipped_until_something_changes(tmp_path):
    notebook = small_notebook(tmp_path / "09_small.ipynb", "print(PROFILE, WORKERS)")
    first = notebooks.run(notebook, RUN, folder=tmp_path / "out")
    assert not first.skipped and first.notebook == tmp_path / "out" / "notebooks" / "09_small.ipynb"
    assert "smoke 2" in (tmp_path / "out" / "run.log").read_text()
    assert notebooks.run(notebook, RUN, folder=tmp_path / "out").skipped
    assert not notebooks.run(notebook, RUN | {"SEED": 1}, folder=tmp_path / "out").skipped
    small_notebook(notebook, "print(PROFILE)")
    assert not notebooks.run(notebook, RUN | {"SEED": 1}, folder=tmp_path / "out").skipped
    first.notebook.with_suffix(".json").write_text("")  # as a full disk would leave it
    assert not notebooks.run(notebook, RUN | {"SEED": 1}, folder=tmp_path / "out").skipped


def test_a_run_whose_figures_were_removed_is_run_again(tmp_path):
    folder = tmp_path / "out"
    notebook = small_notebook(
        tmp_path / "09_small.ipynb", f"open({str(folder / 'figures' / '09_a.png')!r}, 'w').close()"
    )
    (folder / "figures").mkdir(parents=True)
    notebooks.run(notebook, RUN, folder=folder)
    assert notebooks.run(notebook, RUN, folder=folder).skipped
    (folder / "figures" / "09_a.png").unlink()
    assert not notebooks.run(notebook, RUN, folder=folder).skipped


def test_time_is_told_by_section(tmp_path):
    notebook = small_notebook(tmp_path / "09_small.ipynb", "import time", "time.sleep(0.3)")
    cells = nbformat.read(notebook, as_version=4)
    cells.cells.insert(2, nbformat.v4.new_markdown_cell("Some words.\n\n## The nap"))
    nbformat.write(cells, notebook)
    seconds = notebooks.section_seconds(notebooks.run(notebook, RUN, folder=tmp_path / "out").notebook)
    assert list(seconds) == ["09_small", "The nap"] and seconds["The nap"] >= 0.3


def test_an_error_names_notebook_and_cell_and_leaves_what_ran(tmp_path):
    notebook = small_notebook(tmp_path / "09_broken.ipynb", "print('before')", "x = 1 / 0", "print('after')")
    with pytest.raises(notebooks.NotebookError, match=r"09_broken.ipynb, cell 3 \(x = 1 / 0\): ZeroDivisionError") as e:
        notebooks.run(notebook, RUN, folder=tmp_path / "out")
    left = tmp_path / "out" / "notebooks" / "09_broken.ipynb"
    assert str(left) in str(e.value)
    assert "before" in left.read_text() and nbformat.read(left, as_version=4).cells
    with pytest.raises(notebooks.NotebookError):  # a failed run is not taken for a finished one
        notebooks.run(notebook, RUN, folder=tmp_path / "out")


def test_a_killed_kernel_is_named(tmp_path):
    notebook = small_notebook(tmp_path / "09_killed.ipynb", "import os\nos.kill(os.getpid(), 9)")
    with pytest.raises(notebooks.NotebookError, match="09_killed.ipynb: its process died"):
        notebooks.run(notebook, RUN, folder=tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    notebook = small_notebook(tmp_path / "09_small.ipynb")
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="the run's folder cannot be written .* make it writable") as error:
        notebooks.run(notebook, RUN, folder=tmp_path / "runs" / "smoke")
    assert error.value.filename == str(tmp_path / "runs" / "smoke")


def test_outputs_are_saved_without_times_and_injected_parameters(tmp_path):
    notebook = small_notebook(tmp_path / "09_small.ipynb", "print(PROFILE)", "1 + 1")
    executed = notebooks.run(notebook, RUN, folder=tmp_path / "out").notebook
    notebooks.save_outputs(executed, notebook)
    text = notebook.read_text()
    assert "smoke" in text and "injected" not in text and "duration" not in text
    assert [cell.execution_count for cell in nbformat.read(notebook, as_version=4).cells] == [1, 2, 3]


def test_bad_profiles_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="there is no profile 'quik'; there are paper, quick, recorded, smoke, workst"):
        notebooks.read_profile("quik")
    (tmp_path / "profiles").mkdir()
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    (tmp_path / "profiles" / "odd.yaml").write_text(yaml.safe_dump(RUN | {"WORKER": 3}))
    with pytest.raises(ValueError, match=r"odd.yaml has unknown keys \['WORKER'\]; a profile holds PROFILE, SEED"):
        notebooks.read_profile("odd")
    (tmp_path / "profiles" / "odd.yaml").write_text("PROFILE: fast\n")
    with pytest.raises(ValueError, match="PROFILE must be one of smoke, .* not 'fast'"):
        notebooks.read_profile("odd")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "01", "--profile", "quik"], "there is no profile 'quik'"),
        (["run", "77"], "there is no notebook '77'; there are 00_published_claims"),
        (
            ["run", "01", "-p", "N_MODELLS", "3"],
            "01_data_generation.ipynb has no parameter 'N_MODELLS'; it has PROFILE",
        ),
        (["collect", "--dataset", "mnits", "--n", "3"], "unknown dataset 'mnits'"),
        (["data", "fetch", "mnits"], "unknown dataset 'mnits'"),
        (["collect", "--dataset", "mnist", "--n", "3"], "MNIST is not here: `gsos data fetch mnist` gets it"),
        (["collect", "--dataset", "digits", "--n", "3", "--device", "cuda:9"], "device 'cuda:9' is not there"),
        (["collect", "--dataset", "digits", "--n", "3", "--store", "/dev/null/x"], "record store cannot be written"),
    ],
)
def test_the_command_line_names_what_is_wrong(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSOS_DATA", str(tmp_path))
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert message in done.output and "Traceback" not in done.output


def test_the_command_line_collects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["collect", "--dataset", "digits", "--n", "4", "--n-train", "60", "--workers", "1", "--device", "cpu"]
    done = CliRunner().invoke(app, [*arguments, "--export", "out.parquet"])
    assert done.exit_code == 0 and "4 records of digits" in done.output
    assert Path("out.parquet").is_file() and Path("runs/hia/trials.journal").is_file()


def test_notebooks_are_found_by_number_name_and_path(tmp_path):
    (path,) = notebooks.find(["01"])
    assert notebooks.find(["01_data_generation"]) == notebooks.find([str(path)]) == [path]
    foreign = small_notebook(tmp_path / path.name)
    with pytest.raises(ValueError, match="there is no notebook"):  # not ours of the same name instead
        notebooks.find([str(foreign)])


def test_p_takes_pairs_as_papermill_does():
    done = CliRunner().invoke(app, ["run", "01", "-p", "SEED"])
    assert done.exit_code == 2 and "NAME VALUE" in done.output
