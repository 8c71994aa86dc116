"""Every route that some ComfyUI or its manager has is met by a named line, with its capability.

`inventory.json`: origin → spelling → capability → "METHOD /path", parameters filled in. Written
by hand from ComfyUI 0.3.64's own router table, ComfyUI's master of autumn 2026 and its
branches, ComfyUI-Manager 3.31 and 4.3; not from our table.
"""

import json
from importlib.metadata import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from accounts.errors import GatewayError, MethodNotAllowed, NotFound
from comfyproxy.paths import canonical
from comfyproxy.policy import Match
from comfyproxy.routes import DEFAULTS, TABLE

INVENTORY = json.loads((Path(__file__).parent / "inventory.json").read_text())

# Only Comfy Cloud has these; the page asks for some of them all the same.
CLOUD = """
GET /api/user
GET /api/secrets
POST /api/secrets
PATCH /api/secrets/7
DELETE /api/secrets/7
GET /api/secrets/providers
GET /api/providers
GET /api/workspaces
POST /api/workspaces/7/members
GET /api/workspace/members
POST /api/billing/subscribe
GET /api/customers/me
GET /api/hub/models
GET /api/workflows/7
PUT /api/workflows/7
POST /api/agent/chat
POST /api/deploy/bundle
POST /api/auth/session
GET /oauth/authorize
GET /api/s/7
GET /api/download/7
GET /viewvideo
GET /vhs/viewvideo
GET /vhs/viewaudio
""".strip().splitlines()
# Also the cloud's, but below paths that ComfyUI itself has: their line refuses.
CLOUD_UNDER_NAMED = """
GET /api/jobs/7/assets
POST /api/assets/import
POST /api/assets/from-workflow
GET /api/assets/remote-metadata
POST /api/userdata/a.json/publish
""".strip().splitlines()


def _rows(*spellings: str) -> list[Any]:
    return [
        pytest.param(route, capability, id=f"{origin}-{route}")
        for origin, by_spelling in INVENTORY.items()
        for spelling in spellings
        for capability, routes in by_spelling.get(spelling, {}).items()
        for route in routes
    ]


def meet(route: str) -> Match:
    method, target = route.split(" ")
    return TABLE.match(method, canonical(target.encode()))


def with_api(route: str) -> str:
    return route.replace(" /", " /api/", 1)


@pytest.mark.parametrize(("route", "capability"), _rows("both", "bare", "api"))
def test_a_known_route_meets_a_named_line_with_its_capability(route: str, capability: str) -> None:
    rule = meet(route).rule
    assert rule not in DEFAULTS
    assert rule.capability == capability
    if route.startswith("GET "):
        assert meet(route.replace("GET", "HEAD", 1)).rule == rule


@pytest.mark.parametrize(("route", "capability"), _rows("both"))
def test_a_route_meets_the_same_line_under_api(route: str, capability: str) -> None:
    assert meet(with_api(route)) == meet(route)


@pytest.mark.parametrize(("route", "capability"), _rows("bare"))
def test_a_bare_route_is_no_other_under_api(route: str, capability: str) -> None:
    try:
        match = meet(with_api(route))
    except NotFound:
        return
    # `/api/` is the page as well; `/api/internal/…`, which ComfyUI lacks, is the backend's.
    assert route == "GET /" or match.rule.capability == "can_manage_backend"


@pytest.mark.parametrize(("route", "capability"), _rows("api"))
def test_an_api_only_route_is_not_served_bare(route: str, capability: str) -> None:
    try:
        match = meet(route.replace(" /api/", " /", 1))
    except (NotFound, MethodNotAllowed):
        return
    # `/assets/…` without /api are the page's own files.
    assert (match.rule.handler, match.rule.methods) == ("static", "GET")


@pytest.mark.parametrize("route", CLOUD)
def test_a_route_of_the_cloud_or_a_custom_node_meets_the_default_line(route: str) -> None:
    rule = meet(route).rule
    assert rule in DEFAULTS
    assert rule.capability == "can_access_extensions"


@pytest.mark.parametrize("route", CLOUD_UNDER_NAMED)
def test_a_route_of_the_cloud_below_a_named_path_is_refused(route: str) -> None:
    assert meet(route).rule.handler == "later"


@pytest.mark.parametrize(
    "target", ["/api/api/jobs", "/api/api/jobs/7", "/api/api/queue", "/api/api/api/queue"]
)
def test_the_doubled_prefix_under_which_comfyui_has_jobs_too_is_not_found(target: str) -> None:
    with pytest.raises(NotFound):
        meet(f"GET {target}")


@pytest.mark.parametrize(("route", "capability"), _rows("both", "bare", "api"))
def test_no_variant_of_a_route_is_judged_more_mildly(route: str, capability: str) -> None:
    method, target = route.split(" ")
    for variant in (target + "/", target.upper(), target.replace("/", "//", 1), target + "%2f"):
        try:
            match = TABLE.match(method, canonical(variant.encode()))
        except GatewayError:
            continue
        # What is left is the default line, or a parameter written in capitals.
        assert match.rule.capability in (capability, "can_access_extensions"), variant


def test_every_file_of_the_frontend_package_is_a_static_file_of_the_page() -> None:
    package = [str(path) for path in files("comfyui-frontend-package") or ()]
    shipped = [path.partition("/static/")[2] for path in package if "/static/" in path]
    assert len(shipped) > 1000
    for path in shipped:
        rule = meet(f"GET /{quote(path)}").rule
        assert rule.handler == "static", path
        is_manifest = path.startswith("assets/manifest-")
        assert rule.capability == (None if is_manifest else "can_access_api"), path
