"""Refusals in the document: the one error shape, which statuses and codes an address has."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from accounts.errors import GatewayError
from mssproject.openapi.operation import JSON, Codes, Operation
from mssproject.openapi.shapes import TEXT, Shape, obj, ref, said

# What may be refused at any address, each status once a component.
SHARED: Final[dict[int, Codes]] = {
    400: ("BAD_REQUEST", "BAD_PATH", "INVALID_JSON"),
    401: ("AUTH_REQUIRED", "TOKEN_INVALID", "TOKEN_EXPIRED", "TOKEN_REVOKED"),
    403: ("PERMISSION_DENIED", "CROSS_ORIGIN", "IP_BLOCKED"),
    404: ("NOT_FOUND",),
    413: ("TOO_LARGE",),
    429: ("THROTTLED",),
    502: ("UPSTREAM_UNREACHABLE",),
    504: ("UPSTREAM_TIMEOUT",),
}
SCHEMAS: Final[dict[str, Shape]] = {
    "Error": said(
        "Every refusal. Decide by `code`, show `error`. Some codes bring fields of their own: "
        "`field` names what is at fault, `permission` what the role lacks.",
        obj(
            {"field": TEXT, "permission": TEXT},
            error=said("A sentence for a person, in the language they read.", TEXT),
            code=said("Stable, in capitals.", TEXT),
        ),
    )
}


def meanings(of: type[GatewayError] = GatewayError) -> dict[str, str]:
    """What each code of the error tree says."""
    found = {of.code: of.sentence}
    for kind in of.__subclasses__():
        found |= {code: said for code, said in meanings(kind).items() if code not in found}
    return found


def components() -> dict[str, Any]:
    """The shared responses."""
    return {_name(status): _spelt(status, codes) for status, codes in SHARED.items()}


def responses(operation: Operation, statuses: Mapping[int, Codes]) -> dict[str, Any]:
    """The refusals of an operation: those that it names, and those of its kind of address."""
    return dict(_each(operation, statuses))


def together(answers: dict[str, Any], refused: dict[str, Any]) -> dict[str, Any]:
    """All responses of an operation. A status that is both has either shape."""
    both = {**answers, **refused}
    for status in answers.keys() & refused.keys():
        refusal = _resolved(refused[status])
        both[status] = {
            "description": f"{answers[status]['description']}\n{refusal['description']}",
            "content": {JSON: {"schema": {"anyOf": [_shape(answers[status]), _shape(refusal)]}}},
        }
    return dict(sorted(both.items()))


def _resolved(response: dict[str, Any]) -> dict[str, Any]:
    name = response.get("$ref", "").rpartition("/")[2]
    return dict(components()[name]) if name else response


def _shape(response: dict[str, Any]) -> Any:
    return response["content"][JSON]["schema"]


def _each(operation: Operation, statuses: Mapping[int, Codes]) -> Iterator[tuple[str, Any]]:
    for status in sorted({*statuses, *operation.refused}):
        own = operation.refused.get(status, ())
        codes = tuple(dict.fromkeys((*own, *statuses.get(status, ()))))
        if not own and codes == SHARED.get(status):
            yield str(status), {"$ref": f"#/components/responses/{_name(status)}"}
        else:
            yield str(status), _spelt(status, codes, operation.refusal_fields)


def _spelt(status: int, codes: Codes, fields: Mapping[str, Shape] | None = None) -> dict[str, Any]:
    known = meanings()
    lines = [f"- `{code}`: {known[code]}" if code in known else f"- `{code}`" for code in codes]
    code_is = {"type": "object", "properties": {"code": {"enum": list(codes)}, **(fields or {})}}
    found: dict[str, Any] = {
        "description": "\n".join(lines),
        "content": {JSON: {"schema": {"allOf": [ref("Error"), code_is]}}},
    }
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        found["headers"] = {
            "Retry-After": {"description": "Seconds, where known.", "schema": {"type": "string"}}
        }
    return found


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "")
