"""Retraining in steps: what was done stays done, nothing is registered twice, and the outcome says what became of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from features.errors import NotEnoughData
from features.facts import Facts
from training import retraining
from training.datasets import Examples, Snapshots
from training.kept_work import KeptWork
from training.pipeline import Step, needed
from training.registry import CHAMPION, RegisteredModel, registered_models, resolve
from training.requirements import ModelCheck, Requirement
from training.retraining import EXIT_CODES, Purpose, Retraining, cut_off
from training.tracking import open_registry, record
from training.trained import Trained
from training.verdict import Verdict

Fit = Callable[[], Trained]


class Fits:
    """Training that counts, and does what it is told at its n-th fit."""

    def __init__(self, trained: Trained, *, deed: BaseException | None = None) -> None:
        self.trained, self.deed, self.calls = trained, deed, 0

    def __call__(self) -> Trained:
        self.calls += 1
        if self.deed is not None:
            deed, self.deed = self.deed, None
            raise deed
        return self.trained


@pytest.fixture
def trained(predictors, made_up: Examples) -> Trained:
    few = Examples(made_up.member_ids[:5], made_up.days[:5], made_up.matrix[:5], made_up.labels[:5])
    return Trained(
        predictors["churn-xgboost"], {"auc": np.float64(0.8)}, {"recency": {"auc": 0.7}}, {"trees": 3}, {"a.png": b"png"}, few
    )


def let_through(registered: RegisteredModel, trained, mlruns: Path, snapshots, **record) -> Verdict:
    """A gate that lets everything through; what the real one does has its own tests."""
    open_registry(mlruns).set_registered_model_alias(registered.name, CHAMPION, registered.version)
    return Verdict(registered.name, registered.version, "", "let through")


def kept_out(registered: RegisteredModel, trained, mlruns: Path, snapshots, **record) -> Verdict:
    """A gate that lets nothing through."""
    return Verdict(registered.name, registered.version, "", "")


@pytest.fixture
def begin(facts: Facts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Retraining]:
    """A run over steps of the test's own, on a registry of its own."""
    open_registry(tmp_path / "mlruns")
    monkeypatch.setattr(retraining, "snapshot_days", lambda facts, models, churn: [])
    ready = Requirement("data", True, "enough")
    monkeypatch.setattr(retraining, "gate", let_through)
    checks = {"churn": ModelCheck("churn", (ready,), "nothing")}
    monkeypatch.setattr(retraining, "check_steps", lambda facts, every: checks)

    def begin(fits: Fits, *, key: str = "run") -> Retraining:
        monkeypatch.setattr(retraining, "steps", lambda *asked, **how: [Step("churn", "xgboost", fits)])
        purpose = Purpose(("churn",), facts.manifest.until_day, key, code="c")
        work = KeptWork(tmp_path / "retrain" / purpose.key)
        run = Retraining(facts, tmp_path / "mlruns", work, purpose, who="tester", clock=lambda: datetime.now(UTC))
        run.begin()
        return run

    return begin


def test_a_run_registers_and_says_promoted_and_the_same_again_is_kept(begin, trained: Trained, tmp_path: Path) -> None:
    fits = Fits(trained)
    first, second = begin(fits).run(), begin(fits).run()

    assert (first, second, fits.calls) == ("promoted", "kept", 1)
    assert [model.label for model in registered_models(tmp_path / "mlruns")] == ["churn@1"]
    assert (EXIT_CODES[first], EXIT_CODES[second]) == (0, 10)
    (folder,) = (tmp_path / "retrain").iterdir()
    assert [path.name for path in folder.iterdir()] == ["state.json"]
    state = json.loads((folder / "state.json").read_text())
    assert state["judged"][0]["metrics"] == {"auc": 0.8}
    assert [step["name"] for step in state["record"]["steps"]] == [
        "requirements",
        "snapshots",
        "fit churn xgboost",
        "register churn xgboost",
        "gate churn xgboost",
    ]


def test_other_facts_that_give_the_same_model_register_nothing(begin, trained: Trained, tmp_path: Path) -> None:
    assert begin(Fits(trained)).run() == "promoted"
    assert begin(Fits(trained), key="other").run() == "kept"

    assert len(registered_models(tmp_path / "mlruns")) == 1


