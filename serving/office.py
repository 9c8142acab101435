"""The routes beside the hot path: members, audiences, jobs, models. Each has a module of its own and gets what it needs."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.member_store import MemberStore
from features.settings import Settings
from serving.audiences import Audiences
from serving.bundle import ModelSet
from serving.desk import STORE_TIMEOUT_S, Desk
from serving.jobs import Jobs
from serving.members import Members
from serving.model_list import ModelList

Handler = Callable[[Request], Awaitable[Response]]


class Office:
    """What people and slow programs ask. `models` gives the set in use now."""

    def __init__(self, settings: Settings, models: Callable[[], ModelSet]) -> None:
        desk = Desk()
        store = MemberStore(settings.redis_url, prefix=settings.key_prefix, timeout_s=STORE_TIMEOUT_S)
        self._store = store
        self._members = Members(settings, store, desk)
        self._audiences = Audiences(settings, store, desk)
        self._jobs = Jobs(settings, Desk())
        self._jobs.wake()
        self._models = ModelList(settings.mlruns_dir, lambda: models().registered, lambda: models().missing, desk)

    def routes(self, answering: Callable[[Handler], Handler]) -> list[Route]:
        """The routes; `answering` turns errors into problem documents."""
        members = "/v1/members/{member_id:path}"  # an id may have slashes
        return [
            Route(members, answering(self._members.view), methods=["GET"]),
            Route(members, answering(self._members.erase), methods=["DELETE"]),
            Route("/v1/audience", answering(self._audiences.choose), methods=["POST"]),
            Route("/v1/jobs", answering(self._jobs.create), methods=["POST"]),
            Route("/v1/jobs", answering(self._jobs.show_all), methods=["GET"]),
            Route("/v1/jobs/uploads", answering(self._jobs.upload), methods=["POST"]),
            Route("/v1/jobs/{job_id}", answering(self._jobs.show), methods=["GET"]),
            Route("/v1/jobs/{job_id}", answering(self._jobs.cancel), methods=["DELETE"]),
            Route("/v1/jobs/{job_id}/files/{name}", answering(self._jobs.file), methods=["GET"]),
            Route("/v1/models", answering(self._models.show), methods=["GET"]),
        ]

    def close(self) -> None:
        """Give the connections back."""
        self._store.close()
        self._jobs.close()
