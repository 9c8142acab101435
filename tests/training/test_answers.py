"""Everyone's answers: the same numbers as the models give, in any blocks; a model that gives no numbers is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.build import FeatureRows
from features.contract import CONTRACT
from features.derive import model_columns
from features.facts import Facts
from features.refresh import refresh
from training.answering import ANSWERING, NotANumber, fixed, reason_texts
from training.answers import Champions, able_to_score, blocks_of, champions, profile_texts, scored
from training.predictors import ChurnPredictor
from training.predictors.reason_codes import CODE_NAMES
from training.predictors.reasons import explain
from training.score_files import ScoreKey, forget_before, kept_days, key_of, path_of, read_scores, write_scores


@pytest.fixture(scope="session")
def models(mlruns: Path) -> Champions:
    return champions(mlruns)


@given(arrays(np.float64, st.integers(1, 50), elements=st.floats(0, 1)))
def test_numbers_as_text_are_as_python_formats_them(values: np.ndarray) -> None:
    values[0] = np.nan

    found = [text.decode() for text in fixed(values).tolist()]

    assert found[0] == ""
    assert [float(text) for text in found[1:]] == pytest.approx(values[1:], abs=5.01e-7)
    assert all(len(text) == 8 for text in found[1:])


def test_lists_are_made_apart(models: Champions) -> None:
    assert [champion.name for champion in models.able] == ["churn", "segments", "tier", "value"]
    assert models.refused == {}
    assert set(ANSWERING) >= {"churn", "tier", "value"}


@pytest.mark.parametrize("block", [1000, 37])
def test_blocks_change_nothing(rows: FeatureRows, models: Champions, block: int) -> None:
    parts = list(scored(blocks_of(rows, block=block), models.able))

    assert np.concatenate([part.member_ids for part in parts]).tolist() == rows.member_ids.tolist()
    matrix = rows.matrix[:, model_columns(rows.contract)]
    for champion in models.able:
        expected = champion.answering.numbers(champion.predictor, rows, matrix)
        for name, values in expected.items():
            found = np.concatenate([part.columns[f"{champion.name}.{name}"] for part in parts])
            assert found.tobytes() == values.tobytes()


def test_the_state_on_disk_gives_the_same_answers(facts: Facts, rows: FeatureRows, models: Champions, tmp_path: Path) -> None:
    state = refresh(facts, tmp_path / "features", day=rows.day).state
    known = state.scalars(facts, CONTRACT)

    (whole,) = scored(blocks_of(rows), models.able)
    parts = list(scored(state.blocks(facts, CONTRACT, known, block=64), models.able))

    assert np.concatenate([part.member_ids for part in parts]).tolist() == whole.member_ids.tolist()
    for name, values in whole.columns.items():
        assert np.concatenate([part.columns[name] for part in parts]).tobytes() == values.tobytes()


def test_scores_are_kept_with_what_made_them(rows: FeatureRows, models: Champions, tmp_path: Path) -> None:
    described = tuple(champion.described for champion in models.able)
    key = ScoreKey(rows.as_of.isoformat(), rows.day, rows.facts_hash, rows.contract.hash, (("gold_score", 10.0),), described)
    (whole,) = scored(blocks_of(rows), models.able)
    path = path_of(tmp_path, rows.day)

    assert key_of(path) is None
    assert write_scores(tmp_path, key, scored(blocks_of(rows, block=100), models.able)) == len(rows.member_ids)
    (read,) = read_scores(path, block=1000)

    assert key_of(path) == key
    assert read.member_ids.tolist() == whole.member_ids.tolist()
    assert {name: values.tobytes() for name, values in read.columns.items()} == {
        name: values.tobytes() for name, values in whole.columns.items()
    }
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert kept_days(tmp_path) == [rows.day]
    assert (forget_before(tmp_path, rows.day), kept_days(tmp_path)) == (0, [rows.day])
    assert (forget_before(tmp_path, rows.day + 1), kept_days(tmp_path)) == (1, [])


def test_reasons_are_those_of_the_explanation(rows: FeatureRows, models: Champions) -> None:
    churn = models.able[0]
    found = explain(churn.predictor, rows.matrix[:, model_columns(rows.contract)])  # type: ignore[arg-type]
    (block,) = scored(blocks_of(rows), models.able)
    told = profile_texts(block, models.able, as_of="now")["churn_reasons"].tolist()

    for row, text in enumerate(told):
        if np.isnan(block.columns["churn.probability"][row]):
            assert text == b""
            continue
        signs = ["+" if found.contributions[row, code] >= 0 else "-" for code in found.codes[row] if code >= 0]
        names = [CODE_NAMES[code] for code in found.codes[row] if code >= 0]
        assert text.decode() == ",".join(sign + name for sign, name in zip(signs, names, strict=True))
    assert b"" in told


def test_three_reasons_fit_into_the_compact_form_of_a_hash() -> None:
    longest = sorted(range(len(CODE_NAMES)), key=lambda code: -len(CODE_NAMES[code]))[:3]
    columns = {f"reason_{place}": np.array([code, -1], dtype=np.int16) for place, code in enumerate(longest, start=1)}
    columns |= {f"reason_{place}_adds": np.array([-0.5, np.nan], dtype=np.float32) for place in (1, 2, 3)}

    text, nothing = reason_texts(columns).tolist()

    assert text.decode() == ",".join("-" + CODE_NAMES[code] for code in longest)
    assert (len(text) <= 64, nothing) == (True, b"")


class Broken:
    """A model that answers NaN for some."""

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(matrix)) % 2, 0.5, np.nan)


def test_a_model_that_gives_no_numbers_is_named_and_the_others_go_on(
    rows: FeatureRows, models: Champions, tmp_path: Path
) -> None:
    churn, _, tier, _ = models.able
    assert isinstance(churn.predictor, ChurnPredictor)
    bad = replace(churn, predictor=replace(churn.predictor, model=Broken()))  # type: ignore[arg-type]

    with pytest.raises(NotANumber, match="150 of 300 answers of churn are no numbers"):
        list(scored(blocks_of(rows), [bad, tier]))
    found = able_to_score(rows, Champions((bad, tier)))

    assert found.able == (tier,)
    assert "no numbers" in found.refused["churn"]
