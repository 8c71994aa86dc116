"""The OpenAPI document: whole, valid, made once, and there for whoever asks."""

import json
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator

from comfyproxy.routes import DEFAULTS, ROUTES
from mssproject.openapi import comfyui, document, inspection
from mssproject.openapi.operations import GATEWAY
from mssproject.openapi.refusals import SHARED, meanings
from mssproject.openapi.settings import TAGS
from mssproject.probes import PROBES
from tests.client import Client
from tests.gateway import ROOT, Gateway

SCHEMA = "/mss-login/api/schema"
# Pages of Django's, for people: no client talks to them.
ADMIN = "admin/"
METHODS = ("get", "post", "put", "patch", "delete")
CATCH_ALL = {"/", "/mss-login/{rest}"}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document.document().json)
    return found


def operations(described: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }


def addresses(patterns: list[Any], before: str = "/") -> Iterator[tuple[str, Any]]:
    """Every address of urls.py but the admin's, as OpenAPI spells it, and its view."""
    for pattern in patterns:
        text = str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if text != ADMIN:
                yield from addresses(pattern.url_patterns, before + text)
        else:
            assert isinstance(pattern, URLPattern)
            yield re.sub(r"<\w+:(\w+)>", r"{\1}", before + text), pattern.callback


def methods_of(view: Any) -> list[str]:
    view_class = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if view_class is None:
        return ["get"]  # a plain function
    return [method for method in METHODS if hasattr(view_class, method)]


def test_the_command_makes_a_valid_document_and_has_no_complaint() -> None:
    out = StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=out)
    assert "title: MSS-Login for Django" in out.getvalue()


def test_every_address_of_the_gateways_own_is_described_and_no_other(
    described: dict[str, Any],
) -> None:
    there = {
        f"{method.upper()} {path}"
        for path, view in addresses(get_resolver().url_patterns)
        if path not in CATCH_ALL
        for method in methods_of(view)
    } | {f"GET {path.decode()}" for path in PROBES}
    own = {key for key, each in operations(described).items() if "x-routes" not in each}
    assert len(there) > 80
    assert own == there


def test_every_line_of_the_route_table_is_described_as_it_is(described: dict[str, Any]) -> None:
    found = {
        (method, line["path"], line["capability"], line["lane"], line["spelling"])
        for key, operation in operations(described).items()
        for line in operation.get("x-routes", ())
        for method in [key.split()[0]]
    }
    assert found == {
        (method, rule.pattern, rule.capability and str(rule.capability), lane, spelling)
        for rule in (*ROUTES, *DEFAULTS)
        for lane, spelling in [(rule.lane.value, rule.spelling.value)]
        for method in rule.methods.split()
    }
    prompt = operations(described)["POST /prompt"]
    assert (prompt["x-capability"], prompt["x-lane"]) == ("can_run", "stream")
    assert "`can_run`" in prompt["description"]
    # Only as ComfyUI spells them.
    assert "GET /api/jobs" in operations(described)
    assert not {"GET /jobs", "GET /api/queue"} & operations(described).keys()


def test_an_address_that_nobody_described_makes_no_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(GATEWAY, "GET /mss-login/api/me")
    with pytest.raises(LookupError, match="GET /mss-login/api/me"):
        SchemaGenerator().get_schema(request=None, public=True)
    monkeypatch.undo()
    monkeypatch.delitem(comfyui.BY_HANDLER, "view_file")
    with pytest.raises(LookupError, match="view_file"):
        SchemaGenerator().get_schema(request=None, public=True)


def test_operations_have_names_of_their_own_and_known_tags(described: dict[str, Any]) -> None:
    each = list(operations(described).values())
    names = [operation["operationId"] for operation in each]
    assert len(set(names)) == len(names)
    assert {tag for operation in each for tag in operation["tags"]} == set(TAGS)
    assert all(operation["summary"] for operation in each)


def test_every_reference_leads_somewhere_and_every_component_is_used(
    described: dict[str, Any],
) -> None:
    used = set(re.findall(r'"#/components/(\w+/\w+)"', json.dumps(described)))
    there = {
        f"{kind}/{name}"
        for kind, components in described["components"].items()
        for name in components
        if kind != "securitySchemes"
    }
    assert used == there
    schemes = {
        name
        for operation in operations(described).values()
        for way in operation["security"]
        for name in way
    }
    assert schemes == described["components"]["securitySchemes"].keys()


