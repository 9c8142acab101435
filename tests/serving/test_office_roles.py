"""Who may ask what of members, audiences, jobs and models; pages of other origins may ask nothing; and a desk that is full."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.erasures import Erasures
from serving.auth import Guard
from serving.desk import Desk
from serving.keys import hashed
from serving.problems import ApiError
from tests.serving.asgi import Answer, problem_of
from tests.serving.small_shop import SmallShop, id_of, open_shop

KEYS = {role: f"key-of-{role}" for role in ("engine", "analyst", "operator")}
ASKED = {
    "member": ("GET", f"/v1/members/{id_of(3)}", b""),
    "audience": ("POST", "/v1/audience", b'{"expression": "tier=gold"}'),
    "job": ("POST", "/v1/jobs", b'{"members": {"ids": ["1"]}}'),
    "jobs": ("GET", "/v1/jobs", b""),
    "upload": ("POST", "/v1/jobs/uploads", b'{"1"'),
    "models": ("GET", "/v1/models", b""),
    "erase": ("DELETE", f"/v1/members/{id_of(4)}", b""),
}
ALLOWED = {
    "engine": set[str](),
    "analyst": {"member", "audience", "job", "jobs", "upload", "models"},
    "operator": set(ASKED),
}


@pytest.fixture(scope="module")
def shop(store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallShop]:
    opened = open_shop(store_url, "test-office-roles", tmp_path_factory.mktemp("data"))
    ring = [hashed(role, key) for role, key in KEYS.items()]  # type: ignore[arg-type] # the names of roles
    opened.client._app = Guard(opened.client.api.app(), keys=ring)
    yield opened
    opened.close()


def ask(shop: SmallShop, what: str, role: str) -> Answer:
    method, path, body = ASKED[what]
    content_type = "text/csv" if what == "upload" else "application/json"
    bodies = (body,) if body else ()
    return shop.client.send(method, path, *bodies, headers=[("X-Api-Key", KEYS[role])], content_type=content_type)


@pytest.mark.parametrize("role", KEYS)
@pytest.mark.parametrize("what", ASKED)
def test_a_role_may_ask_what_it_says_and_no_more(
    shop: SmallShop, role: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = ask(shop, what, role)
    if what in ALLOWED[role]:
        assert answer.status in {200, 201, 202}, answer.body
    else:
        problem_of(answer, 403, "role_missing")
        assert "role_missing" in caplog.text, "a refusal for want of a role is written down"
    assert KEYS[role] not in caplog.text
    assert id_of(3) not in caplog.text


def test_who_may_begin_jobs_may_cancel_them(shop: SmallShop) -> None:
    for role, status, code in (
        ("engine", 403, "role_missing"),
        ("analyst", 404, "unknown_job"),
        ("operator", 404, "unknown_job"),
    ):
        answer = shop.client.send("DELETE", f"/v1/jobs/{'0' * 32}", headers=[("X-Api-Key", KEYS[role])])
        problem_of(answer, status, code)


def test_an_erasure_says_by_whose_key_without_telling_it(shop: SmallShop, tmp_path: Path) -> None:
    assert ask(shop, "erase", "operator").status == 202
    audit = (shop.settings.data_dir / "erasures" / "audit.jsonl").read_text()
    assert {len(json.loads(line)["by"]) for line in audit.splitlines()} == {8}
    assert KEYS["operator"] not in audit
    assert id_of(4) not in audit
    assert [owed.member_id for owed in Erasures(shop.settings.data_dir).owed()] == [id_of(4)]


@pytest.mark.parametrize("path", ["/v1/audience", f"/v1/members/{id_of(3)}", "/v1/jobs", "/docs"])
def test_pages_of_other_origins_are_given_nothing(shop: SmallShop, path: str) -> None:
    for method in ("OPTIONS", "GET", "POST"):
        headers = [
            ("X-Api-Key", KEYS["operator"]),
            ("Origin", "https://elsewhere"),
            ("Access-Control-Request-Method", "DELETE"),
        ]
        answer = shop.client.send(method, path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_desk_works_on_a_few_at_a_time_and_refuses_more_than_may_wait() -> None:
    async def crowd() -> list[str | BaseException]:
        desk = Desk(threads=1, waiting=2)
        return await asyncio.gather(*(desk.run(lambda n=n: str(n)) for n in range(5)), return_exceptions=True)

    answers = asyncio.run(crowd())
    assert answers[:3] == ["0", "1", "2"]
    assert [error.code for error in answers[3:] if isinstance(error, ApiError)] == ["overloaded", "overloaded"]


def test_a_desk_is_free_again_after_work_that_failed() -> None:
    async def twice() -> str:
        desk = Desk(threads=1, waiting=0)
        with pytest.raises(ZeroDivisionError):
            await desk.run(lambda: str(1 // 0))
        return await desk.run(lambda: "done")

    assert asyncio.run(twice()) == "done"
