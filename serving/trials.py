"""Trials that are kept: on one machine a version is tried once, in a child process, before the first worker loads it.

What was found stands in a file for each version, named by the hash of its manifest and by what it was tried with (libraries,
and the code of the tables of reasons). Beside it stand those tables, which the child has worked out: a worker reads them in
the hundredth part of the time. Refusals are not kept, as their cause may have gone when the server starts again.

    python -m serving.trials      tries the champions; the supervisor runs it while it starts, so that workers find it done
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from features.errors import BundleRefused, RapportError
from features.private_files import private_folder, write_private
from features.settings import Settings
from training import trial as trials
from training.registry import CHAMPION, RegisteredModel, registered_models
from training.trial import Trial, Untried, try_bundles

FOLDER = "tried"
_ROOT = Path(__file__).resolve().parents[1]
KEPT = 32
"""Versions whose trial is kept; one asked for again after that is tried again."""
LIBRARIES = ("numpy", "xgboost", "xgboost-cpu", "lightgbm")
CODE = ("reasons.py", "reason_codes.py", "shapley_tables.py", "leaf_groups.py", "table_lanes.py", "tree_paths.py")


@dataclass(frozen=True, slots=True)
class Tried:
    """A version that may be loaded, and where the tables of its reasons are.

    Attributes
    ----------
    tables
        Where they were written; None where nothing is kept.
    digest
        SHA-256 of that file; None for a model that has none.
    """

    trial: Trial
    tables: Path | None

    @property
    def digest(self) -> str | None:
        """SHA-256 of the tables; None for a model without."""
        return self.trial.tables


class Trials:
    """The trials of a machine. Without a folder nothing is kept: a version is tried whenever it is asked for.

    Parameters
    ----------
    trying
        Does it.
    """

    def __init__(
        self, folder: Path | None, *, trying: Callable[[Sequence[Untried]], list[Trial | BundleRefused]] = try_bundles
    ) -> None:
        self._folder = folder
        self.trying = trying
        self._refused: dict[str, BundleRefused] = {}

    def ahead(self, models: Sequence[RegisteredModel]) -> None:
        """Try what has not been tried, all in one child: each of its own would import the libraries anew."""
        if self._folder is None:
            return
        with self._alone():
            missing = [model for model in models if self._read(model) is None and model.sha256 not in self._refused]
            if missing:
                self._try(missing)

    def of(self, model: RegisteredModel) -> Tried:
        """The trial of a version, made now if it has not been.

        Raises
        ------
        BundleRefused
            It was altered, disagrees with its golden rows, crashes or hangs.
        """
        with self._alone():
            found = self._read(model)
            if found is None and model.sha256 not in self._refused:
                found = self._try([model])[0]
        refusal = self._refused.get(model.sha256)
        if found is None and refusal is not None:
            raise refusal
        if found is None:
            raise BundleRefused(f"{model.label} was not tried", remedy="start the server again")
        return found

    def _try(self, models: Sequence[RegisteredModel]) -> list[Tried | None]:
        """Try some now, and keep what was found."""
        found: list[Tried | None] = []
        untried = [Untried(model.bundle, model.sha256, self._path(model, "npz")) for model in models]
        for model, told in zip(models, self.trying(untried), strict=True):
            if isinstance(told, BundleRefused):
                self._refused[model.sha256] = told
                found.append(None)
            else:
                found.append(Tried(told, self._path(model, "npz")))
                self._write(model, told)
        return found

    def _read(self, model: RegisteredModel) -> Tried | None:
        path = self._path(model, "json")
        try:
            return Tried(Trial(**json.loads(path.read_bytes())), path.with_suffix(".npz")) if path is not None else None
        except (OSError, ValueError, TypeError):  # none, or not of ours
            return None

    def _write(self, model: RegisteredModel, told: Trial) -> None:
        """Keep a trial, and forget the oldest."""
        path = self._path(model, "json")
        if path is None or self._folder is None:
            return
        write_private(path, json.dumps(asdict(told)).encode())
        for old in sorted(self._folder.glob("*.json"), key=lambda kept: kept.stat().st_mtime)[:-KEPT]:
            old.unlink()
            old.with_suffix(".npz").unlink(missing_ok=True)

    def _path(self, model: RegisteredModel, suffix: str) -> Path | None:
        return self._folder / f"{model.sha256[:40]}-{self._tried_with}.{suffix}" if self._folder is not None else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time: the others wait, and find it done. Where nothing can be written, nothing is kept."""
        if self._folder is None:
            yield
            return
        try:
            private_folder(self._folder)
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            self._folder = None
            yield
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @cached_property
    def _tried_with(self) -> str:
        """What may change how a bundle loads, or what its tables are."""
        known = [sys.version, *(f"{name} {_version(name)}" for name in LIBRARIES)]
        predictors = Path(trials.__file__).parent / "predictors"
        known += [sha256((predictors / name).read_bytes()).hexdigest() for name in CODE]
        return sha256("\n".join(known).encode()).hexdigest()[:16]


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def champions(mlruns: Path) -> list[RegisteredModel]:
    """Every version that an alias of champion points to."""
    return [model for model in registered_models(mlruns) if CHAMPION in model.aliases]


def begin() -> None:
    """Try the champions in a process of its own, and go on meanwhile; settings are those of the environment."""
    paths = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    child = subprocess.Popen([sys.executable, "-m", __name__], env=os.environ | {"PYTHONPATH": paths}, stdin=subprocess.DEVNULL)
    threading.Thread(target=child.wait, daemon=True).start()  # or it would stay in the list of processes when it has ended


def main(settings: Settings) -> int:
    """Try the champions; a worker tells what was refused, so that nothing is said here."""
    try:
        Trials(settings.data_dir / FOLDER).ahead(champions(settings.mlruns_dir))
    except RapportError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Settings.from_env(os.environ)))
