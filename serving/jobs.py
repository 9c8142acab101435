"""Bulk jobs over HTTP: ask, look, fetch, cancel. The work is another process's: job_keeper, job_run."""

import codecs
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from features.settings import Settings
from serving.desk import Desk
from serving.downloads import Download
from serving.job_folder import CANCELLED, Job, JobFolders, KeyUsedBefore, ended_at
from serving.job_keeper import JobKeeper
from serving.job_runner import somebody_runs
from serving.parsing import parse
from serving.problems import ApiError, answer_json
from serving.schemas_jobs import JobRequest

MOST_WAITING = 100
MOST_LISTED = 200
UPLOAD_TYPES = ("text/csv", "text/plain")
FILE_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
_KEY = re.compile(r"[!-~]{1,128}")


class Jobs:
    """The handlers, on one data folder."""

    def __init__(self, settings: Settings, desk: Desk) -> None:
        self._settings, self._desk = settings, desk
        self._jobs = JobFolders(settings.data_dir)
        self._keeper = JobKeeper(settings, self._jobs)

    async def create(self, request: Request) -> Response:
        """POST /v1/jobs. With an Idempotency-Key the same request again is the same job."""
        asked = parse(await request.body(), request.headers.get("content-type", ""), JobRequest)
        if asked.format == "parquet" and find_spec("pyarrow") is None:
            raise _invalid("/format", "this server writes csv only: pyarrow is not installed")
        key = request.headers.get("idempotency-key")
        if key is not None and not _KEY.fullmatch(key):
            raise _invalid("/Idempotency-Key", "a key has 1 to 128 visible ASCII characters")
        return await self._desk.run(lambda: self._create(asked.model_dump(exclude_none=True), key))

    async def upload(self, request: Request) -> Response:
        """POST /v1/jobs/uploads: a file of members, written to disk as it comes."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in UPLOAD_TYPES:
            raise ApiError("unsupported_media_type", "send the header Content-Type: text/csv")
        draft = self._jobs.upload_draft()
        try:
            digest, size = await _received(request.stream(), draft)
            return answer_json({"file_id": self._jobs.keep_upload(draft, digest), "bytes": size}, 201)
        finally:
            draft.unlink(missing_ok=True)

    async def show(self, request: Request) -> Response:
        """GET /v1/jobs/{job_id}."""
        job = self._asked_for(request)
        view = await self._desk.run(lambda: self._looked_at(job))
        return answer_json(view)

    async def show_all(self, request: Request) -> Response:
        """GET /v1/jobs: the newest first."""
        return answer_json(await self._desk.run(self._listed))

    async def cancel(self, request: Request) -> Response:
        """DELETE /v1/jobs/{job_id}: end it, or remove the files of one that has ended."""
        job = self._asked_for(request)
        return answer_json(await self._desk.run(lambda: self._cancelled(job)))

    async def file(self, request: Request) -> Response:
        """GET /v1/jobs/{job_id}/files/{name}: only names of the job's own manifest lead anywhere."""
        job = self._asked_for(request)
        manifest = await run_in_threadpool(lambda: job.read("manifest"))
        if manifest is None:
            raise ApiError("job_not_done", "the job has no files yet; GET /v1/jobs/{job_id} says how it stands")
        name = request.path_params["name"]
        if name not in {file["name"] for file in manifest["files"]}:
            raise ApiError("unknown_job", "the job has no file of that name")
        return Download(
            job.folder / name,
            media_type=FILE_TYPES[name.rpartition(".")[2]],
            filename=f"{job.job_id}-{name}",
            headers={"Cache-Control": "no-store"},
        )

    def close(self) -> None:
        """Let the child process go."""
        self._keeper.close()

    def wake(self) -> None:
        """Go on with jobs that a server before this one left."""
        self._keeper.wake()

    def _create(self, asked: dict[str, Any], key: str | None) -> Response:
        if len(self._jobs.waiting()) >= MOST_WAITING:
            raise ApiError("overloaded", f"{MOST_WAITING} jobs wait already")
        try:
            job, _ = self._jobs.create(asked, key=key, at=self._settings.clock())
        except KeyUsedBefore:
            raise ApiError("idempotency_conflict", "this Idempotency-Key came before with another request") from None
        except FileNotFoundError:
            raise _invalid("/members/file", "no such file was sent, or it was removed after its time") from None
        response = answer_json(self._looked_at(job), 202)
        response.headers["Location"] = f"/v1/jobs/{job.job_id}"
        return response

    def _looked_at(self, job: Job) -> dict[str, Any]:
        if not job.ended:
            self._keeper.wake()
        return self._view(job)

    def _listed(self) -> dict[str, Any]:
        found = [*self._jobs.all()][::-1]
        return {"jobs": [self._view(job) for job in found[:MOST_LISTED]], "more": len(found) > MOST_LISTED}

    def _cancelled(self, job: Job) -> dict[str, Any]:
        ended, view = job.ended, self._view(job)
        self._jobs.cancel(job)
        if ended:
            return {**view, "files": [], "expires_at": datetime.now(UTC).isoformat(timespec="seconds")}
        if not somebody_runs(self._jobs.lock):  # or whoever works on it clears up
            job.clear()
        return self._view(job)

    def _view(self, job: Job) -> dict[str, Any]:
        return job_view(job, kept=timedelta(hours=self._settings.jobs_kept_h))

    def _asked_for(self, request: Request) -> Job:
        job = self._jobs.find(request.path_params["job_id"])
        if job is None:
            raise ApiError("unknown_job", "there is no such job, or it was removed after its time")
        return job


def job_view(job: Job, *, kept: timedelta) -> dict[str, Any]:
    """How a job stands, as `schemas_jobs.JobView`."""
    begun, plan, manifest, failure = job.begin(), job.read("plan"), job.read("manifest"), job.read("failed")
    ended_as = "cancelled" if failure and failure["code"] == CANCELLED else "failed"
    status = "done" if manifest else ended_as if failure else "running" if plan else "waiting"
    members = plan["members"] if plan else None
    done = members if manifest else min(job.parts_done() * begun["part"], members or 0)
    ended = datetime.fromtimestamp(ended_at(job), UTC) if job.ended else None
    return {
        "job_id": job.job_id,
        "status": status,
        "created_at": begun["created_at"],
        "moment": plan["moment"] if plan else None,
        "progress": {"done": done, "members": members},
        "models": plan["models"] if plan else None,
        "list_order": plan.get("list_order") if plan else None,
        "counts": manifest["counts"] if manifest else None,
        "refused_lines": plan["refused_lines"] if plan else 0,
        "files": manifest["files"] if manifest else [],
        "failure": failure,
        "expires_at": (ended + kept).isoformat(timespec="seconds") if ended else None,
    }


async def _received(chunks: AsyncIterator[bytes], draft: Any) -> tuple[str, int]:
    """Write chunks to a file as they come; returns sha256 and size. Text in UTF-8 only: ids are nothing else."""
    digest, size, decoder = hashlib.sha256(), 0, codecs.getincrementaldecoder("utf-8")()
    file = await run_in_threadpool(lambda: draft.open("xb"))
    try:
        async for chunk in chunks:
            decoder.decode(chunk)
            digest.update(chunk)
            size += len(chunk)
            await run_in_threadpool(file.write, chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _invalid("", "the file is no text in UTF-8") from None
    finally:
        file.close()
    if not size:
        raise _invalid("", "the file is empty")
    return digest.hexdigest(), size


def _invalid(pointer: str, text: str) -> ApiError:
    return ApiError("invalid_request", "1 field is not as it should be", errors=[{"pointer": pointer, "problem": text}])
