"""The OpenAPI document: sound in itself, true to what the app does, and its examples work as they stand."""

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from pydantic import BaseModel

from serving.list_schemas import (
    CashierRequest,
    CashierResponse,
    RecommendRequest,
    RecommendResponse,
    SimilarRequest,
    SimilarResponse,
)
from serving.openapi import as_json, document
from serving.openapi_office import ONLY_HERE
from serving.problems import CODES
from serving.schemas import (
    ID_PATTERN,
    MAX_K,
    MAX_MEMBERS,
    REASON_MEANING,
    STATUS_MEANING,
    Problem,
)
from serving.score_schemas import ScoreRequest, ScoreResponse
from tests.serving.asgi import Client

ROUTES = {
    "/v1/score": (ScoreRequest, ScoreResponse),
    "/v1/recommend": (RecommendRequest, RecommendResponse),
    "/v1/similar": (SimilarRequest, SimilarResponse),
    "/v1/cashier": (CashierRequest, CashierResponse),
}
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """The document as a client gets it."""
    loaded: dict[str, Any] = json.loads(as_json())
    return loaded


def operations(page: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation."""
    for path, item in page["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def references(node: Any) -> Iterator[str]:
    """Every $ref below a node."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolved(page: dict[str, Any], reference: str) -> Any:
    """What a local reference points to; KeyError if nothing."""
    node: Any = page
    assert reference.startswith("#/"), reference
    for part in reference.removeprefix("#/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def test_the_document_is_served_as_it_is_made(client: Client, page: dict[str, Any]) -> None:
    answer = client.get("/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == page == document()


def test_it_has_the_parts_that_openapi_3_1_requires(page: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", page["openapi"])
    assert page["info"]["title"]
    assert page["info"]["version"] == version("rapport")
    assert set(page) <= {
        "openapi",
        "info",
        "servers",
        "paths",
        "components",
        "security",
        "tags",
        "webhooks",
        "jsonSchemaDialect",
    }
    assert all(path.startswith("/") for path in page["paths"])
    for path, method, operation in operations(page):
        assert method in METHODS, path
        assert operation["operationId"]
        assert operation["summary"]
        assert operation["responses"], path
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert response["description"]
            assert all("schema" in content for content in response["content"].values())
    names = [operation["operationId"] for _, _, operation in operations(page)]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere_and_every_schema_is_used(page: dict[str, Any]) -> None:
    found = set(references(page))
    assert found
    for reference in found:
        assert isinstance(resolved(page, reference), dict)
    assert {f"#/components/schemas/{name}" for name in page["components"]["schemas"]} == found


def test_every_security_requirement_names_a_scheme(page: dict[str, Any]) -> None:
    schemes = page["components"]["securitySchemes"]
    assert {name for requirement in page["security"] for name in requirement} == set(schemes)
    for path, _, operation in operations(page):
        assert (operation.get("security") == []) == path.startswith("/health/")


def test_every_operation_listed_is_answered_and_nothing_else_is_under_v1(client: Client, page: dict[str, Any]) -> None:
    for path, method, _ in operations(page):
        assert client.send(method.upper(), path, b"{}").json().get("code") not in {"not_found", "method_not_allowed"}
    routes = {
        route.path.replace(":path}", "}") for route in client.api.app().routes if route.path.startswith(("/v1", "/health"))
    }
    assert routes == set(page["paths"])


def examples() -> Iterator[tuple[str, type[BaseModel], Any]]:
    """Path, schema of the answer, and example of the request."""
    page = document()
    for path, (request, response) in ROUTES.items():
        for example in page["components"]["schemas"][request.__name__]["examples"]:
            yield path, response, example


@pytest.mark.parametrize(("path", "response", "example"), list(examples()))
def test_each_example_is_answered_as_documented(
    client: Client, path: str, response: type[BaseModel], example: dict[str, Any]
) -> None:
    answer = client.post(path, example)
    assert answer.status == 200, answer.body
    parsed = response.model_validate_json(answer.body)
    if "member_ids" in example:
        assert [row["member_id"] for row in parsed.model_dump()["rows"]] == example["member_ids"]


def test_every_request_has_an_example(page: dict[str, Any]) -> None:
    assert {path for path, _, _ in examples()} == set(ROUTES)


def test_the_example_of_a_problem_is_one_of_ours(page: dict[str, Any]) -> None:
    for example in page["components"]["schemas"]["Problem"]["examples"]:
        assert Problem.model_validate(example).model_dump() == example
        assert CODES[example["code"]][0] == example["status"]


def test_every_problem_code_is_documented(page: dict[str, Any]) -> None:
    for code, (status, meaning) in CODES.items():
        assert f"| `{code}` | {meaning} |" in page["info"]["description"]
        if status in {404, 405} or code in ONLY_HERE:
            continue  # no operation of ours answers these: they are for other paths and methods
        for path in ROUTES:
            response = page["paths"][path]["post"]["responses"][str(status)]
            assert f"`{code}`" in response["description"]
            assert response["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_status_and_reason_is_documented(page: dict[str, Any]) -> None:
    row = page["components"]["schemas"]["ScoreRow"]["properties"]
    assert set(row["status"]["enum"]) == set(STATUS_MEANING)
    assert set(row["reason"]["anyOf"][0]["enum"]) == set(REASON_MEANING)
    for name in (*STATUS_MEANING, *REASON_MEANING):
        assert f"`{name}`" in page["info"]["description"]


def test_every_field_says_what_it_means(page: dict[str, Any]) -> None:
    for name, schema in page["components"]["schemas"].items():
        silent = {field for field, found in schema.get("properties", {}).items() if not found.get("description")}
        assert silent == set(), name


def test_who_may_ask_and_what_comes_as_a_header_is_said(client: Client, page: dict[str, Any]) -> None:
    said = {path: item["post"]["description"] for path, item in page["paths"].items() if "post" in item}
    assert said["/v1/cashier"] == "Roles: engine, analyst, operator."
    assert said["/v1/audience"] == "Roles: analyst, operator."
    assert page["paths"]["/v1/members/{member_id}"]["delete"]["description"] == "Roles: operator."
    documented = page["paths"]["/v1/score"]["post"]["responses"]
    assert set(documented["503"]["headers"]) == {"X-Request-Id", "Retry-After"}
    answer = client.post("/v1/score", {"member_ids": ["1"]})
    assert {header.lower() for header in documented[str(answer.status)]["headers"]} <= set(answer.headers)


def test_limits_are_in_the_schemas(page: dict[str, Any]) -> None:
    request = page["components"]["schemas"]["RecommendRequest"]
    assert request["additionalProperties"] is False
    assert request["required"] == ["member_ids"]
    assert request["properties"]["k"]["maximum"] == MAX_K
    assert request["properties"]["member_ids"]["maxItems"] == MAX_MEMBERS
    assert request["properties"]["member_ids"]["items"]["pattern"] == ID_PATTERN


def test_the_pattern_of_identifiers_says_the_same_to_other_regular_expressions() -> None:
    pattern = re.compile(ID_PATTERN)  # Python's, as a client might use it; pydantic's own is Rust's
    assert all(pattern.search(text) for text in ("1", "会员一", "a b", "😀"))
    assert not any(pattern.search(text) for text in ("", " ", "\u3000", "a\u200b", "a\x00", "{a}", "\n"))


@pytest.mark.parametrize("path", ROUTES)
def test_every_error_is_a_problem_as_documented(client: Client, page: dict[str, Any], path: str) -> None:
    documented = page["paths"][path]["post"]["responses"]
    answers = [
        client.post(path, {}),
        client.send("POST", path, b"{"),
        client.send("POST", path, b"{}", content_type="text/plain"),
        client.post(path, {"member_ids": ["1"] * 1001}),
        client.post(path, {}, headers=[]),
    ]
    assert [answer.status for answer in answers] == [422, 400, 415, 413, 401]
    for answer in answers:
        assert answer.headers["content-type"] in documented[str(answer.status)]["content"]
        assert Problem.model_validate_json(answer.body).status == answer.status
