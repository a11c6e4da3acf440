"""Several processes run the tests, each a file at a time: the files that take longest come first, not at the end."""

import os

os.environ.setdefault("RAY_worker_niceness", "0")  # of clusters, whose workers would wait for all other tests

LONGEST = (
    "test_notebooks.py",
    "test_experiments.py",
    "test_collect.py",
    "test_project.py",
    "test_lab.py",
    "test_browser.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
