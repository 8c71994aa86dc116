"""Who may do what, role by role, written by hand: the table must say the same.

`+` allowed; otherwise the capability that is named as missing. A column per default role.
"""

import pytest

from accounts.capabilities import DEFAULT_ROLES, Capability
from accounts.errors import NotFound, PermissionDenied
from accounts.identity import Auth, Identity
from comfyproxy.paths import canonical
from comfyproxy.routes import TABLE

SHORT = {
    "run": "can_run",
    "upload": "can_upload",
    "workflows": "can_modify_workflows",
    "manager": "can_access_manager",
    "extensions": "can_access_extensions",
    "backend": "can_manage_backend",
}

GRID = """
                                          guest       user        power    admin  owner
GET    /                                  +           +           +        +      +
GET    /user.css                          +           +           +        +      +
GET    /assets/index-1.js                 +           +           +        +      +
GET    /extensions/core/x.js              +           +           +        +      +
GET    /ws                                +           +           +        +      +
GET    /queue                             +           +           +        +      +
GET    /prompt                            +           +           +        +      +
GET    /history                           +           +           +        +      +
GET    /view                              +           +           +        +      +
GET    /object_info                       +           +           +        +      +
GET    /models                            +           +           +        +      +
GET    /models/checkpoints                +           +           +        +      +
GET    /embeddings                        +           +           +        +      +
GET    /view_metadata/checkpoints         +           +           +        +      +
GET    /experiment/models                 +           +           +        +      +
GET    /experiment/models/checkpoints     +           +           +        +      +
GET    /experiment/models/preview/vae/0/a +           +           +        +      +
GET    /system_stats                      +           +           +        +      +
GET    /features                          +           +           +        +      +
GET    /extensions                        +           +           +        +      +
GET    /users                             +           +           +        +      +
GET    /settings                          +           +           +        +      +
POST   /settings                          +           +           +        +      +
GET    /userdata                          +           +           +        +      +
GET    /internal/files/output             +           +           +        +      +
GET    /api/jobs                          +           +           +        +      +
GET    /api/jobs/7                        +           +           +        +      +
GET    /api/assets                        +           +           +        +      +
GET    /cpe/workflow/list                 +           +           +        +      +
POST   /prompt                            run         +           +        +      +
POST   /queue                             run         +           +        +      +
POST   /interrupt                         run         +           +        +      +
POST   /history                           run         +           +        +      +
POST   /api/jobs/cancel                   run         +           +        +      +
POST   /api/jobs/7/cancel                 run         +           +        +      +
POST   /upload/image                      upload      +           +        +      +
POST   /upload/mask                       upload      +           +        +      +
POST   /cpe/workflow/save                 workflows   +           +        +      +
GET    /my_node/list                      extensions  extensions  +        +      +
POST   /my_node/list                      extensions  extensions  +        +      +
DELETE /my_node/list                      extensions  extensions  +        +      +
GET    /viewvideo                         extensions  extensions  +        +      +
GET    /manager/version                   manager     manager     +        +      +
GET    /manager/reboot                    manager     manager     +        +      +
POST   /v2/manager/queue/task             manager     manager     +        +      +
POST   /customnode/install/git_url        manager     manager     +        +      +
GET    /externalmodel/getlist             manager     manager     +        +      +
GET    /snapshot/restore                  manager     manager     +        +      +
GET    /comfyui_manager/comfyui_versions  manager     manager     +        +      +
POST   /model/install                     manager     manager     +        +      +
POST   /free                              backend     backend     backend  +      +
POST   /users                             backend     backend     backend  +      +
POST   /credentials                       backend     backend     backend  +      +
POST   /api/assets/download               backend     backend     backend  +      +
GET    /api/tasks                         backend     backend     backend  +      +
DELETE /api/tasks/7                       backend     backend     backend  +      +
GET    /internal/logs                     backend     backend     backend  +      +
GET    /internal/logs/raw                 backend     backend     backend  +      +
PATCH  /internal/logs/subscribe           backend     backend     backend  +      +
GET    /internal/folder_paths             backend     backend     backend  +      +
POST   /internal/files/output             backend     backend     backend  +      +
GET    /internal/anything/else            backend     backend     backend  +      +
GET    /api/internal/logs                 backend     backend     backend  +      +
"""
ROLES, *ROWS = [row.split() for row in GRID.strip().splitlines()]
CASES = [
    pytest.param(method, target, role, verdict, id=f"{role}-{method}-{target}")
    for method, target, *verdicts in ROWS
    for role, verdict in zip(ROLES, verdicts, strict=True)
]


def of_role(slug: str) -> Identity:
    role = next(role for role in DEFAULT_ROLES if role.slug == slug)
    return Identity(
        user_id=1,
        username=slug,
        namespace="u-0123456789",
        role=slug,
        rank=role.rank,
        capabilities=role.capabilities,
        auth=Auth.SESSION,
    )


@pytest.mark.parametrize(("method", "target", "role", "verdict"), CASES)
def test_a_role_asks_a_route_and_gets_what_the_grid_says(
    method: str, target: str, role: str, verdict: str
) -> None:
    rule = TABLE.match(method, canonical(target.encode())).rule
    assert rule.capability is not None
    if verdict == "+":
        of_role(role).require(rule.capability)
        return
    with pytest.raises(PermissionDenied) as refusal:
        of_role(role).require(rule.capability)
    assert refusal.value.body() == {
        "error": "Your role does not allow this.",
        "code": "PERMISSION_DENIED",
        "permission": SHORT[verdict],
    }


def test_the_grid_has_every_default_role_and_every_capability_that_a_line_asks_for() -> None:
    assert set(ROLES) == {role.slug for role in DEFAULT_ROLES}
    asked = {rule.capability for rule in (*TABLE.rules, *TABLE.defaults)} - {None}
    assert asked == {*SHORT.values(), Capability.ACCESS_API}


def test_only_the_web_manifest_is_public() -> None:
    public = {rule.pattern for rule in TABLE.rules if rule.capability is None}
    assert public == {"/{file:manifest}", "/assets/{file:manifest}"}
    for target in ("/manifest.json", "/site.webmanifest", "/assets/manifest-BX1f_a-.json"):
        assert TABLE.match("GET", canonical(target.encode())).rule.capability is None
    for target in ("/x/manifest.json", "/manifests.json", "/manifest.js", "/manifest-%C3%A9.jsonx"):
        assert TABLE.match("GET", canonical(target.encode())).rule.capability is not None
    with pytest.raises(NotFound):
        TABLE.match("GET", canonical(b"/api/manifest.json"))
