"""XGBoost and LightGBM without the libraries that they load where they happen to be installed: a worker needs none of them.

Where training is installed beside serving, `import xgboost` and `import lightgbm` load scikit-learn, SciPy's statistics and
pandas: seconds and a hundred megabytes a worker. Python's documented way to say that a module is not there is None in
`sys.modules`.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.trial import NOT_NEEDED


@contextmanager
def as_if_not_installed(*names: str) -> Iterator[None]:
    """Imports of these modules fail within the block, unless they are loaded already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None is what the import system looks for
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def load_xgboost() -> None:
    """Import XGBoost alone."""
    with as_if_not_installed(*NOT_NEEDED):
        import xgboost  # noqa: F401 # for its own sake


def load_library_of(bundle: Path) -> None:
    """Import LightGBM alone, if trees of it are in a bundle: most servers have none, and save what it takes."""
    from training.predictors.trees import MODEL_FILES  # which imports XGBoost

    if (bundle / MODEL_FILES["lightgbm"]).exists():
        with as_if_not_installed(*NOT_NEEDED):
            import lightgbm  # noqa: F401 # for its own sake
