"""Loading the champions: altered, missing and foreign models are refused; models that are not there are answered around."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from features.contract import CONTRACT_HASH
from features.errors import BundleRefused, ContractMismatch, ModelMissing
from serving.bundle import ModelSet
from serving.list_schemas import RecommendResponse
from serving.score_schemas import ScoreResponse
from tests.serving.conftest import MakeClient
from tests.serving.registries import change_champion, forget, put_in_place
from training.artifacts import write_bundle
from training.predictors.trees import MODEL_FILES
from training.registry import load, resolve


def test_every_champion_is_loaded_from_a_registry_that_has_moved(mlruns_copy: Path) -> None:
    models = ModelSet.load(mlruns_copy)

    assert models.missing == ()
    assert set(models.registered) == {"churn", "tier", "value", "segments", "recommender"}
    assert all(mlruns_copy in model.bundle.parents for model in models.registered.values())
    assert models.churn is not None
    assert models.churn.manifest.contract_hash == CONTRACT_HASH


def flip(path: Path) -> None:
    """Turn one bit over, in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Take the last byte away."""
    path.write_bytes(path.read_bytes()[:-1])


FILES = [
    *[(name, file) for name in ("churn", "tier") for file in ("model.json", "golden.npz", "manifest.json")],
    *[("recommender", file) for file in ("catalogue.npz", "golden.npz", "manifest.json")],
]


@pytest.mark.parametrize(
    "damage", [flip, cut, Path.unlink, lambda path: path.write_bytes(b"")], ids=["flip", "cut", "gone", "empty"]
)
@pytest.mark.parametrize(("name", "file"), FILES)
def test_an_altered_file_is_refused(mlruns_copy: Path, name: str, file: str, damage: Callable[[Path], object]) -> None:
    damage(resolve(mlruns_copy, name).bundle / file)

    with pytest.raises(BundleRefused, match=rf"^{name}@1: ") as refusal:
        ModelSet.load(mlruns_copy)
    assert "rapport train" in refusal.value.remedy


def test_a_file_that_was_added_is_refused(mlruns_copy: Path) -> None:
    (resolve(mlruns_copy, "churn").bundle / "extra.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(BundleRefused, match=r"extra\.pkl"):
        ModelSet.load(mlruns_copy)


def test_a_bundle_hashed_anew_but_not_registered_is_refused(mlruns_copy: Path) -> None:
    churn, tier = resolve(mlruns_copy, "churn").bundle, resolve(mlruns_copy, "tier").bundle
    shutil.rmtree(churn)
    shutil.copytree(tier, churn)
    with pytest.raises(BundleRefused, match="not the one that was registered"):
        ModelSet.load(mlruns_copy)


@pytest.mark.parametrize("name", ["churn", "tier"])
def test_a_model_of_another_contract_is_refused(mlruns_copy: Path, name: str) -> None:
    change_champion(mlruns_copy, name, contract_hash="0" * 64)

    with pytest.raises(ContractMismatch, match=rf"^{name}(@1)? was trained on contract 00000000") as refusal:
        ModelSet.load(mlruns_copy)
    assert CONTRACT_HASH[:8] in str(refusal.value)
    assert refusal.value.remedy


def test_a_champion_saved_again_with_right_hashes_is_accepted(mlruns_copy: Path) -> None:
    change_champion(mlruns_copy, "churn", lineage={"note": "saved again"})
    churn = ModelSet.load(mlruns_copy).churn
    assert churn is not None
    assert churn.manifest.lineage == {"note": "saved again"}


def test_a_model_of_another_kind_under_the_name_is_refused(mlruns_copy: Path) -> None:
    tier = load(resolve(mlruns_copy, "tier"))
    put_in_place(mlruns_copy, "churn", replace(tier, manifest=replace(tier.manifest, name="churn")))
    with pytest.raises(ModelMissing, match="is a tier model"):
        ModelSet.load(mlruns_copy)


@dataclass(frozen=True)
class OtherScores:
    """A predictor that gave other scores when it was made: right files, right hashes."""

    predictor: Any

    def save(self, folder: Path) -> str:
        scores = self.predictor.score(self.predictor.golden) + 0.01
        files = {MODEL_FILES["xgboost"]: self.predictor.model.to_bytes()}
        return write_bundle(folder, self.predictor.manifest, files, {"rows": self.predictor.golden, "scores": scores})


def test_a_model_that_no_longer_gives_its_golden_scores_is_refused(mlruns_copy: Path) -> None:
    put_in_place(mlruns_copy, "churn", OtherScores(load(resolve(mlruns_copy, "churn"))))
    with pytest.raises(BundleRefused, match="golden rows"):
        ModelSet.load(mlruns_copy)


def test_an_unknown_kind_is_refused(mlruns_copy: Path) -> None:
    change_champion(mlruns_copy, "churn", kind="oracle")
    with pytest.raises(BundleRefused, match="kind oracle"):
        ModelSet.load(mlruns_copy)


def test_without_any_model_members_are_answered_in_part(make_client: MakeClient, tmp_path: Path, active_member: str) -> None:
    client = make_client(mlruns_dir=tmp_path / "nothing")
    ready = client.get("/health/ready", headers=[])
    answer = client.post("/v1/score", {"member_ids": [active_member, "nobody"]})
    known, unknown = ScoreResponse.model_validate_json(answer.body).rows

    assert (ready.status, ready.json()["status"]) == (503, "not_ready")
    assert {ready.json()[name] for name in ("churn", "tier", "recommender")} == {"no champion"}
    assert ready.json()["store"] == "ok"
    assert (known.status, known.reason, known.fallback) == ("PARTIAL", "model_missing", "none")
    assert known.churn is known.tier is None
    assert known.lifecycle_stage is not None
    assert unknown.status == "COLD"
    assert answer.json()["passport"]["models"] == {}
    assert not (tmp_path / "nothing").exists()


def test_without_a_recommender_published_lists_are_still_given(make_client: MakeClient, mlruns_copy: Path) -> None:
    forget(mlruns_copy, "recommender")
    answer = make_client(mlruns_dir=mlruns_copy).post("/v1/recommend", {"member_ids": ["1", "nobody"]})
    known, unknown = RecommendResponse.model_validate_json(answer.body).rows

    assert (known.status, len(known.items)) == ("OK", 10)
    assert (unknown.status, unknown.reason, unknown.items) == ("COLD", "no_list", [])
    assert answer.json()["passport"]["models"] == {}


@pytest.mark.parametrize(("gone", "left"), [("churn", "tier"), ("tier", "churn")])
def test_one_missing_model_leaves_the_other(
    make_client: MakeClient, mlruns_copy: Path, active_member: str, gone: str, left: str
) -> None:
    forget(mlruns_copy, gone)
    client = make_client(mlruns_dir=mlruns_copy)
    reply = client.score(active_member)
    (row,) = reply["rows"]

    assert (row["status"], row["reason"]) == ("PARTIAL", "model_missing")
    assert row[gone] is None
    assert row[left] is not None
    assert set(reply["passport"]["models"]) == {left, "value", "segments"}
    ready = client.get("/health/ready", headers=[])
    assert (ready.status, ready.json()[gone], ready.json()[left]) == (200, "no champion", f"{left}@1")


def test_the_right_models_are_named_by_readiness(make_client: MakeClient) -> None:
    ready = make_client().get("/health/ready", headers=[])
    assert ready.status == 200
    assert {name: ready.json()[name] for name in ("churn", "tier", "recommender")} == {
        "churn": "churn@1",
        "tier": "tier@1",
        "recommender": "recommender@1",
    }
