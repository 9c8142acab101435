"""The nightly run, retraining and drift through the front door: killed, twice, at once, with models that cannot answer."""

import fcntl
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from front_door import Answer, content, ended, start
from mapped_shops import HEAD, PURCHASES

import rapport
from commands.nightly import NightlyJob
from features.answers import read_answers
from features.online_store import RedisStore
from features.settings import Settings
from training.registry import resolve
from training.score_files import key_of, path_of, read_scores

MAPPING = HEAD + PURCHASES
SALES = "card,total,at\n" + "".join(f"m{n % 9},{n}.50,2024-05-{1 + n % 28:02d} 10:00\n" for n in range(60))
MEMBERS = [f"m{n}" for n in range(9)]
DAY = (date(2024, 5, 29) - date(1970, 1, 1)).days
NIGHT = ("nightly", "--as-of", "2024-05-29")
Run = Callable[..., Answer]
Outcome = tuple[list[tuple[dict[str, str], dict[str, str] | None]], list[tuple[str, dict[str, bytes]]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The front door, in this process."""

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["rapport", *arguments])
        with pytest.raises(SystemExit) as ended:
            rapport.main()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, *capsys.readouterr())

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the facts of a corner shop."""
    from features.sources.mapped import import_mapped

    folder = tmp_path_factory.mktemp("corner")
    (folder / "shop.toml").write_text(MAPPING)
    (folder / "sales.csv").write_text(SALES)
    import_mapped(folder / "data" / "facts", folder / "shop.toml")
    return folder / "data"


@pytest.fixture
def shop(
    tmp_path: Path,
    imported: Path,
    mlruns: Path,
    store_url: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Path:
    """The corner shop with models, as the environment has it; `data` and `mlruns` are its own."""
    shutil.copytree(imported, tmp_path / "data")
    shutil.copytree(mlruns, tmp_path / "mlruns")
    _point_at(tmp_path, monkeypatch, store_url, prefix=f"test-{request.node.name}")
    return tmp_path


def _point_at(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str, *, prefix: str) -> None:
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("RAPPORT_MLRUNS_DIR", str(folder / "mlruns"))
    monkeypatch.setenv("RAPPORT_REDIS_URL", url)
    monkeypatch.setenv("RAPPORT_KEY_PREFIX", prefix)


def online(url: str, prefix: str) -> list[tuple[dict[str, str], dict[str, str] | None]]:
    """What the store says of each member: profile and packed answers, without the number of the run."""
    store = RedisStore(url, prefix=prefix)
    answers = read_answers(store.read_answer_stamp(), store.read_answers(MEMBERS))
    return [
        (store.read_profile(member), {n: repr(v) for n, v in answer.values.items()} if answer else None)
        for member, answer in zip(MEMBERS, answers, strict=True)
    ]


def scores(folder: Path) -> list[tuple[str, dict[str, bytes]]]:
    blocks = list(read_scores(path_of(folder / "data" / "scores", DAY)))
    return [(",".join(b.member_ids.tolist()), {n: v.tobytes() for n, v in b.columns.items()}) for b in blocks]


@pytest.fixture(scope="module")
def undisturbed(imported: Path, mlruns: Path, store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What a night that nobody disturbs leaves behind: online and on disk."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(imported, folder / "data")
    settings = Settings(data_dir=folder / "data", mlruns_dir=mlruns, redis_url=store_url, key_prefix="undisturbed")
    assert NightlyJob(settings, as_json=True).run("2024-05-29")["exit_code"] == 0
    return online(store_url, "undisturbed"), scores(folder)


@pytest.mark.parametrize(
    ("event", "where"),
    [
        ("os.mkdir", "data/published"),
        ("os.mkdir", "data/scores"),
        ("os.rename", "scores/2024-05-29.parquet"),
        ("open", "nightly/.2024-05-29.json.writing"),
    ],
)
def test_a_night_is_killed_and_run_again(
    shop: Path, run: Run, store_url: str, undisturbed: Outcome, request: pytest.FixtureRequest, event: str, where: str
) -> None:
    assert ended(start(shop, "SIGKILL", event, where, *NIGHT)).code == -signal.SIGKILL
    assert run(*NIGHT).code == 0

    assert (online(store_url, f"test-{request.node.name}"), scores(shop)) == undisturbed
    assert not [path for path in (shop / "data").rglob("*") if "writing" in path.name]


def test_a_second_night_does_nothing_again(shop: Path, run: Run, store_url: str, request: pytest.FixtureRequest) -> None:
    assert run(*NIGHT).code == 0
    before, kept = online(store_url, f"test-{request.node.name}"), content(shop / "data" / "scores")
    report = json.loads(run(*NIGHT, "--json").out)

    outcomes = {step["name"]: step["outcome"] for step in report["steps"]}
    assert (outcomes["score"], outcomes["publish scores"]) == ("reused", "reused")
    assert report["steps"][1]["found"]["written"] == 0
    assert all(step["seconds"] >= 0 and step["peak_mb"] > 0 for step in report["steps"])
    assert online(store_url, f"test-{request.node.name}") == before
    assert content(shop / "data" / "scores") == kept
    assert json.loads((shop / "data" / "nightly" / "2024-05-29.json").read_text())["members"] == 9


def test_a_model_that_cannot_answer_is_left_out_and_said(
    shop: Path, run: Run, store_url: str, request: pytest.FixtureRequest
) -> None:
    (resolve(shop / "mlruns", "churn").bundle / "model.json").write_text("{}")

    answer = run(*NIGHT)

    assert answer.code == 30
    assert "churn answers nobody tonight: churn@1: model.json was altered" in answer.out
    profile, _ = online(store_url, f"test-{request.node.name}")[0]
    assert "churn_model" not in profile
    assert profile["tier_model"] == "tier@1"
    key = key_of(path_of(shop / "data" / "scores", DAY))
    assert key is not None
    assert [model.name for model in key.models] == ["segments", "tier", "value"]


def test_without_models_features_are_published_and_it_says_what_to_do(
    shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPPORT_MLRUNS_DIR", str(shop / "nothing"))

    answer = run(*NIGHT)

    assert (answer.code, "rapport retrain" in answer.out, "nobody was scored" in answer.out) == (0, True, True)


@pytest.mark.parametrize(("job", "lock"), [("nightly", "nightly"), ("nightly", "publish"), ("retrain", "retrain")])
def test_of_two_at_once_the_second_says_so(shop: Path, run: Run, job: str, lock: str) -> None:
    with (shop / "data" / f"{lock}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        answer = run(job)

    assert (answer.code, f"another {lock} is running" in answer.err) == (75, True)


def test_a_night_nobody_named_is_none_that_the_facts_do_not_reach(shop: Path, run: Run) -> None:
    report = json.loads(run("nightly", "--json").out)

    assert report["day"] == "2024-05-29"
    assert "STALE" in report["warnings"][0]["what"]


def test_too_little_data_is_said_and_exits_with_20(shop: Path, run: Run) -> None:
    answer = run("retrain")

    assert answer.code == 20
    assert "churn: not enough data." in answer.out
    assert "Instead:" in answer.out
    assert run("retrain").code == 20


def test_models_nobody_knows_are_refused(shop: Path, run: Run) -> None:
    answer = run("retrain", "--models", "churn,chum")

    assert (answer.code, "no model is named chum" in answer.err) == (2, True)


def test_limits_nobody_knows_are_refused(shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_DRIFT", "psy=0.3")

    answer = run("drift")

    assert (answer.code, "RAPPORT_DRIFT names psy" in answer.err) == (2, True)
