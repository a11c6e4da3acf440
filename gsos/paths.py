"""Where the project's files are: in a clone beside the package, in an installed wheel inside it."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_IN_CLONE = (_PACKAGE.parent / "notebooks" / "profiles").is_dir()

ROOT = _PACKAGE.parent if _IN_CLONE else Path.cwd()  # notebooks/, runs/ and figures/ stand here
DATA = ROOT / "data" if _IN_CLONE else _PACKAGE / "data"  # published/, embedded/ and, in a clone, records/
RUNS = ROOT / "runs"
