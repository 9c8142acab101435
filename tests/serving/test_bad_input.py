"""Bad input to /v1/score and /v1/recommend: each case has its status and code, and no error repeats what was sent."""

import gzip
from typing import Any

import pytest

from serving.bodies import BODY_LIMIT
from serving.problems import CODES
from tests.serving.asgi import JSON, KEY, Client, problem_of

PHONE = "13812345678"


def scored(ids: str) -> bytes:
    """A body for /v1/score with this as the text of its list."""
    return f'{{"member_ids": {ids}}}'.encode()


def listed(k: str) -> bytes:
    """A body for /v1/recommend with this as the text of k."""
    return f'{{"member_ids": ["1"], "k": {k}}}'.encode()


NUMBERS = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "1e999": "1e999",
    "NaN as text": '"NaN"',
    "a 400-digit integer": "9" * 400,
    "a number as text": '"10"',
    "a boolean": "true",
    "null": "null",
    "a fraction": "1.5",
    "a whole float": "10.0",
    "2^63": str(2**63),
    "2^64": str(2**64),
    "zero": "0",
    "minus one": "-1",
    "a billion": "1000000000",
    "1e9": "1e9",
    "51, one above the limit": "51",
    "a list": "[10]",
    "an object": '{"k": 10}',
}


@pytest.mark.parametrize("k", NUMBERS.values(), ids=NUMBERS)
def test_what_is_no_allowed_k_is_refused(client: Client, k: str) -> None:
    document = problem_of(client.send("POST", "/v1/recommend", listed(k)), 422, "invalid_request")
    assert k in {"NaN", "Infinity", "-Infinity"} or [error["pointer"] for error in document["errors"]] == ["/k"]


@pytest.mark.parametrize("k", [PHONE, f"-{PHONE}", f"{PHONE}.5", f'"{PHONE}"', f"[{PHONE}]", f'{{"{PHONE}": "{PHONE}"}}'])
def test_the_value_refused_is_not_repeated(client: Client, k: str) -> None:
    answer = client.send("POST", "/v1/recommend", listed(k))
    problem_of(answer, 422, "invalid_request")
    assert PHONE not in answer.body.decode()
    assert PHONE not in str(answer.headers)


MEMBER_IDS = {
    "NaN": "[NaN]",
    "1e999": "[1e999]",
    "a number": "[13812345678]",
    "a 400-digit integer": f"[{'9' * 400}]",
    "a boolean": "[true]",
    "null": "[null]",
    "a list": '[["1"]]',
    "an object": '[{"id": "1"}]',
    "one of two": '["1", 2]',
    "text instead of the list": '"13812345678"',
    "an object instead of the list": '{"0": "1"}',
    "null instead of the list": "null",
    "an empty list": "[]",
}


@pytest.mark.parametrize("ids", MEMBER_IDS.values(), ids=MEMBER_IDS)
@pytest.mark.parametrize("path", ["/v1/score", "/v1/recommend"])
def test_what_is_no_list_of_ids_is_refused(client: Client, path: str, ids: str) -> None:
    answer = client.send("POST", path, scored(ids))
    problem_of(answer, 422, "invalid_request")
    assert PHONE not in answer.body.decode()
    assert "9999" not in answer.body.decode()


IDENTIFIERS = {
    "NUL": f"{PHONE}\x00",
    "newline": f"{PHONE}\n",
    "newline in front": f"\n{PHONE}",
    "tab": f"13812\t345678{PHONE}",
    "escape": f"{PHONE}\x1b[31m",
    "delete": f"{PHONE}\x7f",
    "C1 control": f"{PHONE}\x85",
    "zero-width space": f"{PHONE}\u200b",
    "zero-width joiner": f"{PHONE}\u200d",
    "zero-width no-break space": f"\ufeff{PHONE}",
    "word joiner": f"{PHONE}\u2060",
    "Mongolian vowel separator": f"{PHONE}\u180e",
    "right-to-left override": f"{PHONE}\u202e",
    "left-to-right isolate": f"{PHONE}\u2066",
    "line separator": f"{PHONE}\u2028",
    "soft hyphen": f"{PHONE}\u00ad",
    "braces": f"{{{PHONE}}}",
    "empty": "",
    "blank": " ",
    "blanks": "   ",
    "no-break spaces": "\u00a0\u00a0",
    "ideographic space": "\u3000",
    "129 characters": "7" * 129,
    "100,000 characters": "7" * 100_000,
}


