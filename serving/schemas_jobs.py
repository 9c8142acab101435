"""The public API of bulk jobs: whom to answer for, how a job stands, and what it left; with examples."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from serving.list_schemas import ListOrder
from serving.schemas import MAX_K, Identifier, Strict
from serving.schemas_members import MAX_EXPRESSION

MAX_IDS = 20_000
JOB_ID = r"^[0-9a-f]{32}$"
Output = Literal["scores", "lists"]


class JobMembers(Strict):
    """Whom a job is for: exactly one of these."""

    ids: list[Identifier] | None = Field(default=None, min_length=1, max_length=MAX_IDS, description="members, one row each")
    file: Annotated[str, Field(pattern=JOB_ID)] | None = Field(
        default=None, description="`file_id` of a file sent to /v1/jobs/uploads; one row for each of its ids, in its order"
    )
    audience: str | None = Field(
        default=None, min_length=1, max_length=MAX_EXPRESSION, description="tags and features in words: docs/audience.md"
    )
    everyone: Literal[True] | None = Field(default=None, description="every member of whom features are published")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of ids, file, audience, everyone")
        return self


class JobRequest(Strict):
    """What to answer, for whom, into which kind of file."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"members": {"ids": ["1", "1001"]}, "outputs": ["scores", "lists"], "k": 5},
                {"members": {"audience": "tier=diamond and not silent_30d"}, "format": "csv"},
            ]
        }
    )

    members: JobMembers
    outputs: list[Output] = Field(default=["scores"], min_length=1, max_length=2, description="one file for each")
    k: int = Field(default=10, ge=1, le=MAX_K, description="longest list wanted")
    format: Literal["csv", "parquet"] = Field(default="csv", description="kind of file; cells of CSV never begin a formula")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.outputs)) < len(self.outputs):
            raise ValueError("each output is named once")
        return self


class JobProgress(Strict):
    """How far a job has come."""

    done: int = Field(description="members answered for")
    members: int | None = Field(description="members to answer for; null until they have been counted")


class JobFile(Strict):
    """One file that a job left. Download it from /v1/jobs/{job_id}/files/{name}."""

    name: str
    rows: int
    bytes: int
    sha256: str = Field(description="of its bytes")


class JobFailure(Strict):
    """Why a job ended without files."""

    code: str
    detail: str


_JOB_ID = "6b1f5a6e0c9d4c7f8a2b3c4d5e6f7081"
_MANIFEST: dict[str, Any] = {
    "job_id": _JOB_ID,
    "status": "done",
    "created_at": "2018-01-01T15:00:00+00:00",
    "moment": "2018-01-01T15:00:02+00:00",
    "progress": {"done": 2, "members": 2},
    "models": {"churn": "churn@1", "tier": "tier@1"},
    "list_order": None,
    "counts": {"OK": 1, "COLD": 1},
    "refused_lines": 0,
    "files": [
        {
            "name": "scores.csv",
            "rows": 2,
            "bytes": 412,
            "sha256": "9b74c9897bac770ffc029102a200c5de3f1a6a2b7a5c1f0a4f6d3e2c1b0a9f8e",
        }
    ],
    "failure": None,
    "expires_at": "2018-01-02T15:00:04+00:00",
}


class JobView(Strict):
    """How a job stands; once it is done, its manifest."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MANIFEST]})

    job_id: str
    status: Literal["waiting", "running", "done", "failed", "cancelled"]
    created_at: str = Field(description="moment it was asked for, ISO 8601 UTC")
    moment: str | None = Field(description="moment its answers are for; null until it has begun")
    progress: JobProgress
    models: dict[str, str] | None = Field(description="the one version of each model that answers for everyone in the job")
    list_order: ListOrder | None = Field(
        default=None, description="what puts the lists of the job in order; null where it has none"
    )
    counts: dict[str, int] | None = Field(description="rows of the first output by status; null until it is done")
    refused_lines: int = Field(description="lines of the file that hold no id")
    files: list[JobFile]
    failure: JobFailure | None
    expires_at: str | None = Field(description="when its files are removed; null until it has ended")


class JobList(Strict):
    """The jobs there are, the newest first; those that ended are kept as long as their files are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": [_MANIFEST], "more": False}]})

    jobs: list[JobView]
    more: bool = Field(description="whether there are older ones that are not listed")


class UploadReceipt(Strict):
    """A file that was received."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"file_id": _JOB_ID, "bytes": 14}]})

    file_id: str = Field(description="for `members.file` of a job within a day; the same bytes have the same id")
    bytes: int
