"""What holds for some paths only: longer bodies, and ids in the path, which neither log nor metrics may have."""

MIB = 1_048_576
UPLOADS = "/v1/jobs/uploads"
BODY_LIMITS = {UPLOADS: 64 * MIB}
"""Bytes of bodies that may be longer than others, as they are written to disk as they come."""
BODY_SECONDS = {UPLOADS: 120.0}
ROUTES = {"/v1/events": "events", "/v1/audience": "audience", "/v1/models": "models", "/v1/jobs": "jobs", UPLOADS: "jobs"}
TEMPLATES = {"/v1/members/": ("/v1/members/{member_id}", "members"), "/v1/jobs/": ("/v1/jobs/{job_id}", "jobs")}
"""Paths that go on with an id, by how they begin: the template that is logged, and the name that is counted."""


def template_of(path: str) -> str | None:
    """A path as the log may have it; None for one that is not of these."""
    if path in ROUTES:
        return path
    return next((template for start, (template, _) in TEMPLATES.items() if path.startswith(start)), None)


def route_of(path: str) -> str | None:
    """The name under which requests for a path are counted; None for one that is not of these."""
    known = next((name for start, (_, name) in TEMPLATES.items() if path.startswith(start)), None)
    return ROUTES.get(path, known)
