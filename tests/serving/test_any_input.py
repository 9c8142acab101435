"""Whatever is sent is answered as the OpenAPI document says: bodies made from its schemas, right, nearly right and wrong."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.list_schemas import CashierResponse, RecommendResponse, SimilarResponse
from serving.openapi import document
from serving.problems import CODES
from serving.schemas import Problem
from serving.score_schemas import ScoreResponse
from tests.serving.asgi import Client

PAGE = document()
ROUTES = {
    "/v1/score": ScoreResponse,
    "/v1/recommend": RecommendResponse,
    "/v1/similar": SimilarResponse,
    "/v1/cashier": CashierResponse,
}
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows, and some that it does not."""
    if "$ref" in schema:
        return values(PAGE["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return st.one_of([values(one) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | st.text(max_size=5)
    kind = schema.get("type")
    if kind == "array":
        return st.lists(values(schema["items"]), max_size=5)
    if kind == "integer":
        low, high = schema.get("minimum", 0), schema.get("maximum", 10)
        return st.sampled_from([low - 1, low, high, high + 1, 2**63]) | st.integers(low, high)
    if kind == "string":
        return st.sampled_from(["1", "10", "00123", "会员一", "champion", "challenger", "churn@1", ""]) | st.text(max_size=30)
    return ODD


def bodies(path: str) -> st.SearchStrategy[Any]:
    """Bodies of one route: fields of its schema in any selection, now and then one of another name or an odd value."""
    reference = PAGE["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = PAGE["components"]["schemas"][reference.rpartition("/")[2]]
    needed, fields = schema["required"], schema["properties"]
    optional = {name: values(of) | ODD for name, of in fields.items() if name not in needed}
    right = st.fixed_dictionaries({name: values(fields[name]) for name in needed}, optional=optional)
    return right | st.fixed_dictionaries({}, optional={**optional, **dict.fromkeys(needed, ODD), "colour": ODD}) | ODD


@pytest.mark.slow
@pytest.mark.parametrize("path", ROUTES)
def test_any_body_is_answered_as_documented(client: Client, path: str) -> None:
    documented = set(PAGE["paths"][path]["post"]["responses"])

    @settings(max_examples=600, suppress_health_check=list(HealthCheck))
    @given(bodies(path), st.booleans())
    def holds(body: Any, ascii_only: bool) -> None:
        answer = client.send("POST", path, json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))
        assert answer.status < 500 or answer.json()["code"] == "model_loading"
        assert str(answer.status) in documented
        if answer.status == 200:
            ROUTES[path].model_validate_json(answer.body)
        else:
            assert CODES[Problem.model_validate_json(answer.body).code][0] == answer.status

    holds()
