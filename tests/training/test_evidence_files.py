"""Evidence on disk: what is read is what was written, to the bit; damaged files are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.errors import BundleRefused
from tests.training.registered import answered, same
from training.evidence import Evidence
from training.evidence_files import evidence_bytes, read_evidence


def whole() -> Evidence:
    evidence = answered(0.3, seed=1, parameters={"trees": np.int64(7), "edges": np.array([0.1, 0.2])})
    first = evidence.judged[0]
    ends = replace(first, low=first.answer - 0.1, high=first.answer + 0.1, notes={"trees": 7})
    return replace(evidence, judged=(ends, *evidence.judged[1:]))


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    evidence, path = whole(), tmp_path / "evidence.npz"
    path.write_bytes(evidence_bytes(evidence))

    read = read_evidence(path)

    assert (read.model, read.engine, read.definition) == (evidence.model, evidence.engine, evidence.definition)
    assert read.parameters == {"trees": 7, "edges": [0.1, 0.2]}
    for mine, theirs in zip(evidence.judged, read.judged, strict=True):
        assert mine.period == theirs.period
        assert mine.notes == theirs.notes
        for name in ("member_ids", "truth", "answer", "low", "high"):
            assert np.array_equal(getattr(mine, name), getattr(theirs, name))
        assert same(mine.others, theirs.others)
        assert same(mine.slices, theirs.slices)


def test_further_questions_are_kept_beside(tmp_path: Path) -> None:
    other = answered(0.6, seed=4, definition={"question": "novel"})
    evidence, path = replace(whole(), further=(other, answered(0.9, seed=5))), tmp_path / "evidence.npz"
    path.write_bytes(evidence_bytes(evidence))

    read = read_evidence(path)

    assert len(read.further) == 2
    assert read.further[0].definition == {"question": "novel"}
    for mine, theirs in zip((evidence, *evidence.further), (read, *read.further), strict=True):
        assert len(mine.judged) == len(theirs.judged)
        assert all(np.array_equal(one.answer, two.answer) for one, two in zip(mine.judged, theirs.judged, strict=True))


def test_equal_evidence_gives_equal_bytes() -> None:
    assert evidence_bytes(whole()) == evidence_bytes(whole())
    assert evidence_bytes(whole()) != evidence_bytes(answered(0.3, seed=2))


@pytest.mark.parametrize("keep", [0, 10, 200, -100])
def test_a_damaged_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "evidence.npz"
    path.write_bytes(evidence_bytes(whole())[:keep])

    with pytest.raises(BundleRefused, match=r"evidence\.npz cannot be read"):
        read_evidence(path)


def test_nothing_pickled_is_written() -> None:
    with pytest.raises(TypeError, match="cannot keep a set"):
        evidence_bytes(replace(whole(), parameters={"odd": {1, 2}}))
