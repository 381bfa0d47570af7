"""Validates requests and answers by OpenAI's published description of its API."""

import functools
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft202012Validator

from tests.endpoint.handler import Exchange

_DESCRIPTION = Path(__file__).with_name("openai.json")
_ROUTES = {"/files", "/uploads", "/fine_tuning"}


@functools.cache
def _description() -> dict[str, Any]:
    description: dict[str, Any] = orjson.loads(_DESCRIPTION.read_bytes())
    return description


def check(exchange: Exchange) -> None:
    """Raise if a request or a successful answer differs from the description.

    The models routes are not part of the description.
    """
    method, path = exchange.route.split(" ")
    if not any(path.startswith(route) for route in _ROUTES):
        return
    operation = _description()["paths"][path][method.lower()]
    parameters = {
        parameter["name"]: parameter["schema"]
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    }
    for name, value in exchange.query.items():
        schema = parameters[name]
        validate(int(value) if schema["type"] == "integer" else value, schema)
    if exchange.body is not None:
        [(kind, content)] = operation["requestBody"]["content"].items()
        body = exchange.body
        if kind == "multipart/form-data":
            body = {
                name: value.decode("latin-1") if isinstance(value, bytes) else value
                for name, value in body.items()
                if not name.endswith("_bytes")
            }
            body.pop("data_name", None)
        validate(body, content["schema"])
    if exchange.status == 200:
        answer = operation["responses"]["200"]["content"]["application/json"]
        validate(exchange.answer, answer["schema"])


def validate(value: object, schema: dict[str, Any]) -> None:
    components = _description()["components"]
    Draft202012Validator({**schema, "components": components}).validate(value)
