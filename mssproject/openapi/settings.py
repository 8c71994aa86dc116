"""drf-spectacular's settings: what the document says of itself."""

from typing import Any, Final

from mssproject import __version__

_DESCRIPTION: Final = """\
User management in front of ComfyUI: the gateway's own addresses, and ComfyUI's as one meets them
through it. A typical app: `POST /mss-login/generate_token` → `GET /mss-login/api/me` →
`GET /object_info` → `POST /prompt` → `/ws` or `GET /history/{prompt_id}` → `GET /view`.

**Spellings.** ComfyUI serves its routes bare and below `/api`, and so does the gateway: `/queue`
and `/api/queue` are one. Only one is listed; `x-routes` says `both`, or which one there is. The
gateway's own addresses below `/mss-login` answer below `/api/mss-login`, too.

**Who one is.** A session JWT or an API token: as `Authorization: Bearer`, as the password of
`Basic` (API tokens only), as the browser's cookie; on ComfyUI's routes also as `?token=`. An API
token made for it may stand in the address: `/t/<token>/…` before any of these. Of several, the
first counts in the order header, query, cookie; a bad one is 401, and no other is tried.

**What one may do.** `x-capability` names the capability that a route needs (null: open to all);
`GET /mss-login/api/me` tells one's own. `x-lane` says how the gateway answers: `stream` passes
bytes on, `view` reads and rewrites them, `socket` is the WebSocket. `HEAD` goes wherever `GET`
does.

**Refusals.** Always `{"error": sentence, "code": CODE}`, with more fields for some codes. A browser
that goes somewhere gets a page instead, or the way to `/login`. Beside what is listed: 405
`METHOD_NOT_ALLOWED`; 413 `TOO_LARGE`; 503 `DATABASE_AWAY`, come again; and 500 `INTERNAL_ERROR`,
which is a fault of the gateway."""

# In the order in which somebody who writes a client meets them.
TAGS: Final = (
    "Login and tokens",
    "Account",
    "ComfyUI: prompts",
    "ComfyUI: files",
    "ComfyUI: nodes and models",
    "ComfyUI: settings and workflows",
    "Comfy Portal",
    "Model downloads",
    "Models and who has them",
    "Passkeys",
    "Administration",
    "Explicit pictures",
    "Pages and their scripts",
    "ComfyUI: page",
    "ComfyUI: server",
    "ComfyUI-Manager",
    "Custom nodes",
    "ComfyUI: not available",
)
SPECTACULAR_SETTINGS: Final[dict[str, Any]] = {
    "TITLE": "MSS-Login for Django",
    "VERSION": __version__,
    "DESCRIPTION": _DESCRIPTION,
    "OAS_VERSION": "3.1.0",
    # Wherever the document was fetched from.
    "SERVERS": [{"url": "/"}],
    "TAGS": [{"name": name} for name in TAGS],
    "SCHEMA_PATH_PREFIX": "",
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["mssproject.openapi.inspection.without_catch_all"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "mssproject.openapi.comfyui.completed",
    ],
    "SORT_OPERATION_PARAMETERS": False,
    # The tests do it; starting with `check --deploy` should not take longer for it.
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
}
