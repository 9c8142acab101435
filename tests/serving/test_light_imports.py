"""A worker that loads trees of LightGBM loads nothing of what training needs, and they say the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from training.predictors.trees import TreeModel

ROOT = Path(__file__).parents[2]
CHILD = """
import json, sys
from pathlib import Path
from serving.light_imports import load_library_of, load_xgboost
load_xgboost()
load_library_of(Path(sys.argv[1]))
loaded = sorted({"lightgbm", "sklearn", "pandas", "pyarrow"} & sys.modules.keys())
from training.predictors.trees import TreeModel
import numpy as np
scores = [TreeModel.from_bytes("lightgbm", path.read_bytes()).predict(np.eye(4, dtype=np.float32)).tolist()
          for path in Path(sys.argv[1]).glob("model.txt")]
print(json.dumps([loaded, scores]))
"""


def child(bundle: Path) -> tuple[list[str], list[list[float]]]:
    """Which libraries a process like a worker has loaded for a bundle, and what its trees say of four rows."""
    command = [sys.executable, "-c", CHILD, str(bundle)]
    ran = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True, timeout=120
    )
    loaded, scores = json.loads(ran.stdout)
    return loaded, scores


def test_lightgbm_comes_alone_and_says_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    matrix, labels = rng.random((300, 4)), rng.integers(0, 2, 300)
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, lightgbm.Dataset(matrix, labels), 5)
    model = TreeModel("lightgbm", booster)
    (tmp_path / "model.txt").write_bytes(model.to_bytes())

    loaded, scores = child(tmp_path)

    assert loaded == ["lightgbm"]
    assert scores == [model.predict(np.eye(4, dtype=np.float32)).tolist()]


@pytest.mark.parametrize("file", ["model.json", "arrays.npz"])
def test_other_bundles_need_no_lightgbm(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_bytes(b"")

    assert child(tmp_path) == ([], [])
