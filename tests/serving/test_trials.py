"""Trials that are kept: one a version and machine, with the tables of reasons; at the start as well as at a swap."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from benchmarks.serving_world import churn_model, register
from features.contract import CONTRACT
from features.errors import BundleRefused
from features.settings import Settings
from serving.served import load_served
from serving.trials import CODE, FOLDER, Trials, champions
from serving.watch import ModelWatch
from tests.serving.conftest import MakeClient
from training.predictors import reasons
from training.registry import RegisteredModel
from training.trial import Trial, Untried, try_bundles


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry with two champions of the same kind."""
    matrix = np.random.default_rng(3).random((400, len(CONTRACT.model_features))).astype(np.float32)
    register(tmp_path / "mlruns", "churn", 1, churn_model(matrix, trees=5, depth=3), alias="champion")
    return tmp_path / "mlruns"


@dataclass
class Counting:
    """Tries for real, and remembers what it was asked to try."""

    asked: list[int] = field(default_factory=list)

    def __call__(self, bundles: Sequence[Untried]) -> list[Trial | BundleRefused]:
        self.asked.append(len(bundles))
        return try_bundles(bundles)


def spoil(model: RegisteredModel) -> None:
    """Turn one bit over, in the middle."""
    path = model.bundle / "model.json"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_version_is_tried_once_by_whoever_comes_first(registry: Path, tmp_path: Path) -> None:
    models, counting = champions(registry), Counting()
    Trials(tmp_path / FOLDER, trying=counting).ahead(models)
    later = Trials(tmp_path / FOLDER, trying=counting)
    later.ahead(models)
    assert later.of(models[0]).trial.finite
    assert counting.asked == [1]
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / FOLDER).glob("*.json")} == {0}


def test_tables_of_reasons_are_read_and_are_those_that_would_be_worked_out(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model,) = champions(registry)
    matrix = np.random.default_rng(5).random((50, len(CONTRACT.model_features))).astype(np.float32)
    worked_out = reasons.explain(load_served(registry, model).predictor, matrix)
    tried = Trials(tmp_path / FOLDER).of(model)
    monkeypatch.setattr(reasons, "plain_trees", None)  # whoever works tables out fails
    served = load_served(registry, model, tried=tried)
    assert served.explained
    assert np.array_equal(reasons.explain(served.predictor, matrix).contributions, worked_out.contributions)


def test_tables_that_were_altered_are_worked_out_again(registry: Path, tmp_path: Path) -> None:
    (model,) = champions(registry)
    tried = Trials(tmp_path / FOLDER).of(model)
    assert tried.tables is not None
    content = bytearray(tried.tables.read_bytes())
    content[-1000] ^= 1
    tried.tables.write_bytes(content)
    matrix = np.random.default_rng(5).random((5, len(CONTRACT.model_features))).astype(np.float32)
    plain = reasons.explain(load_served(registry, model).predictor, matrix)
    served = load_served(registry, model, tried=tried)
    assert served.explained
    assert np.array_equal(reasons.explain(served.predictor, matrix).contributions, plain.contributions)
    tried.tables.unlink()
    assert load_served(registry, model, tried=tried).explained


def test_where_nothing_can_be_written_a_version_is_tried_all_the_same(registry: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (model,) = champions(registry)
    counting = Counting()
    trials = Trials(tmp_path / "file" / FOLDER, trying=counting)
    trials.ahead([model])
    assert trials.of(model).tables is None
    assert load_served(registry, model, tried=trials.of(model)).explained
    assert sum(counting.asked) == 3


def test_what_is_refused_at_the_start_is_left_out_and_told(
    registry: Path, tmp_path: Path, settings: Settings, make_client: MakeClient
) -> None:
    matrix = np.zeros((64, len(CONTRACT.model_features)), dtype=np.float32)
    register(registry, "value", 1, churn_model(matrix, trees=1, depth=1), alias="champion")  # of a kind that is no value model
    watch = ModelWatch(registry, trials=Trials(tmp_path / FOLDER))
    assert set(watch.champions.served) == {"churn"}
    assert set(watch.lineup.refused) == {"value@1"}
    spoil(champions(registry)[0])
    again = ModelWatch(registry, trials=Trials(tmp_path / "elsewhere"))
    assert "altered" in again.lineup.refused["churn@1"]
    client = make_client(mlruns_dir=registry, data_dir=tmp_path / "new", trials=Trials(tmp_path / "new" / FOLDER))
    ready = client.get("/health/ready", headers=[])
    assert ready.status == 503
    assert ready.json()["refused"] == ["churn@1", "value@1"]


def test_a_file_altered_after_its_trial_is_refused_when_it_is_loaded(registry: Path, tmp_path: Path) -> None:
    Trials(tmp_path / FOLDER).ahead(champions(registry))
    spoil(champions(registry)[0])
    watch = ModelWatch(registry, trials=Trials(tmp_path / FOLDER))
    assert "altered" in watch.lineup.refused["churn@1"]


def test_the_program_tries_the_champions(registry: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, mlruns_dir=registry)
    environment = os.environ | settings.to_env()
    subprocess.run([sys.executable, "-m", "serving.trials"], env=environment, check=True, timeout=60)
    trials = Trials(tmp_path / FOLDER, trying=lambda bundles: pytest.fail("it was not tried ahead"))
    assert trials.of(champions(registry)[0]).digest


def test_tables_are_kept_under_the_code_that_makes_them() -> None:
    """A change of any file that tables come from gives them another name, so that no worker reads those of before."""
    folder = Path(reasons.__file__).parent
    imported = {
        name for file in CODE for name in re.findall(r"from training\.predictors\.(\w+) import", (folder / file).read_text())
    }
    beside = {"churn", "tier", "trees", "reason_sentences", "reason_tellers"}
    assert {f"{name}.py" for name in imported - beside} <= set(CODE)
