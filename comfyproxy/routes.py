"""The route table: every ComfyUI route known (0.3.x to master), who may use it, who answers.

This table and the capability list are the only places that say who may do what. `later`
marks a route whose behaviour is not built yet: it refuses. `docs/routes.md` is generated
from here (`manage.py show_routes --markdown`).
"""

from typing import Final

from accounts.capabilities import Capability as Cap
from comfyproxy.policy import Lane, RouteTable, Rule, Spelling

STREAM, VIEW, SOCKET = Lane.STREAM, Lane.VIEW, Lane.SOCKET
API, BARE = Spelling.API, Spelling.BARE

_PROMPTS = (
    Rule("GET", "/ws", Cap.ACCESS_API, SOCKET, "socket"),
    Rule("POST", "/prompt", Cap.RUN, STREAM, "prompt_submit"),
    Rule("GET", "/prompt", Cap.ACCESS_API, STREAM, "prompt_count"),
    Rule("GET", "/queue", Cap.ACCESS_API, STREAM, "queue_list"),
    Rule("POST", "/queue", Cap.RUN, VIEW, "queue_change"),
    Rule("POST", "/interrupt", Cap.RUN, VIEW, "interrupt_own"),
    Rule("GET", "/history", Cap.ACCESS_API, STREAM, "history_list"),
    Rule("GET", "/history/{prompt_id}", Cap.ACCESS_API, STREAM, "history_one"),
    Rule("POST", "/history", Cap.RUN, VIEW, "history_change"),
    Rule("GET", "/jobs", Cap.ACCESS_API, STREAM, "jobs_list", API),
    Rule("GET", "/jobs/{job_id}", Cap.ACCESS_API, STREAM, "job_one", API),
    Rule("GET", "/jobs/{job_id}/assets", Cap.ACCESS_API, VIEW, "later", API),
    Rule("POST", "/jobs/{job_id}/cancel", Cap.RUN, VIEW, "job_cancel", API),
    Rule("POST", "/jobs/cancel", Cap.RUN, VIEW, "jobs_cancel", API),
    Rule("POST", "/free", Cap.MANAGE_BACKEND, VIEW, "free_memory"),
)

_FILES = (
    Rule("GET", "/view", Cap.ACCESS_API, STREAM, "view_file"),
    Rule("POST", "/upload/image", Cap.UPLOAD, STREAM, "upload_image"),
    Rule("POST", "/upload/mask", Cap.UPLOAD, STREAM, "upload_mask"),
    Rule("GET", "/internal/files/{directory_type}", Cap.ACCESS_API, VIEW, "own_files", BARE),
    Rule("GET POST", "/assets", Cap.ACCESS_API, VIEW, "later", API),
    Rule("GET POST PUT PATCH DELETE", "/assets/{rest*}", Cap.ACCESS_API, VIEW, "later", API),
    Rule("POST", "/assets/download", Cap.MANAGE_BACKEND, VIEW, "later", API),
    Rule("POST", "/assets/seed", Cap.MANAGE_BACKEND, VIEW, "later", API),
    Rule("GET", "/assets/seed/status", Cap.MANAGE_BACKEND, VIEW, "later", API),
    Rule("POST", "/assets/seed/cancel", Cap.MANAGE_BACKEND, VIEW, "later", API),
    Rule("POST", "/assets/prune", Cap.MANAGE_BACKEND, VIEW, "later", API),
    Rule("GET", "/tags", Cap.ACCESS_API, VIEW, "later", API),
)

