"""The guard: who may come in, what stays open, and that neither log nor answer keeps what a client sent."""

import base64
import json
import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from features.settings import Settings
from serving.api import Api
from serving.auth import Guard
from tests.serving.asgi import JSON, KEY, Answer, Client, assert_guarded, problem_of

PHONE = "13812345678"
PROTECTED = [
    "/",
    "/docs",
    "/docs.js",
    "/openapi.json",
    "/static/swagger-ui.css",
    "/metrics",
    "/schema.json",
    "/nothing",
    "/v1/score",
]
OPEN = ["/health/live", "/health/ready"]
Headers = Sequence[tuple[str, str | bytes]]


def basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def ask(client: Client, headers: Headers) -> Answer:
    """A right request for a score, with these headers for a key."""
    return client.post("/v1/score", {"member_ids": ["1"]}, headers=headers)


ACCEPTED = {
    "Bearer": [("Authorization", f"Bearer {KEY}")],
    "bearer in lower case": [("authorization", f"bearer {KEY}")],
    "Bearer with blanks": [("Authorization", f"Bearer   {KEY} ")],
    "X-Api-Key": [("X-Api-Key", KEY)],
    "Basic": [("Authorization", basic("anybody", KEY))],
    "Basic without user": [("Authorization", basic("", KEY))],
    "the second key": [("Authorization", "Bearer second-key")],
}


@pytest.mark.parametrize("headers", ACCEPTED.values(), ids=ACCEPTED)
def test_a_key_is_accepted(client: Client, headers: Headers) -> None:
    answer = ask(client, headers)
    assert answer.status == 200, answer.body
    assert_guarded(answer, at_once=True)


REFUSED = {
    "nothing": [],
    "empty X-Api-Key": [("X-Api-Key", "")],
    "empty Bearer": [("Authorization", "Bearer ")],
    "Bearer alone": [("Authorization", "Bearer")],
    "a wrong key": [("Authorization", "Bearer wrong")],
    "a beginning of a key": [("X-Api-Key", KEY[:-1])],
    "a key and more": [("X-Api-Key", KEY + "x")],
    "both keys at once": [("X-Api-Key", f"{KEY},second-key")],
    "other case": [("X-Api-Key", KEY.upper())],
    "key without scheme": [("Authorization", KEY)],
    "another scheme": [("Authorization", f"Digest {KEY}")],
    "Basic with the key as user": [("Authorization", basic(KEY, ""))],
    "Basic with a wrong password": [("Authorization", basic("anybody", "wrong"))],
    "Basic without colon": [("Authorization", "Basic " + base64.b64encode(KEY.encode()).decode())],
    "Basic that is no Base64": [("Authorization", f"Basic {KEY}!")],
    "Basic that is not ASCII": [("Authorization", "Basic 会员一")],
    "Basic of invalid UTF-8": [("Authorization", "Basic /////w==")],
    "a Chinese key": [("X-Api-Key", "会员一")],
    "a Chinese Bearer": [("Authorization", "Bearer 会员一")],
    "invalid UTF-8": [("X-Api-Key", b"\xff\xfe")],
    "invalid UTF-8 as Bearer": [("Authorization", b"Bearer \xed\xa0\x80")],
    "a wrong Bearer beside the right X-Api-Key": [("Authorization", "Bearer wrong"), ("X-Api-Key", KEY)],
    "a long key": [("X-Api-Key", "k" * 60_000)],
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_no_known_key_is_refused(client: Client, headers: Headers) -> None:
    answer = ask(client, headers)
    problem_of(answer, 401, "key_missing")
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    for _, value in headers:
        if value and len(value) > 8:
            assert str(value) not in answer.body.decode()


def test_keys_need_not_be_ascii(settings: Settings) -> None:
    key = "schlüssel-à-密钥"
    client = Client(Api(settings))
    client._app = Guard(client.api.app(), keys=(key,))
    try:
        for headers in (
            [("X-Api-Key", key)],
            [("Authorization", f"Bearer {key}")],
            [("Authorization", basic("anybody", key))],
            [("Authorization", f"Bearer {key}à")],
        ):
            right = headers[0][1] != f"Bearer {key}à"
            assert ask(client, headers).status == (200 if right else 401)
    finally:
        client.close()


@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_every_path_but_health_needs_a_key(client: Client, method: str, path: str) -> None:
    answer = client.send(method, path, headers=[])
    assert answer.status == 401
    assert "www-authenticate" in answer.headers
    assert_guarded(answer)


@pytest.mark.parametrize(
    "path", ["/health", "/health/", "/health/live/", "/health/../v1/score", "/Health/live", "/health/livex"]
)
def test_paths_that_look_like_health_are_not_open(client: Client, path: str) -> None:
    assert client.get(path, headers=[]).status == 401


@pytest.mark.parametrize("path", OPEN)
def test_health_is_open(client: Client, path: str) -> None:
    answer = client.get(path, headers=[])
    assert answer.status == 200
    assert_guarded(answer)


def test_pages_open_with_basic_as_a_browser_sends_it(client: Client) -> None:
    headers = [("Authorization", basic("anybody", KEY))]
    home = client.get("/", headers=headers)
    assert (home.status, home.headers["location"]) == (307, "/docs")
    for path, content_type in {
        "/docs": "text/html",
        "/docs.js": "text/javascript",
        "/openapi.json": JSON,
        "/static/swagger-ui-bundle.js": "text/javascript",
        "/static/swagger-ui.css": "text/css",
    }.items():
        answer = client.get(path, headers=headers)
        assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, content_type)
        assert_guarded(answer)