def test_killed_while_it_fits_it_fits_again(begin, trained: Trained) -> None:
    fits = Fits(trained, deed=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        begin(fits).run()

    assert begin(fits).run() == "promoted"
    assert fits.calls == 2


@pytest.mark.parametrize(("function", "moment"), [("record_run", "before"), ("record_run", "after"), ("gate", "after")])
def test_killed_while_it_registers_it_fits_nothing_again_and_registers_once(
    begin, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, moment: str
) -> None:
    fits = Fits(trained)
    run = begin(fits)
    real = getattr(retraining, function)

    def killed(*arguments, **named):
        if moment == "after":
            real(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(retraining, function, killed)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    monkeypatch.setattr(retraining, function, real)

    again = begin(fits)

    assert again.run() == "promoted"
    assert fits.calls == 1
    assert [step.outcome for step in again.record.steps if step.name.startswith("fit")] == ["reused"]
    assert [model.label for model in registered_models(tmp_path / "mlruns")] == ["churn@1"]
    assert resolve(tmp_path / "mlruns", "churn").label == "churn@1"


def test_what_the_gate_keeps_out_is_kept(begin, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(Fits(trained))
    monkeypatch.setattr(retraining, "gate", kept_out)

    assert (run.run(), run.judged[0].label) == ("kept", "churn@1")


def test_a_single_outcome_is_not_enough_data(begin, trained: Trained, tmp_path: Path) -> None:
    fits = Fits(trained, deed=NotEnoughData("the test window of churn has 40 members and a single outcome"))
    run = begin(fits)

    assert run.run() == "not enough data"
    assert EXIT_CODES[run.became] == 20
    assert "single outcome" in run.judged[0].why
    assert registered_models(tmp_path / "mlruns") == []


def test_what_was_fitted_comes_back_as_it_was(trained: Trained, made_up: Examples, tmp_path: Path) -> None:
    work = KeptWork(tmp_path / "run")
    assert work.fitted("churn", "xgboost") is None
    work.keep_fitted("churn", "xgboost", trained)
    found = work.fitted("churn", "xgboost")
    assert found is not None

    assert (found.metrics, found.baselines, found.parameters) == ({"auc": 0.8}, {"recency": {"auc": 0.7}}, {"trees": 3})
    assert found.plots == {"a.png": b"png"}
    assert found.predictor.score(made_up.matrix).tobytes() == trained.predictor.score(made_up.matrix).tobytes()  # type: ignore[union-attr]
    assert found.examples is not None
    assert trained.examples is not None
    assert found.examples.matrix.tobytes() == trained.examples.matrix.tobytes()
    (tmp_path / "run" / "fitted" / "churn-xgboost" / "bundle" / "model.json").write_text("{}")
    assert work.fitted("churn", "xgboost") is None


def test_snapshots_come_back_as_they_were(facts: Facts, tmp_path: Path) -> None:
    work, day = KeptWork(tmp_path / "run"), facts.manifest.until_day - 30
    first, second = Snapshots(facts), Snapshots(facts)

    assert (work.snapshots(first, [day]), work.snapshots(second, [day])) == ((1, 0), (0, 1))

    assert second.at(day).member_ids.tolist() == first.at(day).member_ids.tolist()
    assert second.at(day).matrix.tobytes() == first.at(day).matrix.tobytes()
    assert (second.at(day).as_of, second.at(day).day) == (first.at(day).as_of, day)


def test_facts_cut_off_end_earlier(facts: Facts) -> None:
    day = facts.manifest.until_day

    assert cut_off(facts, day - 10).manifest.until_day == day - 10
    assert Purpose((), day, "f").key != Purpose((), day - 10, "f").key
    with pytest.raises(NotEnoughData, match="the facts end with"):
        cut_off(facts, day + 1)


def test_a_baseline_is_trained_only_where_nothing_else_serves_or_it_serves_itself(predictors, tmp_path: Path) -> None:
    mlruns, models = tmp_path / "mlruns", {}
    for kind in ("churn-xgboost", "churn-bgnbd"):
        models[kind] = record(mlruns, Trained(predictors[kind], {}, {}, {}))
    step = Step("churn", "bgnbd", lambda: pytest.fail("not to be trained"), in_need=True)
    assert needed(step, mlruns)

    client = open_registry(mlruns)
    client.set_registered_model_alias("churn", CHAMPION, models["churn-xgboost"].version)
    assert not needed(step, mlruns)
    assert needed(replace(step, in_need=False), mlruns)
    client.set_registered_model_alias("churn", CHAMPION, models["churn-bgnbd"].version)
    assert needed(step, mlruns)
