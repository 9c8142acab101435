"""What a serving process may not load, what no module may import, and how test folders are kept importable."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINES = {"duckdb", "ibis", "pyspark", "mlflow", "optuna", "shap", "matplotlib", "pandera", "implicit"}
"""Without pandas and pyarrow: where they are installed, LightGBM and XGBoost load them by themselves."""
CODE_IN_DATA = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
PACKAGES = ("features", "training", "serving", "commands")


def modules_loaded_by(*names: str, folder: Path = ROOT) -> set[str]:
    """Top-level packages in a fresh process, started in a folder, after importing these modules."""
    code = f"import json, sys, {', '.join(names)}; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    environment = {
        **os.environ,
        "RAPPORT_API_KEYS": "x",
        "REDIS_URL": "unix:///nonexistent",
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(ROOT),
    }
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert found.returncode == 0, found.stderr
    return set(json.loads(found.stdout.splitlines()[-1]))


def test_serving_loads_neither_engine_nor_tracker_and_leaves_no_file(tmp_path: Path) -> None:
    loaded = modules_loaded_by("serving.service", "serving.api", "serving.scoring", "serving.recommending", folder=tmp_path)

    assert {"serving", "features", "training", "bentoml", "numpy"} <= loaded
    assert loaded & ENGINES == set()
    assert list(tmp_path.iterdir()) == []


def test_declarations_load_no_engine() -> None:
    loaded = modules_loaded_by("features.contract", "features.derive", "features.live", "features.codec")

    assert loaded & (ENGINES | {"pandas", "pyarrow", "bentoml", "redis", "xgboost", "lightgbm", "sklearn"}) == set()


def test_the_front_door_loads_only_what_names_commands() -> None:
    """Jobs are imported once a command runs: `rapport --help` waits for none of them."""
    loaded = modules_loaded_by("rapport")

    assert {"rapport", "commands", "features", "typer"} <= loaded
    assert loaded & (ENGINES | {"training", "serving", "numpy", "pandas", "pyarrow", "bentoml", "redis", "xgboost"}) == set()


def test_the_check_notices_an_engine() -> None:
    assert "ibis" in modules_loaded_by("features.build")


def imported_by(path: Path) -> set[str]:
    """Top-level packages that a file names in any import, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_can_run_code_found_in_data(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))

    assert len(files) > 5
    for path in files:
        assert imported_by(path) & CODE_IN_DATA == set(), path
        assert "allow_pickle=True" not in path.read_text(), path


def test_the_flow_goes_one_way() -> None:
    allowed = {"features": set(), "training": {"features"}, "serving": {"features", "training"}, "commands": set(PACKAGES)}
    for package, below in allowed.items():
        for path in sorted((ROOT / package).rglob("*.py")):
            assert imported_by(path) & set(PACKAGES) <= below | {package}, path


def test_import_contracts_are_kept() -> None:
    lint = Path(sys.executable).with_name("lint-imports")

    found = subprocess.run([str(lint), "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout + found.stderr
    assert "0 broken" in found.stdout


def test_no_test_folder_is_a_package() -> None:
    """A tests/features with an __init__.py would hide our own package `features`."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_every_test_file_says_in_one_line_what_it_is_about() -> None:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        described = ast.get_docstring(ast.parse(path.read_text()))
        assert described, path
