"""Six bad models, trained for real, through the real registry and the real gate: each is refused for its own reason."""

from dataclasses import replace

import numpy as np
import pytest

from features.cut_off import cut_off
from training.churn import ChurnDefinition, churn_label
from training.datasets import Snapshots, examples
from training.gate.contender import Ground
from training.gate.provenance import rebuilt, training_rows
from training.planted import Recipe, recipes, verdicts
from training.registry import RegisteredModel
from training.verdict import Reason, Verdict

Found = dict[str, tuple[Recipe, RegisteredModel, Verdict]]
SIX = ("shuffled labels", "leaking feature", "inverted", "constant", "stale features", "not a number")


@pytest.fixture(scope="module")
def ground(snapshots: Snapshots) -> Ground:
    return Ground(snapshots, churn_label(snapshots.facts, ChurnDefinition()))


@pytest.fixture(scope="module")
def found(snapshots: Snapshots, tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("planted") / "mlruns"
    return {recipe.name: (recipe, registered, verdict) for recipe, registered, verdict in verdicts(snapshots, folder)}


def test_the_honest_model_is_let_through(found: Found) -> None:
    verdict = found["honest"][2]
    assert verdict.promote, verdict.findings
    assert verdict.notes == ()


@pytest.mark.parametrize("name", SIX)
def test_a_bad_model_is_refused_for_its_own_reason(found: Found, name: str) -> None:
    recipe, registered, verdict = found[name]

    assert recipe.reason is not None
    assert verdict.code == recipe.reason.name, verdict.findings
    assert registered.aliases == ()


def test_the_six_reasons_differ(found: Found) -> None:
    assert set(found) == {"honest", *SIX}
    assert len({verdict.code for _, _, verdict in found.values()}) == 7


def test_the_leaking_feature_is_named(found: Found) -> None:
    assert found["leaking feature"][2].sentence.endswith("differ in: purchases_90d.")
    assert found["stale features"][2].sentence.endswith("are those of 28 days before.")


def test_rows_built_again_from_facts_without_a_future_are_the_same(snapshots: Snapshots, ground: Ground) -> None:
    day = snapshots.facts.manifest.until_day - 84
    label = churn_label(snapshots.facts, ChurnDefinition())
    rows = examples(snapshots, [day], label)

    assert training_rows(rows, ground) == []
    members = rows.member_ids[:40].tolist()
    cut = cut_off(snapshots.facts, before=snapshots.facts.midnight(day), member_ids=members)
    assert cut.manifest.until_day <= day
    again = rebuilt(ground, day, members)
    assert again.member_ids.tolist() == sorted(members)


def test_labels_of_other_members_are_found(snapshots: Snapshots, ground: Ground) -> None:
    day = snapshots.facts.manifest.until_day - 84
    rows = examples(snapshots, [day], churn_label(snapshots.facts, ChurnDefinition()))
    shuffled = replace(rows, labels=np.random.default_rng(1).permutation(rows.labels))

    assert [finding.reason for finding in training_rows(shuffled, ground)] == [Reason.LABELS_DISAGREE]


def test_features_of_a_later_day_are_a_leak(snapshots: Snapshots, ground: Ground) -> None:
    day = snapshots.facts.manifest.until_day - 84
    label = churn_label(snapshots.facts, ChurnDefinition())
    later = examples(snapshots, [day], label)
    ahead = snapshots.at(day + 28)
    rows = {member: row for row, member in enumerate(ahead.member_ids.tolist())}
    columns = [ahead.contract.feature_names.index(name) for name in ahead.contract.model_features]
    matrix = ahead.matrix[[rows[member] for member in later.member_ids.tolist()]][:, columns]

    (finding,) = training_rows(replace(later, matrix=matrix), ground)
    assert finding.reason is Reason.LEAKAGE_SUSPECTED


def test_every_recipe_but_one_has_a_reason(snapshots: Snapshots) -> None:
    assert [recipe.reason for recipe in recipes(snapshots.contract.model_features)].count(None) == 1