@pytest.mark.parametrize("identifier", IDENTIFIERS.values(), ids=IDENTIFIERS)
@pytest.mark.parametrize("place", ["member_ids", "exclude"])
def test_what_is_no_identifier_is_refused(client: Client, place: str, identifier: str) -> None:
    body = {"member_ids": ["1"]} | {place: ["1", identifier]}
    answer = client.post("/v1/recommend", body)
    document = problem_of(answer, 422, "invalid_request")

    assert [error["pointer"] for error in document["errors"]] == [f"/{place}/1"]
    assert PHONE not in answer.body.decode()
    assert "7777" not in answer.body.decode()


@pytest.mark.parametrize(
    "identifier",
    ["会员一", "00123", "NA", "None", "12345678901234567", "a:b*c", "Ünï", "a b", "x" * 128, "会" * 128, "😀", "-1", "'--"],
)
def test_what_is_an_identifier_is_answered(client: Client, identifier: str) -> None:
    scores, lists = client.score(identifier), client.recommend(identifier)
    assert [(row["member_id"], row["status"]) for row in scores["rows"]] == [(identifier, "COLD")]
    assert [(row["member_id"], row["status"]) for row in lists["rows"]] == [(identifier, "COLD")]


FIELDS = {
    "unknown": ({"member_ids": ["1"], "colour": PHONE}, ["/colour"]),
    "misspelt": ({"member_id": ["1"]}, ["/member_ids", "/member_id"]),
    "other case": ({"Member_ids": ["1"]}, ["/member_ids", "/Member_ids"]),
    "of the other route": ({"member_ids": ["1"], "k": 3}, ["/k"]),
    "no field at all": ({}, ["/member_ids"]),
    "a phone number as name": ({"member_ids": ["1"], PHONE: 1}, ["/?"]),
    "a path as name": ({"member_ids": ["1"], "../../etc/passwd": 1}, ["/?"]),
    "an empty name": ({"member_ids": ["1"], "": 1}, ["/?"]),
}


@pytest.mark.parametrize(("content", "pointers"), FIELDS.values(), ids=FIELDS)
def test_unknown_and_missing_fields_are_refused(client: Client, content: Any, pointers: list[str]) -> None:
    answer = client.post("/v1/score", content)
    document = problem_of(answer, 422, "invalid_request")
    assert sorted(error["pointer"] for error in document["errors"]) == sorted(pointers)
    assert PHONE not in answer.body.decode()


