"""The first load of a bundle, in a child process: a file that crashes or hangs its library takes no one else with it.

Damaged LightGBM text crashed its process in 60 of 90 trials and hung twice. So hashes are checked first, and then a child
loads the bundle, checks its golden rows and times it; only then does the process that asked load it, too.
Nothing heavy is imported here by the process that asks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from features.errors import BundleRefused, RapportError

if TYPE_CHECKING:
    from training.predictors import AnyPredictor

TIMEOUT_S = 60.0
ROWS = 1000
NOT_NEEDED = ("sklearn", "pandas", "pyarrow")
"""What XGBoost and LightGBM load where it happens to be installed; whoever answers by a bundle needs none of it."""
_ROOT = Path(__file__).resolve().parents[1]
_OURS = "trial: "
_REMEDY = 'train it again ("rapport train"), or keep the champion'


@dataclass(frozen=True, slots=True)
class Trial:
    """What a child process found of a bundle that it could load, its golden rows right.

    Attributes
    ----------
    load_s
        Seconds from the files to a predictor whose golden rows agree, imports not counted.
    row_us
        Microseconds a row, in a batch of 1,000 on one thread; None for models that do not score rows.
    single_us
        Microseconds for one row alone.
    finite
        Whether every score of the golden rows is a number.
    bytes
        Size of all files.
    tables
        SHA-256 of the tables of reasons that were written; None where none were asked for, or there can be none.
    """

    load_s: float
    row_us: float | None
    single_us: float | None
    finite: bool
    bytes: int
    tables: str | None = None


@dataclass(frozen=True, slots=True)
class Untried:
    """A bundle that is to be tried.

    Attributes
    ----------
    sha256
        Hash that the manifest must have; None skips that.
    tables
        Where the tables of its reasons are to be written; None for nowhere.
    """

    folder: Path
    sha256: str | None = None
    tables: Path | None = None


def try_bundle(folder: Path, *, sha256: str | None = None, timeout_s: float = TIMEOUT_S) -> Trial:
    """Load a bundle in a child process, check its golden rows there, and time it.

    Parameters
    ----------
    sha256
        Hash that the manifest must have; None skips that.

    Raises
    ------
    BundleRefused
        The bundle is refused there, or loading it crashes or hangs the child.
    """
    found = try_bundles([Untried(folder, sha256)], timeout_s=timeout_s)[0]
    if isinstance(found, BundleRefused):
        raise found
    return found


def try_bundles(bundles: Sequence[Untried], *, timeout_s: float = TIMEOUT_S) -> list[Trial | BundleRefused]:
    """The same for several, by one child as long as it lives: its imports cost more than a bundle does.

    Of a child that crashes or hangs, the bundle it was at is refused; another child goes on with those behind it.
    """
    found: list[Trial | BundleRefused] = []
    while len(found) < len(bundles):
        left = bundles[len(found) :]
        lines, fault = _run(left, timeout_s * len(left))
        found += [_read(line) for line in lines]
        if len(lines) < len(left):
            found.append(BundleRefused(fault, remedy=_REMEDY))
    return found


def _run(bundles: Sequence[Untried], timeout_s: float) -> tuple[list[str], str]:
    """What a child says of them, a line each; and if it does not get to the end, what became of it."""
    command = [sys.executable, "-m", "training.trial"]
    for bundle in bundles:
        command += [str(bundle.folder), bundle.sha256 or "", str(bundle.tables or "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    try:
        ran = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        return _answers(error.stdout), f"it did not load within {timeout_s:g} s in a process of its own"
    if ran.returncode < 0:
        name = signal.Signals(-ran.returncode).name
        return _answers(ran.stdout), f"it crashed the process that tried to load it ({name})"
    last = (ran.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
    return _answers(ran.stdout), f"the process that tried to load it failed: {last}"


def _answers(output: bytes | None) -> list[str]:
    """The whole lines that are the child's: libraries print some of their own."""
    lines = (output or b"").decode(errors="replace").split("\n")[:-1]
    return [line.removeprefix(_OURS) for line in lines if line.startswith(_OURS)]


def _read(line: str) -> Trial | BundleRefused:
    found = json.loads(line)
    return BundleRefused(found["refused"], remedy=found["remedy"]) if "refused" in found else Trial(**found)


def main(bundles: Sequence[Untried]) -> None:
    """Do it, here and now; the answer is one JSON line for each bundle on standard output, as soon as it is known.

    As where models are served, libraries that XGBoost loads if they happen to be there are not: that saves four fifths of
    the time.
    """
    for name in NOT_NEEDED:
        sys.modules[name] = None  # type: ignore[assignment] # an import of it fails as if it were not installed
    for bundle in bundles:
        try:
            found = asdict(measure(bundle))
        except RapportError as error:
            found = {"refused": str(error), "remedy": error.remedy}
        sys.stdout.write(f"\n{_OURS}{json.dumps(found)}\n")
        sys.stdout.flush()


def measure(bundle: Untried) -> Trial:
    """Load, check and time a bundle in this process."""
    import numpy as np

    from training.predictors import Recommender, load_bundle

    folder = bundle.folder
    size = sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0
    begun = perf_counter()
    predictor = load_bundle(folder, sha256=bundle.sha256)
    load_s = perf_counter() - begun
    if isinstance(predictor, Recommender):
        return Trial(load_s, None, None, bool(np.isfinite(predictor.catalogue.factors).all()), size)
    golden = predictor.golden
    many = np.tile(golden, (-(-ROWS // len(golden)), 1))[:ROWS]
    one = golden[-1:]
    batch = min(_seconds(lambda: predictor.score(many)) for _ in range(7))
    single = min(_seconds(lambda: predictor.score(one)) for _ in range(50))
    finite = bool(np.isfinite(predictor.score(golden)).all())
    tables = _write_tables(predictor, bundle.tables) if bundle.tables is not None else None
    return Trial(load_s, batch / ROWS * 1e6, single * 1e6, finite, size, tables)


def _write_tables(predictor: AnyPredictor, path: Path) -> str | None:
    """Tables of reasons, which take longer than all else: whoever serves the bundle reads them. None if there can be none."""
    from training.predictors import ChurnPredictor, TierPredictor
    from training.predictors.reasons import write_tables

    return write_tables(predictor, path) if isinstance(predictor, ChurnPredictor | TierPredictor) else None


def _seconds(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun


if __name__ == "__main__":
    given = sys.argv[1:]
    main([Untried(Path(a), b or None, Path(c) if c else None) for a, b, c in zip(*[iter(given)] * 3, strict=True)])