_PREVIEW = "/experiment/models/preview"
_MODELS = (
    Rule("GET", "/object_info", Cap.ACCESS_API, STREAM, "object_info"),
    Rule("GET", "/object_info/{node_class}", Cap.ACCESS_API, STREAM, "object_info_one"),
    Rule("GET", "/models", Cap.ACCESS_API, VIEW, "model_folders"),
    Rule("GET", "/models/{folder}", Cap.ACCESS_API, VIEW, "models_in_folder"),
    Rule("GET", "/embeddings", Cap.ACCESS_API, VIEW, "embeddings"),
    Rule("GET", "/view_metadata/{folder}", Cap.ACCESS_API, STREAM, "model_metadata"),
    Rule("GET", "/experiment/models", Cap.ACCESS_API, VIEW, "folders_detailed"),
    Rule("GET", "/experiment/models/{folder}", Cap.ACCESS_API, VIEW, "models_detailed"),
    *(
        Rule("GET", f"{_PREVIEW}/{rest}", Cap.ACCESS_API, STREAM, "model_preview")
        for rest in ("{folder}/{path_index}/{+filename}", "{folder}/{path_index}/{filename*}")
    ),
    Rule("GET", f"{_PREVIEW}/{{rest*}}", Cap.ACCESS_API, VIEW, "later"),
    Rule("POST", "/models/download", Cap.MANAGE_BACKEND, VIEW, "later"),
    Rule("GET", "/models/download/{batch_id}", Cap.MANAGE_BACKEND, VIEW, "later"),
)

# Who may change which files, and whose, is decided in `userfiles`: a name is needed for that.
_USERDATA = (
    Rule("GET", "/settings", Cap.ACCESS_API, VIEW, "settings_all"),
    Rule("POST", "/settings", Cap.ACCESS_API, VIEW, "settings_save"),
    Rule("GET", "/settings/{setting_id}", Cap.ACCESS_API, VIEW, "settings_one"),
    Rule("POST", "/settings/{setting_id}", Cap.ACCESS_API, VIEW, "settings_save_one"),
    Rule("GET", "/userdata", Cap.ACCESS_API, STREAM, "userdata_list"),
    Rule("GET", "/v2/userdata", Cap.ACCESS_API, STREAM, "userdata_tree"),
    Rule("GET", "/userdata/{+file}", Cap.ACCESS_API, STREAM, "userdata_read"),
    Rule("POST", "/userdata/{+file}", Cap.ACCESS_API, STREAM, "userdata_save"),
    Rule("DELETE", "/userdata/{+file}", Cap.ACCESS_API, STREAM, "userdata_delete"),
    Rule("GET", "/userdata/{file*}", Cap.ACCESS_API, STREAM, "userdata_read"),
    Rule("POST", "/userdata/{file*}", Cap.ACCESS_API, STREAM, "userdata_post"),
    Rule("DELETE", "/userdata/{file*}", Cap.ACCESS_API, STREAM, "userdata_delete"),
    Rule("POST", "/userdata/{+file}/move/{+dest}", Cap.ACCESS_API, STREAM, "userdata_move"),
    # Comfy Cloud's: never a file of that name.
    Rule("POST", "/userdata/{+file}/publish", Cap.ACCESS_API, VIEW, "later"),
    Rule("GET", "/cpe/workflow/list", Cap.ACCESS_API, STREAM, "cpe_list"),
    Rule("GET", "/cpe/workflow/get", Cap.ACCESS_API, STREAM, "cpe_get"),
    Rule("POST", "/cpe/workflow/save", Cap.MODIFY_WORKFLOWS, STREAM, "cpe_save"),
    Rule("GET", "/cpe/workflow/get-and-convert", Cap.ACCESS_API, STREAM, "cpe_get_and_convert"),
    Rule("POST", "/cpe/workflow/convert", Cap.ACCESS_API, STREAM, "cpe_convert"),
    Rule("GET", "/cpe/health", Cap.ACCESS_API, STREAM, "cpe_health"),
    Rule("GET", "/users", Cap.ACCESS_API, VIEW, "users"),
    Rule("POST", "/users", Cap.MANAGE_BACKEND, VIEW, "users_add"),
)