MALFORMED = {
    "a name twice": b'{"member_ids": ["13812345678"], "member_ids": ["13812345678"]}',
    "a name twice, deeper": b'{"member_ids": ["1"], "x": {"13812345678": 1, "13812345678": 2}}',
    "truncated": b'{"member_ids": ["13812345678"',
    "truncated within a character": '{"member_ids": ["13812345678会'.encode()[:-1],
    "trailing bytes": b'{"member_ids": ["13812345678"]} 13812345678',
    "two objects": b'{"member_ids": ["13812345678"]}{"member_ids": ["13812345678"]}',
    "trailing comma": b'{"member_ids": ["13812345678",]}',
    "comment": b'{"member_ids": ["13812345678"]} // 13812345678',
    "single quotes": b"{'member_ids': ['13812345678']}",
    "invalid UTF-8": b'{"member_ids": ["13812345678\xff"]}',
    "overlong UTF-8": b'{"member_ids": ["13812345678\xc0\xaf"]}',
    "a surrogate as UTF-8": b'{"member_ids": ["13812345678\xed\xa0\x80"]}',
    "UTF-16": '{"member_ids": ["13812345678"]}'.encode("utf-16"),
    "UTF-16 without mark": '{"member_ids": ["13812345678"]}'.encode("utf-16-le"),
    "UTF-32": '{"member_ids": ["13812345678"]}'.encode("utf-32"),
    "a byte order mark": '{"member_ids": ["13812345678"]}'.encode("utf-8-sig"),
    "a lone surrogate": b'{"member_ids": ["13812345678\\ud800"]}',
    "a lone surrogate as a name": b'{"member_ids": ["13812345678"], "\\udfff": 1}',
    "a raw newline in text": b'{"member_ids": ["13812345678\n"]}',
    "lists 100,000 deep": b'{"member_ids": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects 100,000 deep": b'{"a": ' * 100_000 + b"1" + b"}" * 100_000,
    "lists 100,000 deep, not closed": b"[" * 100_000,
    "empty": b"",
    "blank": b" \n ",
    "null": b"null",
    "true": b"true",
    "a number": b"13812345678",
    "text": b'"13812345678"',
    "an array": b'[{"member_ids": ["13812345678"]}]',
    "an empty array": b"[]",
    "a form": b"member_ids=13812345678",
    "NUL bytes": b"\x00" * 64,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("path", ["/v1/score", "/v1/recommend"])
def test_what_is_no_json_object_is_refused(client: Client, path: str, body: bytes) -> None:
    answer = client.send("POST", path, body)
    problem_of(answer, 400, "malformed_json")
    assert PHONE not in answer.body.decode()
    assert len(answer.body) < 1000


@pytest.mark.parametrize("path", ["/v1/score", "/v1/recommend"])
def test_more_than_a_thousand_members_are_refused(client: Client, path: str) -> None:
    problem_of(client.post(path, {"member_ids": [PHONE] * 1001}), 413, "too_large")
    assert client.post(path, {"member_ids": [PHONE] * 1000}).status == 200


def test_more_than_a_thousand_exclusions_are_refused(client: Client) -> None:
    document = problem_of(
        client.post("/v1/recommend", {"member_ids": ["1"], "exclude": [PHONE] * 1001}), 422, "invalid_request"
    )
    assert document["errors"][0]["pointer"] == "/exclude"
    assert client.post("/v1/recommend", {"member_ids": ["1"], "exclude": [PHONE] * 1000}).status == 200


def padded(size: int) -> bytes:
    """A right body of that many bytes."""
    body = scored('["1"]')
    return body + b" " * (size - len(body))


def test_a_body_may_reach_the_limit_and_not_pass_it(client: Client) -> None:
    assert client.send("POST", "/v1/score", padded(BODY_LIMIT)).status == 200
    problem_of(client.send("POST", "/v1/score", padded(BODY_LIMIT + 1)), 413, "too_large")


def test_a_body_above_the_limit_is_refused_without_being_parsed(client: Client) -> None:
    problem_of(client.send("POST", "/v1/score", b"[" * (BODY_LIMIT + 1)), 413, "too_large")  # else 400


def test_an_announced_length_above_the_limit_is_refused_before_the_body_is_read(client: Client) -> None:
    for length in (str(BODY_LIMIT + 1), "9" * 30, "9" * 5000):
        answer = client.send("POST", "/v1/score", headers=[("X-Api-Key", KEY), ("Content-Length", length)])
        problem_of(answer, 413, "too_large")


@pytest.mark.parametrize("length", ["", "-1", "abc", b"\xb2", "1.5"])
def test_an_announced_length_that_is_no_number_does_no_harm(client: Client, length: str | bytes) -> None:
    headers = [("X-Api-Key", KEY), ("Content-Length", length), ("Content-Type", JSON)]
    assert client.send("POST", "/v1/score", scored('["1"]'), b"", headers=headers, content_type=None).status == 200


@pytest.mark.parametrize("path", ["/v1/score", "/v1/recommend"])
def test_a_body_above_the_limit_is_refused_when_it_comes_in_chunks_without_a_length(client: Client, path: str) -> None:
    chunk = b" " * 100_000
    problem_of(client.send("POST", path, *[chunk] * 12), 413, "too_large")
    assert client.send("POST", path, *[chunk] * 9, scored('["1"]')).status == 200


CONTENT_TYPES = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "json", "", None]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_another_content_type_is_refused(client: Client, content_type: str | None) -> None:
    answer = client.send("POST", "/v1/score", scored('["1"]'), content_type=content_type)
    problem_of(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=x"])
def test_parameters_and_case_of_the_content_type_do_not_matter(client: Client, content_type: str) -> None:
    assert client.send("POST", "/v1/score", scored('["1"]'), content_type=content_type).status == 200


@pytest.mark.parametrize("path", ["/v1/score", "/v1/recommend"])
def test_a_compressed_body_is_refused_as_such(client: Client, path: str) -> None:
    headers = [("X-Api-Key", KEY), ("Content-Encoding", "gzip")]
    answer = client.send("POST", path, gzip.compress(b'{"member_ids": ["1"]}'), headers=headers)
    assert "Content-Encoding" in problem_of(answer, 415, "unsupported_media_type")["detail"]
    plain = [("X-Api-Key", KEY), ("Content-Encoding", "identity")]
    assert client.send("POST", path, b'{"member_ids": ["1"]}', headers=plain).status == 200


@pytest.mark.parametrize("path", ["/v1/score", "/v1/recommend"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_another_method_is_refused(client: Client, path: str, method: str) -> None:
    answer = client.send(method, path)
    problem_of(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_health_is_only_read(client: Client) -> None:
    answer = client.post("/health/live", {})
    problem_of(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


UNKNOWN_PATHS = [
    "/v1",
    "/v1/",
    "/v1/score/",
    "/v1/Score",
    "/v2/score",
    f"/v1/score/{PHONE}",
    f"/{PHONE}",
    "/v1/../v1/score",
    "//v1/score",
    "/static/../serving/api.py",
    "/static/../../../../../../../../etc/passwd",
    "/static/nothing.js",
    "/static/",
    "/docs/",
    "/会员一",
    "/v1/members/1\n",
    "/v1/members/a\nb",
    "*",
]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", path) for path in UNKNOWN_PATHS] + [("POST", path) for path in UNKNOWN_PATHS if "static" not in path],
)
def test_an_unknown_path_is_not_found(client: Client, method: str, path: str) -> None:
    answer = client.send(method, path)
    problem_of(answer, 404, "not_found")
    assert PHONE not in answer.body.decode()


def test_many_mistakes_are_listed_up_to_twenty(client: Client) -> None:
    document = problem_of(client.post("/v1/score", {"member_ids": [PHONE + "\n"] * 1000}), 422, "invalid_request")
    assert len(document["errors"]) == 20
    assert "1000" in document["detail"]


@pytest.mark.parametrize("path", ["/v1/score", "/v1/recommend", "/v1/similar", "/v1/audience", "/v1/jobs"])
def test_far_too_many_fields_are_not_looked_at_one_by_one(client: Client, path: str) -> None:
    document = problem_of(client.post(path, {f"x{number}": 1 for number in range(50_000)}), 422, "invalid_request")
    assert document["errors"] == []
    assert "at most 100 fields" in document["detail"]


def test_the_service_answers_as_before_after_all_of_this(client: Client, active_member: str) -> None:
    before = client.score(active_member)["rows"]
    for body in MALFORMED.values():
        client.send("POST", "/v1/score", body)
    assert client.score(active_member)["rows"] == before


def test_every_code_used_here_is_listed() -> None:
    used = {
        "malformed_json": 400,
        "not_found": 404,
        "method_not_allowed": 405,
        "too_large": 413,
        "unsupported_media_type": 415,
        "invalid_request": 422,
    }
    assert {code: CODES[code][0] for code in used} == used