def test_who_may_say_how_who_they_are_is_told(described: dict[str, Any]) -> None:
    ways = {
        key: [name for way in operation["security"] for name in way or ["nobody"]]
        for key, operation in operations(described).items()
    }
    assert ways["GET /queue"] == ["bearer", "basic", "query", "cookie"]
    assert ways["GET /mss-login/api/me"] == ["bearer", "basic", "cookie"]
    assert ways["GET /mss-login/api/model-download/jobs"] == ["bearer", "basic"]
    assert ways["POST /mss-login/generate_token"] == ["bearer", "basic", "cookie", "nobody"]
    assert ways["POST /login"] == ways["GET /assets/{file}"][:0] == []
    assert "401" not in operations(described)["GET /mss-login/api/is-https"]["responses"]


def test_every_code_named_is_one_that_the_gateway_has() -> None:
    source = "".join(
        path.read_text()
        for app in ("accounts", "comfyproxy", "downloads")
        for path in (ROOT / app).rglob("*.py")
    )
    known = {*meanings(), *re.findall(r'code="([A-Z0-9_]+)"', source)}
    named = {code for codes in SHARED.values() for code in codes}
    for operation in (*GATEWAY.values(), *comfyui.BY_HANDLER.values(), *comfyui.BY_ROUTE.values()):
        named |= {code for codes in operation.refused.values() for code in codes}
    assert named <= known
    about = json.loads(document.document().json)["info"]["description"]
    assert all(f"`{code}`" in about for code in ANYWHERE)
    # And the other way round: what a client may meet is somewhere.
    assert known - named == {*ANYWHERE, *OF_DOWNLOADS}


# Told once for all addresses.
ANYWHERE = {"INTERNAL_ERROR", "METHOD_NOT_ALLOWED", "DATABASE_AWAY"}
# Why a download failed: told by the job, not by a refusal.
OF_DOWNLOADS = {"TOO_MANY_REDIRECTS", "TLS_FAILED", "ANSWER_TOO_LONG", "INTERNAL"} | {
    "EARLY_ACCESS",
    "GONE",
}


def test_document_is_made_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    real = SchemaGenerator.get_schema

    def counted(self: SchemaGenerator, *args: Any, **kwargs: Any) -> Any:
        made.append(True)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(SchemaGenerator, "get_schema", counted)
    document._made.cache_clear()
    assert document.document() is document.document()
    assert made == [True]


def test_starting_the_server_does_not_read_the_library(gateway: Gateway) -> None:
    """It is for those few processes whose document somebody asks for."""
    loaded = gateway.run(
        "import sys, mssproject.asgi, mssproject.urls\n"
        "result = [name in sys.modules for name in"
        " ('drf_spectacular.openapi', 'mssproject.openapi.operations', 'mssproject.urls')]"
    )
    assert loaded == [False, False, True]


# --- over HTTP -------------------------------------------------------------------------------


def test_anybody_gets_the_document_in_the_spelling_they_prefer(anonymous: Client) -> None:
    plain = anonymous.get(SCHEMA)
    assert plain.headers["Content-Type"] == "application/json; charset=utf-8"
    assert plain.json()["openapi"] == "3.1.0"
    for accept, kind in (
        ("application/yaml", "application/yaml"),
        ("application/vnd.oai.openapi", "application/vnd.oai.openapi"),
        ("application/json;q=0.5, application/yaml", "application/yaml"),
        ("application/yaml;q=0.5, application/json", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("image/png", "application/json"),
    ):
        answer = anonymous.get(SCHEMA, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, kind)
        assert answer.headers["Content-Language"] == "en"
        if kind != "application/json":
            # LibYAML's reader: the other takes seconds.
            assert yaml.load(answer.text, yaml.CSafeLoader) == plain.json()
    below_api = anonymous.get(f"/api{SCHEMA}", headers={"Authorization": "Bearer nonsense"})
    assert below_api.content == plain.content


def test_client_that_has_the_document_gets_it_no_second_time(anonymous: Client) -> None:
    first = anonymous.get(SCHEMA)
    known = {"If-None-Match": first.headers["ETag"]}
    again = anonymous.get(SCHEMA, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert "Accept" in again.headers["Vary"]
    # The other spelling is another thing.
    assert anonymous.get(SCHEMA, headers={**known, "Accept": "text/yaml"}).status_code == 200
    assert anonymous.post(SCHEMA).status_code == 405


def test_the_language_of_who_asks_first_is_nobody_elses(anonymous: Client) -> None:
    german = anonymous.get(SCHEMA, headers={"Accept-Language": "de"})
    assert german.content == anonymous.get(SCHEMA).content
    assert inspection.operation_id("GET", "/") == "get_page"
