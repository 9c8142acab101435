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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from features.errors import BundleRefused, RapportError

TIMEOUT_S = 60.0
ROWS = 1000
_NOT_NEEDED = ("sklearn", "pandas", "pyarrow")
_ROOT = Path(__file__).resolve().parents[1]
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
    """

    load_s: float
    row_us: float | None
    single_us: float | None
    finite: bool
    bytes: int


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
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    command = [sys.executable, "-m", "training.trial", str(folder), sha256 or ""]
    try:
        ran = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise BundleRefused(f"it did not load within {timeout_s:g} s in a process of its own", remedy=_REMEDY) from error
    if ran.returncode < 0:
        name = signal.Signals(-ran.returncode).name
        raise BundleRefused(f"it crashed the process that tried to load it ({name})", remedy=_REMEDY)
    if ran.returncode != 0 or not ran.stdout.strip():
        last = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        raise BundleRefused(f"the process that tried to load it failed: {last}", remedy=_REMEDY)
    found = json.loads(ran.stdout.splitlines()[-1])
    if "refused" in found:
        raise BundleRefused(found["refused"], remedy=found["remedy"])
    return Trial(**found)


def main(folder: Path, sha256: str | None) -> None:
    """Do it, here and now; the answer is one JSON line on standard output.

    As where models are served, libraries that XGBoost loads if they happen to be there are not: that saves four fifths of
    the time.
    """
    for name in _NOT_NEEDED:
        sys.modules[name] = None  # type: ignore[assignment] # an import of it fails as if it were not installed
    try:
        found = asdict(measure(folder, sha256))
    except RapportError as error:
        found = {"refused": str(error), "remedy": error.remedy}
    sys.stdout.write(json.dumps(found) + "\n")


def measure(folder: Path, sha256: str | None) -> Trial:
    """Load, check and time a bundle in this process."""
    import numpy as np

    from training.predictors import Recommender, load_bundle

    size = sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0
    begun = perf_counter()
    predictor = load_bundle(folder, sha256=sha256)
    load_s = perf_counter() - begun
    if isinstance(predictor, Recommender):
        return Trial(load_s, None, None, bool(np.isfinite(predictor.catalogue.factors).all()), size)
    golden = predictor.golden
    many = np.tile(golden, (-(-ROWS // len(golden)), 1))[:ROWS]
    one = golden[-1:]
    batch = min(_seconds(lambda: predictor.score(many)) for _ in range(7))
    single = min(_seconds(lambda: predictor.score(one)) for _ in range(50))
    finite = bool(np.isfinite(predictor.score(golden)).all())
    return Trial(load_s, batch / ROWS * 1e6, single * 1e6, finite, size)


def _seconds(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] or None)
