"""Stability: nothing moves where nothing changed, and what moved is counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from training.evaluation.stability import band_migration, bands, index_by_chance, population_stability_index, stability
from training.evidence import Evidence


def test_the_index_of_a_sample_with_itself_is_zero() -> None:
    sample = np.random.default_rng(1).random(500)

    assert population_stability_index(sample, sample) == 0


def test_the_index_by_hand() -> None:
    before, after = np.repeat([0.1, 0.9], [500_000, 500_000]), np.repeat([0.1, 0.9], [250_000, 750_000])

    expected = (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5)

    assert population_stability_index(before, after, groups=2) == pytest.approx(expected, abs=1e-4)


def test_two_samples_of_one_distribution_show_the_index_by_chance() -> None:
    generator = np.random.default_rng(2)
    found = [population_stability_index(generator.random(800), generator.random(1200)) for _ in range(300)]

    assert np.mean(found) == pytest.approx(index_by_chance(800, 1200), rel=0.15)


def test_a_shift_shows_and_an_empty_group_stays_finite() -> None:
    generator = np.random.default_rng(3)
    before = generator.random(800)

    assert population_stability_index(before, before + 0.3) > 0.2
    assert np.isfinite(population_stability_index(before, before + 10))


def test_bands_and_moves_between_them(risk_evidence: Evidence) -> None:
    four = risk_evidence.judged[0].where(np.arange(900) < 4)
    before = bands("risk", replace(four, answer=np.array([0.1, 0.3, 0.6, 0.2])), np.array([]))
    after = bands("risk", replace(four, answer=np.array([0.1, 0.6, 0.6, 0.19])), np.array([]))

    assert before.tolist() == [0, 1, 2, 1]
    assert band_migration(before, after) == 0.5
    assert np.isnan(band_migration(before[:0], after[:0]))


def test_members_are_matched_by_id_and_only_unchanged_ones_count(risk_evidence: Evidence) -> None:
    one = risk_evidence.judged[0]
    turned = one.where(np.arange(len(one))[::-1])
    stages = turned.slices["stage"].copy()
    stages[:100] = "new"
    moved = replace(turned, slices={**turned.slices, "stage": stages})

    found = stability(replace(risk_evidence, judged=(one, moved)))[0]

    assert (found.members, found.unchanged, found.moved, found.psi) == (900, 800, 0.0, 0.0)


def test_tenure_alone_is_no_change(risk_evidence: Evidence) -> None:
    one = risk_evidence.judged[0]
    younger = replace(one, slices={**one.slices, "tenure": np.full(900, "new")})
    older = replace(one, slices={**one.slices, "tenure": np.full(900, "old")})

    assert stability(replace(risk_evidence, judged=(younger, older)))[0].unchanged == 900


@pytest.mark.parametrize("model", ["churn", "tier", "value", "segments"])
def test_every_kind_of_answer_has_an_entry_for_each_step(every_evidence: dict[str, Evidence], model: str) -> None:
    assert len(stability(every_evidence[model])) == 2
