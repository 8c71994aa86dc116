"""Whether an answer is as the OpenAPI document says, to the last member."""

import json
from functools import cached_property
from typing import Any

import requests
from jsonschema import Draft202012Validator

from tests.client import Client


class Described:
    """The document that a gateway serves. Unlike a client, it takes a member that is not
    described for a fault: it was forgotten."""

    def __init__(self, client: Client) -> None:
        self._text = client.get("/mss-login/api/schema").text

    @cached_property
    def _document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._text)
        extended = {
            part["$ref"]
            for each in _objects(found)
            for part in each.get("allOf", ())
            if "$ref" in part
        }
        for name, shape in found["components"]["schemas"].items():
            if f"#/components/schemas/{name}" not in extended:
                _close(shape)
        _close(found["paths"])
        return found

    def faults(self, method: str, path: str, answer: requests.Response) -> list[str]:
        """What is wrong with the answer of the operation at this path of the document."""
        responses = self._document["paths"][path][method.lower()]["responses"]
        response = responses.get(str(answer.status_code))
        if response is None:
            return [f"status {answer.status_code} is not described: {answer.text[:200]}"]
        if "$ref" in response:
            response = self._document["components"]["responses"][response["$ref"].split("/")[-1]]
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        content = response.get("content", {})
        if not content:
            return [f"a body is not described: {answer.text[:200]}"] if answer.content else []
        if kind not in content and "*/*" not in content:
            return [f"{kind} is not described"]
        if kind != "application/json":
            return []
        shape = content.get(kind, content.get("*/*"))["schema"]
        root = {"components": self._document["components"], **shape}
        return [
            f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
            for error in Draft202012Validator(root).iter_errors(answer.json())
        ]


def _objects(value: Any) -> list[dict[str, Any]]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [each for child in inner for each in _objects(child)]
    return [value, *found] if isinstance(value, dict) else found


def _close(value: Any) -> None:
    """No members but those named, except in what `allOf` adds to."""
    if isinstance(value, list):
        for each in value:
            _close(each)
        return
    if not isinstance(value, dict):
        return
    if isinstance(value.get("properties"), dict) and value.get("type") == "object":
        value.setdefault("additionalProperties", False)
    for name, child in value.items():
        if name != "allOf":
            _close(child)
