"""ComfyUI's routes for the document: the lines of the route table, in the words of `operations`."""

import re
from collections.abc import Iterator
from typing import Any, Final

from comfyproxy.policy import Rule, Spelling
from comfyproxy.routes import DEFAULTS, ROUTES
from mssproject.openapi.inspection import operation_id
from mssproject.openapi.operation import Codes, Operation
from mssproject.openapi.operations import BY_HANDLER, BY_ROUTE, PLAIN, SCHEMAS
from mssproject.openapi.refusals import SCHEMAS as ERROR
from mssproject.openapi.refusals import SHARED, components, responses, together
from mssproject.openapi.security import SCHEMES, requirement

_PARAMETER: Final = re.compile(r"\{\+?(?P<name>\w+)(?::\w+)?(?P<rest>\*)?\}")
_BY_COMFYUI: Final = {
    "default": {
        "description": "As whoever answers there does: ComfyUI, or the custom node that added the "
        "route. The gateway itself refuses as everywhere: 403 `PERMISSION_DENIED`, 404, 405, 502, "
        "504.",
        "content": {"*/*": {"schema": {}}},
    }
}


def completed(
    result: dict[str, Any], generator: Any = None, request: Any = None, public: bool = True
) -> dict[str, Any]:
    """drf-spectacular's POSTPROCESSING_HOOKS: adds what it cannot find in urls.py."""
    paths = {**result["paths"], **_plain_paths(), **_comfyui_paths()}
    found = result["components"]
    schemas = {**found.get("schemas", {}), **ERROR, **SCHEMAS}
    return {
        **result,
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": components(),
            "securitySchemes": SCHEMES,
        },
    }


def described(rule: Rule, method: str) -> Operation:
    """Raises LookupError for a route that nobody described."""
    key = f"{method} {rule.pattern}"
    return BY_ROUTE[key] if key in BY_ROUTE else BY_HANDLER[rule.handler]


def template(rule: Rule) -> str:
    """The route's address as OpenAPI spells it, in the spelling that ComfyUI knows."""
    path = _PARAMETER.sub(lambda found: f"{{{found['name']}}}", rule.pattern)
    return f"/api{path}" if rule.spelling is Spelling.API else path


def _comfyui_paths() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    # OpenAPI knows no checks and no rest of an address: to it, some lines are the same.
    templates: dict[str, str] = {}
    lines: dict[tuple[str, str], list[Rule]] = {}
    for rule in (*ROUTES, *DEFAULTS):
        same = re.sub(r"\{\w+\}", "{}", template(rule))
        path = templates.setdefault(same, template(rule))
        for method in rule.methods.split():
            lines.setdefault((path, method), []).append(rule)
    for (path, method), rules in lines.items():
        paths.setdefault(path, {})[method.lower()] = _comfyui_operation(path, method, rules)
    return paths


def _comfyui_operation(path: str, method: str, rules: list[Rule]) -> dict[str, Any]:
    rule = rules[0]
    what = described(rule, method)
    public = rule.capability is None
    found = _spelt(what, method, path)
    found["security"] = requirement("none" if public else "comfyui")
    parameters = [*_in_path(path, rules), *found.get("parameters", ())]
    if parameters:
        found["parameters"] = parameters
    answers = {str(status): answer.spelt() for status, answer in what.answers.items()}
    if what.is_open:
        refused = {"401": {"$ref": "#/components/responses/Unauthorized"}, **_BY_COMFYUI}
    else:
        refused = responses(what, _statuses(what))
    found["responses"] = together(answers, refused)
    text = "Open to all." if public else f"Needs `{rule.capability}`."
    found["description"] = f"{text} {what.description}".strip()
    found["x-capability"] = None if public else str(rule.capability)
    found["x-lane"] = rule.lane.value
    found["x-routes"] = [_line(each) for each in rules]
    return found


def _line(rule: Rule) -> dict[str, Any]:
    """The line of the table itself."""
    return {
        "methods": rule.methods,
        "path": rule.pattern,
        "capability": None if rule.capability is None else str(rule.capability),
        "lane": rule.lane.value,
        "spelling": rule.spelling.value,
    }


def _statuses(operation: Operation) -> dict[int, Codes]:
    found = {400, 401, 403}
    if operation.answers:
        found |= {404, 502, 504} | ({413} if operation.body is not None else set())
    return {status: SHARED[status] for status in found}


def _in_path(path: str, rules: list[Rule]) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", path):
        deep = any(f"{{+{name}}}" in r.pattern or f"{{{name}*}}" in r.pattern for r in rules)
        schema: dict[str, Any] = {"type": "string", "minLength": 1}
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": schema if deep else {**schema, "pattern": "^[^/]+$"},
            **({"description": "May hold slashes."} if deep else {}),
        }


def _plain_paths() -> dict[str, Any]:
    """Addresses whose views are plain functions."""
    paths: dict[str, dict[str, Any]] = {}
    for key, what in PLAIN.items():
        method, path = key.split()
        found = _spelt(what, method, path)
        found["security"] = requirement("none")
        answers = {str(status): answer.spelt() for status, answer in what.answers.items()}
        base = {status: SHARED[status] for status in (400, 403)}
        found["responses"] = together(answers, responses(what, base))
        paths.setdefault(path, {})[method.lower()] = found
    return paths


def _spelt(what: Operation, method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation_id(method, path),
        "summary": what.summary,
        "description": what.description,
        "tags": [what.tag],
    }
    if what.query:
        found["parameters"] = [each.spelt(name) for name, each in what.query.items()]
    if what.body is not None:
        content = {kind: {"schema": what.body} for kind in what.kinds}
        found["requestBody"] = {"content": content, "required": what.needs_body}
    return found