_ABOUT = (
    Rule("GET", "/system_stats", Cap.ACCESS_API, VIEW, "system_stats"),
    Rule("GET", "/features", Cap.ACCESS_API, VIEW, "features"),
    Rule("GET", "/extensions", Cap.ACCESS_API, STREAM, "extensions"),
    Rule("GET", "/i18n", Cap.ACCESS_API, STREAM, "forward"),
    Rule("GET", "/workflow_templates", Cap.ACCESS_API, STREAM, "forward"),
    Rule("GET", "/workflow_templates/{file*}", Cap.ACCESS_API, STREAM, "forward"),
    Rule("GET", "/global_subgraphs", Cap.ACCESS_API, STREAM, "forward"),
    Rule("GET", "/global_subgraphs/{subgraph_id}", Cap.ACCESS_API, STREAM, "forward"),
    Rule("GET", "/node_replacements", Cap.ACCESS_API, STREAM, "forward"),
)

_BACKEND = (
    Rule("GET", "/internal/logs", Cap.MANAGE_BACKEND, STREAM, "forward", BARE),
    Rule("GET", "/internal/logs/raw", Cap.MANAGE_BACKEND, STREAM, "forward", BARE),
    Rule("PATCH", "/internal/logs/subscribe", Cap.MANAGE_BACKEND, VIEW, "logs_subscribe", BARE),
    Rule("GET", "/internal/folder_paths", Cap.MANAGE_BACKEND, STREAM, "forward", BARE),
    Rule("GET POST PUT PATCH DELETE", "/internal/{rest*}", Cap.MANAGE_BACKEND, STREAM, "forward"),
    Rule("POST", "/credentials", Cap.MANAGE_BACKEND, STREAM, "forward"),
    Rule("GET", "/tasks", Cap.MANAGE_BACKEND, STREAM, "forward", API),
    Rule("GET POST DELETE", "/tasks/{rest*}", Cap.MANAGE_BACKEND, STREAM, "forward", API),
)

_ALL = "GET POST PUT PATCH DELETE"
_MANAGER = (
    *(
        Rule(_ALL, f"{version}/{prefix}{rest}", Cap.ACCESS_MANAGER, STREAM, "forward")
        for version in ("", "/v2")
        for prefix in ("manager", "customnode", "externalmodel", "snapshot", "comfyui_manager")
        for rest in ("", "/{rest*}")
    ),
    # ComfyUI-Manager 3.1
    Rule("POST", "/model/install", Cap.ACCESS_MANAGER, STREAM, "forward"),
)

_STATIC_FOLDERS = (
    "assets",
    "cursor",
    "docs",
    "extensions",
    "fonts",
    "lib",
    "scripts",
    "templates",
)
_STATIC = (
    # The gateway's own extension of the page, whatever a custom node calls itself.
    Rule("GET", "/extensions/mss-login/{file*}", Cap.ACCESS_API, STREAM, "own_extension", BARE),
    Rule("GET", "/", Cap.ACCESS_API, STREAM, "static"),
    Rule("GET", "/{file:asset}", Cap.ACCESS_API, STREAM, "static", BARE),
    Rule("GET", "/assets/{file:manifest}", None, STREAM, "static", BARE),
    Rule("GET", "/{file:manifest}", None, STREAM, "static", BARE),
    *(
        Rule("GET", f"/{folder}/{{file*}}", Cap.ACCESS_API, STREAM, "static", BARE)
        for folder in _STATIC_FOLDERS
    ),
)

ROUTES: Final = (
    *_PROMPTS,
    *_FILES,
    *_MODELS,
    *_USERDATA,
    *_ABOUT,
    *_BACKEND,
    *_MANAGER,
    *_STATIC,
)

# What no line names: routes that custom nodes may have added.
DEFAULTS: Final = (Rule(_ALL, "/{rest*}", Cap.ACCESS_EXTENSIONS, STREAM, "forward"),)

TABLE: Final = RouteTable(ROUTES, DEFAULTS)
