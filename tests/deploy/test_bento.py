"""The archive that `bentoml build` makes: what it holds and what not, and that it answers without a checkout beside it."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import closing
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from serving.version import PROJECT, rapport_version

ROOT = Path(__file__).parents[2]
WITHIN_S = 120.0


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_archive_asks_for_what_serving_needs_and_parquet(project: dict[str, Any]) -> None:
    wanted = {*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["bulk"]}
    assert set(project["tool"]["bentoml"]["build"]["python"]["packages"]) == wanted


def test_the_version_is_that_of_the_project_with_and_without_an_installation(
    project: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PROJECT == ROOT / "pyproject.toml"

    def not_installed(name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr("serving.version.version", not_installed)
    assert rapport_version() == project["project"]["version"]


def tracked_files(folder: Path) -> None:
    """What a clean clone holds, with the changes of the working tree."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def bentoml(home: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    """A command of BentoML's, and an environment without our settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAPPORT_", "REDIS_", "PYTHONPATH"))}
    environment = {**kept, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    return [sys.executable, "-m", "bentoml", *words], environment


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BentoML's folder with the archive built from a clean clone, in which nobody ever set anything."""
    clone, home = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("home")
    tracked_files(clone)
    command, environment = bentoml(home, "build")
    built = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return home


@pytest.mark.slow
def test_the_archive_holds_code_and_nothing_else(home: Path) -> None:
    (archive,) = [path for path in (home / "bentos" / "rapport").iterdir() if path.is_dir()]
    files = {path.relative_to(archive / "src").as_posix() for path in (archive / "src").rglob("*") if path.is_file()}

    assert {"serving/service.py", "commands/bulk.py", "commands/line/shop.py"} <= files
    tops = {name.partition("/")[0] for name in files - {"bentofile.yaml"}}
    code = {"rapport.py", "commands", "serving", "training", "features"}
    assert tops == {*code, "pyproject.toml", "LICENSE"}
    assert {Path(name).suffix for name in files} <= {".py", ".toml", ".yaml", ""}
    for path in archive.rglob("*"):
        parts = set(path.relative_to(archive).parts)
        assert not parts & {"tests", "data", "notebooks", "mlruns", ".venv", ".git", "benchmarks"}, path


@pytest.mark.slow
def test_the_archive_answers_on_its_own(home: Path, store_url: str, tmp_path: Path) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command, environment = bentoml(home, "serve", "rapport:latest", "--port", str(port), "--host", "127.0.0.1")
    environment |= {
        "REDIS_URL": store_url, "RAPPORT_API_KEYS": "a-key", "RAPPORT_WORKERS": "1",
        "RAPPORT_DATA_DIR": str(tmp_path / "data"), "RAPPORT_MLRUNS_DIR": str(tmp_path / "mlruns"),
    }  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        assert until_answered(port, "/health/live") == 200, (tmp_path / "log").read_text()
        assert asked(port, "/v1/models", key="a-key") == 200, (tmp_path / "log").read_text()
        assert asked(port, "/v1/models") == 401
        assert asked(port, "/openapi.json", key="a-key") == 200
    finally:
        process.terminate()
        process.wait(30)


def asked(port: int, path: str, *, key: str = "") -> int:
    """The status of one request."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path, headers={"X-Api-Key": key} if key else {})
        return connection.getresponse().status


def until_answered(port: int, path: str) -> int:
    """The status of the first request that is answered."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        try:
            return asked(port, path)
        except OSError:
            time.sleep(0.2)
    return 0
