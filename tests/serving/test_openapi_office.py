"""The OpenAPI document about members, audiences, jobs and models: its examples are sent and its errors are met."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from serving.openapi import as_json
from serving.openapi_office import MODELS, ONLY_HERE, paths
from serving.problems import CODES
from serving.schemas_jobs import JobRequest, JobView, UploadReceipt
from serving.schemas_members import AudienceRequest, AudienceResponse, ErasureReceipt, MemberView, ModelsResponse
from tests.serving.asgi import problem_of
from tests.serving.small_shop import SmallShop, id_of, open_shop


@pytest.fixture(scope="module")
def shop(store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallShop]:
    opened = open_shop(store_url, "test-openapi-office", tmp_path_factory.mktemp("data"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(as_json())
    return loaded


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in paths().items():
        for method, operation in item.items():
            yield path, method, operation


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_each_example_is_of_its_schema(model: type[BaseModel]) -> None:
    examples = model.model_config["json_schema_extra"]["examples"]  # type: ignore[index,call-overload] # a dict here
    assert examples
    for example in examples:
        model.model_validate_json(json.dumps(example))


def test_each_request_example_is_answered_as_documented(shop: SmallShop) -> None:
    sent = {"/v1/audience": (AudienceRequest, AudienceResponse, 200), "/v1/jobs": (JobRequest, JobView, 202)}
    for path, (request, response, status) in sent.items():
        for example in request.model_config["json_schema_extra"]["examples"]:  # type: ignore[index,call-overload,union-attr]
            answer = shop.client.post(path, example)
            assert answer.status == status, (example, answer.body)
            response.model_validate_json(answer.body)


def test_answers_without_a_body_to_send_are_as_documented(shop: SmallShop) -> None:
    content = paths()["/v1/jobs/uploads"]["post"]["requestBody"]["content"]["text/csv"]["example"]
    answers: list[tuple[type[BaseModel], int, Any]] = [
        (MemberView, 200, shop.client.get(f"/v1/members/{id_of(2)}")),
        (ErasureReceipt, 202, shop.client.send("DELETE", f"/v1/members/{id_of(2)}")),
        (UploadReceipt, 201, shop.client.send("POST", "/v1/jobs/uploads", content.encode(), content_type="text/csv")),
        (ModelsResponse, 200, shop.client.get("/v1/models")),
    ]
    for model, status, answer in answers:
        assert answer.status == status, answer.body
        model.model_validate_json(answer.body)


def test_every_operation_is_in_the_document_with_its_path_parameters(page: dict[str, Any]) -> None:
    for path, method, operation in operations():
        whole = page["paths"][path][method]
        own = {name: part for name, part in operation.items() if name != "responses"}
        assert {name: whole[name] for name in own} == own
        assert set(whole["responses"]) == set(operation["responses"])
        named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert named == {part.strip("{}") for part in path.split("/") if part.startswith("{")}


def test_codes_of_these_routes_are_named_where_they_are_answered_and_nowhere_else(page: dict[str, Any]) -> None:
    for code, names in ONLY_HERE.items():
        status = str(CODES[code][0])
        for item in page["paths"].values():
            for operation in item.values():
                said = operation["responses"].get(status, {"description": ""})["description"]
                assert (f"`{code}`" in said) == (operation["operationId"] in names), (code, operation["operationId"])


def test_errors_are_answered_with_a_status_that_is_documented(shop: SmallShop) -> None:
    for path, method, operation in operations():
        real = path.replace("{job_id}", "0" * 32).replace("{name}", "scores.csv").replace("{member_id}", "a{b")
        for headers in ([], [("X-Api-Key", "test-key")]):
            answer = shop.client.send(method.upper(), real, b"{", headers=headers)
            if answer.status >= 400:
                problem_of(answer, answer.status, answer.json()["code"])
            assert str(answer.status) in operation["responses"], (path, method)


def test_the_reference_on_disk_is_the_one_served() -> None:
    assert (Path(__file__).parents[2] / "docs" / "openapi.json").read_text() == as_json()
