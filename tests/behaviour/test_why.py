"""`rapport why`: a member's reasons as a person and as a program reads them, from the facts and from what was published."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import rapport
from features.build import FeatureRows
from features.contract import CONTRACT
from features.derive import model_columns
from features.errors import ConfigurationError, NothingPublished
from training.predictors import ChurnPredictor, TierPredictor
from training.predictors.counterfactual import one_visit
from training.predictors.reason_codes import CODE_NAMES
from training.predictors.reasons import explain
from training.registry import CHALLENGER, CHAMPION, load, resolve

COLUMNS = model_columns(CONTRACT)


@pytest.fixture
def shop_settings(facts_folder: Path, mlruns: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the slice, its models and the tests' store."""
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(facts_folder.parent))
    monkeypatch.setenv("RAPPORT_MLRUNS_DIR", str(mlruns))
    monkeypatch.setenv("REDIS_URL", store_url)


def told(*words: str) -> dict[str, Any]:
    found = CliRunner().invoke(rapport.app, ["why", *words, "--json"], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    answer: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return answer


def active(rows: FeatureRows) -> np.ndarray:
    return np.flatnonzero(rows.column("days_since_last_purchase") <= 84)


@pytest.mark.usefixtures("shop_settings")
def test_a_program_reads_numbers_that_add_up(rows: FeatureRows, mlruns: Path) -> None:
    row = int(active(rows)[3])
    churn = load(resolve(mlruns, "churn"))
    assert isinstance(churn, ChurnPredictor)

    for words in ([], ["--exact"]):
        answer = told(str(rows.member_ids[row]), "--as-of", "end-of-facts", *words)

        raw = churn.model.predict(rows.matrix[[row]][:, COLUMNS])[0]
        assert answer["base"] + sum(answer["contributions"].values()) == pytest.approx(np.log(raw / (1 - raw)), abs=1e-4)
        assert answer["probability"] == churn.score(rows.matrix[[row]][:, COLUMNS])[0]
        assert set(answer["contributions"]) == set(CODE_NAMES)
        assert [reason["code"] for reason in answer["reasons"]] == sorted(
            answer["contributions"], key=lambda code: -abs(answer["contributions"][code])
        )[:5]
        assert all(set(reason["sentence"]) == {"en", "zh"} for reason in answer["reasons"])


@pytest.mark.usefixtures("shop_settings")
def test_a_marketer_reads_sentences(rows: FeatureRows) -> None:
    member = str(rows.member_ids[active(rows)[3]])
    english = CliRunner().invoke(rapport.app, ["why", member, "--as-of", "end-of-facts"], catch_exceptions=False).output
    chinese = (
        CliRunner()
        .invoke(
            rapport.app,
            ["why", member, "--as-of", "end-of-facts", "--model", "tier", "--language", "zh"],
            catch_exceptions=False,
        )
        .output
    )

    assert "Risk of leaving" in english
    assert "raises it" in english or "lowers it" in english
    assert "rather than" in chinese
    assert "天" in chinese or "消费" in chinese


@pytest.mark.usefixtures("shop_settings")
def test_members_who_have_left_are_said_to_have(rows: FeatureRows) -> None:
    gone = np.flatnonzero(rows.column("days_since_last_purchase") > 84)
    answer = told(str(rows.member_ids[gone[0]]), "--as-of", "end-of-facts")

    assert answer["probability"] is None
    assert answer["reason"] == "not_active"


@pytest.mark.usefixtures("shop_settings")
def test_what_was_published_is_explained_without_the_facts(
    published: str, rows: FeatureRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = str(rows.member_ids[active(rows)[5]])
    from_facts = told(member, "--as-of", "end-of-facts")
    monkeypatch.setenv("RAPPORT_KEY_PREFIX", published)
    monkeypatch.setenv("RAPPORT_DATA_DIR", "/nowhere")

    assert told(member) == from_facts


@pytest.mark.usefixtures("shop_settings")
@pytest.mark.parametrize(("words", "error"), [(["--as-of", "end-of-facts"], ConfigurationError), ([], NothingPublished)])
def test_a_member_of_whom_nothing_is_known_is_refused(
    words: list[str], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPPORT_KEY_PREFIX", "nothing-here")
    with pytest.raises(error) as refused:
        CliRunner().invoke(rapport.app, ["why", "nobody-of-that-name", *words], catch_exceptions=False)

    assert "nobody-of-that-name" not in str(refused.value)


@pytest.mark.parametrize("alias", [CHAMPION, CHALLENGER])
def test_tables_and_library_agree_on_real_members(rows: FeatureRows, mlruns: Path, alias: str) -> None:
    churn = load(resolve(mlruns, "churn", alias))
    assert isinstance(churn, ChurnPredictor)
    matrix = rows.matrix[active(rows)][:, COLUMNS]
    quick, exact = (explain(churn, matrix, exact=exact) for exact in (False, True))

    np.testing.assert_allclose(quick.contributions, exact.contributions, rtol=0, atol=1e-5)
    assert (quick.codes == exact.codes).mean() > 0.98


def test_a_visit_today_lowers_the_mean_risk_and_raises_the_mean_tier(rows: FeatureRows, mlruns: Path) -> None:
    churn, tier = load(resolve(mlruns, "churn")), load(resolve(mlruns, "tier"))
    assert isinstance(churn, ChurnPredictor)
    assert isinstance(tier, TierPredictor)
    records = rows.records[active(rows)]
    leaving = one_visit(churn, CONTRACT, records, day=rows.day, edges=rows.edges)
    heading = one_visit(tier, CONTRACT, records, day=rows.day, edges=rows.edges)

    assert np.nanmean(leaving.after) < np.nanmean(leaving.before)
    higher = np.arange(3)
    assert np.nanmean(heading.after @ higher) > np.nanmean(heading.before @ higher)
