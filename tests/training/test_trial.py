"""The first load of a bundle happens in a child: what crashes, hangs or lies there is refused here, and that is all."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from features.errors import BundleRefused
from training import trial
from training.artifacts import GOLDEN, read_arrays, read_manifest, write_bundle
from training.predictors import ChurnPredictor, Recommender, TierPredictor
from training.trial import Untried, try_bundle, try_bundles

Predictors = dict[str, ChurnPredictor | TierPredictor | Recommender]


def test_a_right_bundle_is_loaded_and_timed(predictors: Predictors, tmp_path: Path) -> None:
    sha256 = predictors["churn-xgboost"].save(tmp_path / "bundle")

    found = try_bundle(tmp_path / "bundle", sha256=sha256)

    assert found.finite
    assert found.load_s > 0
    assert found.row_us is not None
    assert found.single_us is not None
    assert found.single_us > found.row_us > 0
    assert found.bytes == sum(path.stat().st_size for path in (tmp_path / "bundle").iterdir())


def test_lightgbm_and_lists_load_too(predictors: Predictors, tmp_path: Path) -> None:
    for kind in ("churn-lightgbm", "recommender"):
        found = try_bundle(tmp_path / kind, sha256=predictors[kind].save(tmp_path / kind))
        assert found.finite
        assert (found.row_us is None) is (kind == "recommender")


def test_a_text_that_breaks_its_library_breaks_only_the_child(predictors: Predictors, tmp_path: Path) -> None:
    predictors["churn-lightgbm"].save(tmp_path / "good")
    manifest, golden = read_manifest(tmp_path / "good"), read_arrays(tmp_path / "good" / GOLDEN)
    text = (tmp_path / "good" / "model.txt").read_bytes()
    sha256 = write_bundle(tmp_path / "bad", manifest, {"model.txt": text[: len(text) // 3]}, golden)  # hashes are right

    with pytest.raises(BundleRefused) as caught:
        try_bundle(tmp_path / "bad", sha256=sha256)
    assert caught.value.remedy


def test_other_scores_than_the_golden_ones_are_refused(predictors: Predictors, tmp_path: Path) -> None:
    predictors["tier"].save(tmp_path / "good")
    manifest, golden = read_manifest(tmp_path / "good"), read_arrays(tmp_path / "good" / GOLDEN)
    model = (tmp_path / "good" / "model.json").read_bytes()
    off = {**golden, "scores": golden["scores"] + 1e-3}
    write_bundle(tmp_path / "bad", manifest, {"model.json": model}, off)

    with pytest.raises(BundleRefused, match="golden rows"):
        try_bundle(tmp_path / "bad")
    with pytest.raises(BundleRefused, match="not the one that was registered"):
        try_bundle(tmp_path / "good", sha256="0" * 64)
    with pytest.raises(BundleRefused, match=r"holds no manifest\.json"):
        try_bundle(tmp_path / "nowhere")


def test_scores_that_are_no_numbers_are_told(predictors: Predictors, tmp_path: Path) -> None:
    churn = predictors["churn-xgboost"]
    churn.save(tmp_path / "good")
    manifest, golden = read_manifest(tmp_path / "good"), read_arrays(tmp_path / "good" / GOLDEN)
    manifest.parameters["calibrator"]["slope"] = float("nan")
    nothing = {**golden, "scores": np.full_like(golden["scores"], np.nan)}
    write_bundle(tmp_path / "bad", manifest, {"model.json": (tmp_path / "good" / "model.json").read_bytes()}, nothing)

    assert not try_bundle(tmp_path / "bad").finite


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (f"import os, signal; os.kill(os.getpid(), {int(signal.SIGSEGV)})", r"crashed the process .*SIGSEGV"),
        ("import time; time.sleep(60)", "did not load within 3 s"),
        ("raise MemoryError('no room')", "failed: MemoryError: no room"),
        ("", "failed: no message"),
    ],
)
def test_a_child_that_dies_or_hangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str) -> None:
    ran = subprocess.run

    def run(command: list[str], **options: object) -> object:
        return ran([sys.executable, "-c", code], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(trial.subprocess, "run", run)
    before = set(psutil.Process().children())
    with pytest.raises(BundleRefused, match=said):
        try_bundle(tmp_path, timeout_s=3.0)
    assert set(psutil.Process().children()) <= before  # none is left behind, running or dead


def test_of_several_the_one_that_breaks_the_child_is_refused_and_the_others_are_tried(
    predictors: Predictors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child crashes at the second bundle of three, having told of the first: another child tries the third."""
    for name in ("first", "third"):
        predictors["churn-xgboost"].save(tmp_path / name)
    crash = "import os, signal, pathlib; os.kill(os.getpid(), signal.SIGSEGV)"
    start = f"import sys, training.trial as t; from pathlib import Path; real = t.measure\ndef measure(b):\n    if b.folder.name == 'second': exec({crash!r})\n    return real(b)\nt.measure = measure\ngiven = sys.argv[1:]\nt.main([t.Untried(Path(p)) for p in given[::3]])"  # noqa: E501
    ran = subprocess.run

    def run(command: list[str], **options: object) -> object:
        assert command[1:3] == ["-m", "training.trial"]
        return ran([sys.executable, "-c", start, *command[3:]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(trial.subprocess, "run", run)
    found = try_bundles([Untried(tmp_path / name) for name in ("first", "second", "third")])
    assert [isinstance(each, BundleRefused) for each in found] == [False, True, False]
    assert "SIGSEGV" in str(found[1])
