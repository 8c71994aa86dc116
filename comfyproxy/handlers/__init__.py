"""What answers each route: one async function from a Call to a Reply per behaviour.

The route table names handlers by their key here.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from comfyproxy.calls import Call, Reply
from comfyproxy.handlers import (
    about,
    cpe,
    extension,
    forward,
    history,
    jobs,
    modelfiles,
    models,
    prompts,
    queue,
    settings,
    uploads,
    userdata,
    view,
)
from comfyproxy.routes import DEFAULTS, ROUTES

Handler = Callable[[Call], Awaitable[Reply]]

HANDLERS: Final[dict[str, Handler]] = {
    "cpe_convert": cpe.cpe_convert,
    "cpe_get": cpe.cpe_get,
    "cpe_get_and_convert": cpe.cpe_get_and_convert,
    "cpe_health": cpe.cpe_health,
    "cpe_list": cpe.cpe_list,
    "cpe_save": cpe.cpe_save,
    "embeddings": models.embeddings,
    "extensions": extension.extensions,
    "features": about.features,
    "folders_detailed": modelfiles.folders_detailed,
    "forward": forward.forward,
    "free_memory": queue.free_memory,
    "history_change": history.history_change,
    "history_list": history.history_list,
    "history_one": history.history_one,
    "interrupt_own": queue.interrupt_own,
    "job_cancel": jobs.job_cancel,
    "job_one": jobs.job_one,
    "jobs_cancel": jobs.jobs_cancel,
    "jobs_list": jobs.jobs_list,
    "later": about.later,
    "logs_subscribe": about.logs_subscribe,
    "model_folders": models.model_folders,
    "model_metadata": modelfiles.model_metadata,
    "model_preview": modelfiles.model_preview,
    "models_detailed": modelfiles.models_detailed,
    "models_in_folder": models.models_in_folder,
    "object_info": models.object_info,
    "object_info_one": models.object_info_one,
    "own_extension": extension.own_extension,
    "own_files": history.own_files,
    "prompt_count": queue.prompt_count,
    "prompt_submit": prompts.prompt_submit,
    "queue_change": queue.queue_change,
    "queue_list": queue.queue_list,
    "settings_all": settings.settings_all,
    "settings_one": settings.settings_one,
    "settings_save": settings.settings_save,
    "settings_save_one": settings.settings_save_one,
    "static": forward.static,
    "system_stats": about.system_stats,
    "upload_image": uploads.upload_image,
    "upload_mask": uploads.upload_mask,
    "userdata_delete": userdata.userdata_delete,
    "userdata_list": userdata.userdata_list,
    "userdata_move": userdata.userdata_move,
    "userdata_post": userdata.userdata_post,
    "userdata_read": userdata.userdata_read,
    "userdata_save": userdata.userdata_save,
    "userdata_tree": userdata.userdata_tree,
    "users": about.users,
    "users_add": about.users_add,
    "view_file": view.view_file,
}
# Served by the socket's consumer, not by a function of this kind.
SOCKET_HANDLERS: Final = frozenset({"socket"})


def resolve(name: str) -> Handler:
    """The handler of that name."""
    return HANDLERS[name]


def resolve_all() -> None:
    """Raise LookupError unless every line of the table names a handler and every handler is
    named."""
    named = {rule.handler for rule in (*ROUTES, *DEFAULTS)} - SOCKET_HANDLERS
    if named != HANDLERS.keys():
        raise LookupError(f"handlers and route table differ: {named ^ HANDLERS.keys()}")