def test_a_request_id_sent_by_the_client_is_not_taken_over(client: Client) -> None:
    answer = ask(client, [("X-Api-Key", KEY), ("X-Request-Id", PHONE)])
    assert PHONE not in answer.headers["x-request-id"]
    assert PHONE not in answer.body.decode()


def test_settings_do_not_show_the_keys(settings: Settings) -> None:
    assert "the-secret-key" not in repr(replace(settings, api_keys=("the-secret-key",)))


def test_one_log_line_a_request_says_what_happened_and_nothing_of_what_was_sent(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    requests = [
        ("POST", "/v1/score", [("X-Api-Key", KEY)], 200, "/v1/score"),
        ("POST", "/v1/recommend", [("X-Api-Key", KEY)], 200, "/v1/recommend"),
        ("POST", "/v1/score", [("X-Api-Key", PHONE)], 401, "/v1/score"),
        ("POST", f"/{PHONE}", [("X-Api-Key", KEY)], 404, "other"),
        ("POST", f"/v1/{PHONE}", [("X-Api-Key", KEY)], 404, "other"),
        ("POST", f"/v1/{PHONE}", [("X-Api-Key", PHONE)], 401, "other"),
        ("POST", f"/v1/{PHONE}", [], 401, "other"),
        ("POST", f"/v1/score/{PHONE}", [], 401, "other"),
        ("GET", "/health/live", [], 200, "/health/live"),
        ("GET", f"/health/{PHONE}", [], 401, "other"),
    ]
    with caplog.at_level(logging.DEBUG):
        answers = [
            client.post(path, {"member_ids": [PHONE]}, headers=headers)
            if method == "POST"
            else client.get(path, headers=headers)
            for method, path, headers, _, _ in requests
        ]
    lines = [json.loads(record.message) for record in caplog.records if record.name == "rapport.requests"]

    assert [(line["method"], line["status"], line["path"]) for line in lines] == [(m, s, p) for m, _, _, s, p in requests]
    assert [line["request_id"] for line in lines] == [answer.headers["x-request-id"] for answer in answers]
    assert all(set(line) == {"request_id", "method", "path", "status", "ms"} for line in lines)
    assert all(line["ms"] >= 0 for line in lines)
    assert PHONE not in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"member_ids": [13812345678]}',
        b'{"13812345678": 1}',
        b'{"member_ids": ["13812345678',
        b" " * 1_100_000 + b"13812345678",
    ],
)
def test_bad_requests_leave_nothing_in_the_log(client: Client, caplog: pytest.LogCaptureFixture, body: bytes) -> None:
    with caplog.at_level(logging.DEBUG):
        assert client.send("POST", "/v1/score", body, b"").status in {400, 413, 422}
    assert caplog.records
    assert PHONE not in caplog.text
