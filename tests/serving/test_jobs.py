"""Bulk jobs over HTTP with a real child process: killed anywhere they go on, and answer what single requests answer."""

import csv
import hashlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from commands.bulk import format_of, opened
from features.build import FeatureRows
from features.member_store import MemberStore
from features.publish import publish
from features.settings import Settings
from serving.api import Api
from serving.job_folder import Cancelled, JobFolders
from serving.job_members import Everybody
from serving.job_run import JobRun, Means
from serving.job_runner import somebody_runs, try_one
from serving.jobs import job_view
from serving.schemas_jobs import JobList, JobView
from tests.features.test_tag_store import table_of
from tests.front_door import CHILD, ROOT
from tests.serving.asgi import Answer, Client, problem_of
from tests.serving.registries import forget
from tests.serving.small_shop import TAGS

PHONE = "13812345678"
WAIT_S = 120.0


@pytest.fixture(scope="module")
def shop(rows: FeatureRows, store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Published features of the slice and a few tags, without any model: quick to answer from."""
    store = MemberStore(store_url, prefix="test-jobs")
    publish(rows, store)
    store.publish_tags(table_of(12, TAGS), generation="first", contract=rows.contract.hash)
    store.close()
    folder = tmp_path_factory.mktemp("shop")
    return Settings(
        data_dir=folder / "data",
        mlruns_dir=folder / "mlruns",
        redis_url=store_url,
        redis_timeout_ms=2000,
        key_prefix="test-jobs",
        now=rows.as_of,
    )


@pytest.fixture
def here(shop: Settings, tmp_path: Path) -> Iterator[Client]:
    """An app on that shop with a data folder of the test's own."""
    opened = Client(Api(replace(shop, data_dir=tmp_path)))
    yield opened
    opened.close()


def ask(client: Client, content: dict[str, Any], *, key: str | None = None) -> Answer:
    headers = [("X-Api-Key", "test-key"), *([("Idempotency-Key", key)] if key else [])]
    return client.post("/v1/jobs", content, headers=headers)


def look(client: Client, job_id: str) -> JobView:
    answer = client.get(f"/v1/jobs/{job_id}")
    assert answer.status == 200, answer.body
    return JobView.model_validate_json(answer.body)


def ended(client: Client, answer: Answer) -> JobView:
    """The job once it has ended."""
    assert answer.status == 202, answer.body
    job_id = answer.json()["job_id"]
    assert answer.headers["location"] == f"/v1/jobs/{job_id}"
    deadline = time.monotonic() + WAIT_S
    while (view := look(client, job_id)).status in {"waiting", "running"}:
        assert time.monotonic() < deadline, view
        time.sleep(0.1)
    return view


def table(client: Client, view: JobView, name: str) -> list[dict[str, str]]:
    """The rows of a CSV file of a job, after size and hash were found right."""
    answer = client.get(f"/v1/jobs/{view.job_id}/files/{name}")
    assert answer.status == 200
    (file,) = (file for file in view.files if file.name == name)
    assert (len(answer.body), hashlib.sha256(answer.body).hexdigest()) == (file.bytes, file.sha256)
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert len(rows) == file.rows
    return rows


def test_a_job_answers_what_requests_answer_in_the_order_of_its_ids(
    settings: Settings, members: list[str], tmp_path: Path
) -> None:
    client = Client(Api(replace(settings, data_dir=tmp_path)))
    ids = [*members[:40], "nobody", members[3], members[3]]
    try:
        view = ended(client, ask(client, {"members": {"ids": ids}, "outputs": ["scores", "lists"], "k": 3}))
        assert view.status == "done", view.failure
        rows, items = table(client, view, "scores.csv"), table(client, view, "lists.csv")
        online, answer = client.score(*ids)["rows"], client.recommend(*ids, k=3)
        scores_only = ended(client, ask(client, {"members": {"ids": ids[:1]}}))
    finally:
        client.close()
    assert view.progress.done == view.progress.members == len(ids)
    assert view.models is not None
    assert {name: model.partition("@")[0] for name, model in view.models.items()} == {n: n for n in view.models}
    assert [row["member_id"] for row in rows] == ids
    for row, alone in zip(rows, online, strict=True):
        assert (row["status"], row["as_of"] or None) == (alone["status"], alone["as_of"])
        said = alone["churn"]["probability"] if alone["churn"] else None
        assert (float(row["churn_probability"]) if row["churn_probability"] else None) == said, "the very same number"
    assert view.counts == {status: sum(row["status"] == status for row in online) for status in {r["status"] for r in online}}
    expected = [(row["member_id"], item["item_id"]) for row in answer["rows"] for item in row["items"]]
    assert [(row["member_id"], row["item_id"]) for row in items] == expected
    assert view.list_order is not None
    assert view.list_order.model_dump() == answer["passport"]["order"]
    assert scores_only.list_order is None


def test_files_may_be_sent_and_parquet_asked_for(here: Client, rows: FeatureRows) -> None:
    ids = ["=1+1", *rows.member_ids[:5].tolist(), "会员一"]
    content = ("member_id,name\n" + "".join(f"{member},x\n" for member in ids) + "a{b,x\n").encode()
    half = len(content) // 2
    sent = here.send("POST", "/v1/jobs/uploads", content[:half], content[half:], content_type="text/csv")
    assert sent.status == 201, sent.body
    assert sent.json() == {"file_id": hashlib.sha256(content).hexdigest()[:32], "bytes": len(content)}

    view = ended(here, ask(here, {"members": {"file": sent.json()["file_id"]}, "format": "parquet"}))
    assert (view.status, view.refused_lines) == ("done", 1), view.failure
    answer = here.get(f"/v1/jobs/{view.job_id}/files/scores.parquet")
    found = pq.read_table(io.BytesIO(answer.body))
    assert found["member_id"].to_pylist() == ids
    assert found["status"].to_pylist() == ["COLD", *["PARTIAL"] * 5, "COLD"]
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert "attachment" in answer.headers["content-disposition"]


def test_an_audience_and_everyone_may_be_asked_for(here: Client, rows: FeatureRows) -> None:
    few = ask(here, {"members": {"audience": "tier=gold and not silent_30d"}})
    everyone = ask(here, {"members": {"everyone": True}})
    wrong = ask(here, {"members": {"audience": f"tier=gold and {PHONE}"}})

    found = table(here, ended(here, few), "scores.csv")
    assert [row["member_id"] for row in found] == ["m0000000", "m0000002", "m0000003"], "one refused"
    assert {row["member_id"] for row in table(here, ended(here, everyone), "scores.csv")} == set(rows.member_ids.tolist())
    failed = ended(here, wrong)
    assert failed.failure is not None
    assert failed.failure.code == "audience_unreadable"
    assert "at character 15" in failed.failure.detail
    assert PHONE not in failed.model_dump_json()
    problem_of(here.get(f"/v1/jobs/{failed.job_id}/files/scores.csv"), 409, "job_not_done")


def run_once(folder: Path, settings: Settings, event: str, where: str) -> int:
    """A runner that kills itself at a moment, if it gets there."""
    command = [sys.executable, "-c", CHILD, "SIGKILL", event, where, "jobs", "run"]
    environment = {**os.environ, **replace(settings, data_dir=folder).to_env(), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=WAIT_S, check=False).returncode


MOMENTS = [
    ("open", ".members.txt"),
    ("os.rename", "plan.json"),
    ("os.rename", "000000.json"),
    ("open", ".scores-000002"),
    ("open", ".scores.csv"),
]


def test_killed_at_any_moment_a_job_goes_on_with_what_was_done(shop: Settings, rows: FeatureRows, tmp_path: Path) -> None:
    asked = {"members": {"ids": rows.member_ids[:95].tolist()}, "outputs": ["scores"], "k": 10, "format": "csv"}
    one, other = (JobFolders(tmp_path / name) for name in ("killed", "whole"))
    killed, _ = one.create(asked, key="k", at=rows.as_of, part=40)
    whole, _ = other.create(asked, key="k", at=rows.as_of, part=40)
    kept = {}
    for event, where in MOMENTS:
        assert run_once(tmp_path / "killed", shop, event, where) == -signal.SIGKILL, where
        assert not killed.ended
        for counts in killed.parts.glob("*.json"):
            part = killed.parts / f"scores-{counts.stem}.csv"
            assert kept.setdefault(part.name, part.stat().st_mtime_ns) == part.stat().st_mtime_ns, f"{where}: worked out again"
    assert len(kept) == 3
    assert run_once(tmp_path / "killed", shop, "open", "no such file") == 0
    assert run_once(tmp_path / "whole", shop, "open", "no such file") == 0

    assert (killed.folder / "scores.csv").read_bytes() == (whole.folder / "scores.csv").read_bytes()
    assert killed.read("manifest") == whole.read("manifest")
    left = {path.name for path in killed.folder.iterdir()}
    assert left == {"job.json", "members.txt", "plan.json", "attempt.json", "manifest.json", "scores.csv"}


def test_a_job_that_has_begun_keeps_its_versions_whatever_is_promoted(
    settings: Settings, mlruns_copy: Path, members: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    pinned = replace(settings, mlruns_dir=mlruns_copy, data_dir=folder)
    asked = {"members": {"ids": members[:20]}, "outputs": ["scores"], "k": 10, "format": "csv"}
    job, _ = JobFolders(folder).create(asked, key="k", at=settings.clock(), part=10)
    folder.mkdir(exist_ok=True)
    assert run_once(folder, pinned, "open", ".scores-000001") == -signal.SIGKILL
    forget(mlruns_copy, "churn", "tier")
    assert run_once(folder, pinned, "open", "no such file") == 0

    manifest = job.read("manifest")
    assert manifest is not None
    assert manifest["models"].keys() >= {"churn", "tier"}
    with (job.folder / "scores.csv").open(newline="") as file:
        assert all(row["tier"] for row in csv.DictReader(file))


def test_the_child_ends_with_its_server_and_the_next_one_goes_on(shop: Settings, rows: FeatureRows, tmp_path: Path) -> None:
    there = replace(shop, data_dir=tmp_path)
    first = Client(Api(there))
    job_id = ask(first, {"members": {"everyone": True}}).json()["job_id"]
    child = first.api._office._jobs._keeper._child
    assert child is not None
    process = psutil.Process(child.pid)
    first.close()
    assert not process.is_running()

    second = Client(Api(there))
    try:
        while look(second, job_id).status != "done":
            time.sleep(0.1)
        assert not somebody_runs(JobFolders(tmp_path).lock) or second.api._office._jobs._keeper._child is not None
    finally:
        second.close()


def test_jobs_are_listed_and_one_that_has_ended_is_removed(here: Client) -> None:
    first = ended(here, ask(here, {"members": {"ids": ["1"]}}))
    second = ended(here, ask(here, {"members": {"ids": ["2"]}}))
    listed = JobList.model_validate_json(here.get("/v1/jobs").body)
    assert [job.job_id for job in listed.jobs] == [second.job_id, first.job_id] or first.created_at == second.created_at
    assert {job.job_id for job in listed.jobs} == {first.job_id, second.job_id}
    assert not listed.more

    gone = JobView.model_validate_json(here.send("DELETE", f"/v1/jobs/{first.job_id}").body)
    assert (gone.status, gone.files) == ("done", [])
    problem_of(here.get(f"/v1/jobs/{first.job_id}"), 404, "unknown_job")
    problem_of(here.send("DELETE", f"/v1/jobs/{first.job_id}"), 404, "unknown_job")
    assert [job.job_id for job in JobList.model_validate_json(here.get("/v1/jobs").body).jobs] == [second.job_id]


def test_a_job_that_is_cancelled_stops_at_the_next_part_and_nothing_of_whom_it_was_for_stays(
    shop: Settings, rows: FeatureRows, tmp_path: Path
) -> None:
    """The runner is killed within the second part, and goes on after the job has been cancelled."""
    jobs = JobFolders(tmp_path)
    asked = {"members": {"ids": rows.member_ids[:30].tolist()}, "outputs": ["scores"], "k": 10, "format": "csv"}
    begun, _ = jobs.create(asked, key="begun", at=rows.as_of, part=10)
    assert run_once(tmp_path, shop, "open", ".scores-000001") == -signal.SIGKILL
    assert begun.parts_done() == 1
    jobs.cancel(begun)
    means = Means(shop.clock, lambda plan: opened(shop, plan), Everybody(lambda text: [], list), format_of)
    with pytest.raises(Cancelled):
        JobRun(begun, means).run()
    try_one(begun, lambda job: JobRun(job, means).run())  # as a runner that has it in hand
    left = {path.name for path in begun.folder.iterdir()}
    assert left == {"job.json", "plan.json", "attempt.json", "failed.json"}
    assert job_view(begun, kept=timedelta(hours=24))["status"] == "cancelled"
    assert jobs.waiting() == []


def test_a_waiting_job_is_cancelled_over_http(here: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here.api._office._jobs._keeper, "wake", lambda: None)  # nobody works on it
    job_id = ask(here, {"members": {"ids": ["1"]}}).json()["job_id"]
    view = JobView.model_validate_json(here.send("DELETE", f"/v1/jobs/{job_id}").body)
    assert (view.status, view.failure and view.failure.code) == ("cancelled", "cancelled")
    assert look(here, job_id).status == "cancelled"
    problem_of(here.get(f"/v1/jobs/{job_id}/files/scores.csv"), 409, "job_not_done")


def test_a_key_makes_a_request_again_the_same_job_and_another_a_conflict(here: Client) -> None:
    body = {"members": {"ids": ["1"]}}
    first, again = ask(here, body, key="k-1"), ask(here, body, key="k-1")
    assert first.json()["job_id"] == again.json()["job_id"]
    problem_of(ask(here, {"members": {"ids": ["2"]}}, key="k-1"), 409, "idempotency_conflict")
    for key in ("会", " ", "x" * 129):
        headers = [("X-Api-Key", "test-key"), ("Idempotency-Key", key.encode())]
        problem_of(here.post("/v1/jobs", body, headers=headers), 422, "invalid_request")


BAD = [
    {},
    {"members": {}},
    {"members": {"ids": ["1"], "everyone": True}},
    {"members": {"ids": []}},
    {"members": {"ids": [1]}},
    {"members": {"ids": ["a{b"]}},
    {"members": {"everyone": False}},
    {"members": {"file": "../../etc/passwd"}},
    {"members": {"file": "0" * 32}},
    {"members": {"audience": ""}},
    {"members": {"ids": ["1"]}, "outputs": []},
    {"members": {"ids": ["1"]}, "outputs": ["scores", "scores"]},
    {"members": {"ids": ["1"]}, "outputs": ["value"]},
    {"members": {"ids": ["1"]}, "format": "xlsx"},
    {"members": {"ids": ["1"]}, "k": 51},
    {"members": {"ids": ["1"]}, "phone": PHONE},
]


@pytest.mark.parametrize("body", BAD)
def test_a_request_that_is_none_makes_no_job(here: Client, body: dict[str, Any], tmp_path: Path) -> None:
    problem_of(ask(here, body), 422, "invalid_request")
    assert not list((tmp_path / "jobs").glob("[0-9a-f]*")) if (tmp_path / "jobs").exists() else True


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/..", "/v1/jobs/../../etc/passwd", "/v1/jobs/" + "0" * 32, "/v1/jobs/x/files/scores.csv",
        "/v1/jobs/%2e%2e/files/job.json", "/v1/jobs/uploads", f"/v1/jobs/{PHONE}",
    ],
)  # fmt: skip
def test_paths_that_lead_to_no_job_are_not_found(here: Client, path: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = here.get(path)
    assert answer.status == 404
    assert answer.json()["code"] in {"unknown_job", "not_found"}
    assert PHONE not in caplog.text


def test_only_files_of_the_manifest_can_be_fetched(here: Client) -> None:
    view = ended(here, ask(here, {"members": {"ids": ["1"]}}))
    for name in ("job.json", "members.txt", "manifest.json", "..", "scores.parquet", "../../jobs/runner.lock", ".scores.csv"):
        answer = here.get(f"/v1/jobs/{view.job_id}/files/{name}")
        assert answer.status == 404, name
    path, key = f"/v1/jobs/{view.job_id}/files/scores.csv", ("X-Api-Key", "test-key")
    whole = here.get(path).body
    for asked, status, body in (
        ("bytes=10-", 206, whole[10:]),
        ("bytes=0-4", 206, whole[:5]),
        ("bytes=9-4", 200, whole),
        (f"bytes={len(whole)}-", 200, whole),
        ("bytes=-5", 200, whole),
        ("bytes=0-1,3-4", 200, whole),
        ("pages=1-2", 200, whole),
        ("bytes=1" + "0" * 40 + "-", 200, whole),
    ):
        answer = here.get(path, headers=[key, ("Range", asked)])
        assert (answer.status, answer.body) == (status, body), asked


def test_files_that_are_no_text_too_long_or_of_another_type_are_refused(here: Client, tmp_path: Path) -> None:
    def send(*body: bytes, content_type: str = "text/csv") -> Answer:
        return here.send("POST", "/v1/jobs/uploads", *body, content_type=content_type)

    problem_of(send("会".encode("gbk")), 422, "invalid_request")
    problem_of(send(b"1\n\xe4", b"\xbc"), 422, "invalid_request")
    problem_of(send(b"", b""), 422, "invalid_request")
    problem_of(send(b"1\n", content_type="application/json"), 415, "unsupported_media_type")
    problem_of(send(*[b"1234567\n" * 131_072] * 65), 413, "too_large")
    assert not list((tmp_path / "jobs" / "uploads").iterdir()), "nothing of them is kept"
    assert send(*[b"1234567\n" * 131_072] * 2).status == 201, "a file may be longer than other bodies"
    problem_of(here.send("POST", "/v1/jobs", b" " * 1_100_000, b"{}"), 413, "too_large")


def test_too_many_waiting_jobs_are_refused(here: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.jobs.MOST_WAITING", 0)
    answer = ask(here, {"members": {"ids": ["1"]}})
    problem_of(answer, 503, "overloaded")
    assert answer.headers["retry-after"]


def test_no_id_of_a_member_is_in_the_log_of_a_job(
    here: Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        ended(here, ask(here, {"members": {"ids": [PHONE]}}))
        chosen = table(here, ended(here, ask(here, {"members": {"audience": "tier=gold and not silent_30d"}})), "scores.csv")
    told = caplog.text + capfd.readouterr().err
    assert [row["member_id"] for row in chosen] == ["m0000000", "m0000002", "m0000003"]
    assert PHONE not in told
    assert "m000000" not in told
    assert json.loads(next(r.message for r in caplog.records if r.name == "rapport.requests"))["path"] == "/v1/jobs"
