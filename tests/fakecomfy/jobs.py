"""/api/jobs as ComfyUI's master of autumn 2026 has it, for newer pages; 0.3.64 has none.

Cancelling several at once is all or nothing, as it was at first; master does what it can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from .prompt_queue import SENSITIVE

if TYPE_CHECKING:
    from .core import Core

_QUEUED = ("pending", "in_progress")
_STATUSES = (*_QUEUED, "completed", "failed", "cancelled")
_SORTS = ("created_at", "execution_duration")
_MEDIA = ("images", "video", "audio", "3d")
_MESHES = (".obj", ".fbx", ".gltf", ".glb", ".usdz")
_TEXTS = (".txt", ".md", ".json")


def make_routes(core: Core) -> web.RouteTableDef:
    """These are declared with /api in front and have no bare spelling."""
    routes = web.RouteTableDef()

    @routes.get("/api/jobs")
    async def list_jobs(request: web.Request) -> web.Response:
        query = request.rel_url.query
        wanted = [part.strip().lower() for part in query.get("status", "").split(",")]
        wanted = [part for part in wanted if part] if query.get("status") else list(_STATUSES)
        if not set(wanted) <= set(_STATUSES):
            return _bad("Invalid status value(s)")
        sort_by = query.get("sort_by", "created_at").lower()
        order = query.get("sort_order", "desc").lower()
        if sort_by not in _SORTS or order not in ("asc", "desc"):
            return _bad("sort_by or sort_order is unknown")
        try:
            offset = max(int(query.get("offset", 0)), 0)
            limit = int(query["limit"]) if "limit" in query else None
        except ValueError:
            return _bad("limit and offset must be integers")
        if limit is not None and limit <= 0:
            return _bad("limit must be a positive integer")
        jobs = [job for job in _all(core) if job["status"] in wanted]
        if query.get("workflow_id"):
            jobs = [job for job in jobs if job.get("workflow_id") == query["workflow_id"]]
        key = _duration if sort_by == "execution_duration" else _created
        jobs.sort(key=key, reverse=order == "desc")
        page = jobs[offset:] if limit is None else jobs[offset : offset + limit]
        more = offset + len(page) < len(jobs)
        pagination = {"offset": offset, "limit": limit, "total": len(jobs), "has_more": more}
        return web.json_response({"jobs": page, "pagination": pagination})

    @routes.get("/api/jobs/{job_id}")
    async def get_job(request: web.Request) -> web.Response:
        job_id = request.match_info["job_id"]
        entry = core.queue.history_of(job_id).get(job_id)
        if entry is not None:
            detail = {"outputs": _cleaned(entry["outputs"]), "execution_status": entry["status"]}
            return web.json_response(
                {**_ended(core, entry), **detail, "workflow": _workflow(core, entry["prompt"])}
            )
        for item, status in _queue(core):
            if item[1] == job_id:
                job = _queued(core, item, status)
                return web.json_response({**job, "workflow": _workflow(core, item)})
        return web.json_response({"error": "Job not found"}, status=404)

    def cancel(job_id: str) -> bool:
        running, pending = core.queue.snapshot()
        if any(item[1] == job_id for item in running):
            core.executor.interrupt.set()
            return True
        core.queue.delete(job_id)
        return any(item[1] == job_id for item in pending)

    @routes.post("/api/jobs/cancel")
    async def cancel_jobs(request: web.Request) -> web.Response:
        job_ids = (await request.json()).get("job_ids")
        if not isinstance(job_ids, list) or not job_ids:
            return _bad("job_ids must be a non-empty list")
        known = {job["id"] for job in _all(core)}
        # All or nothing: an unknown id refuses the whole call.
        if not known.issuperset(job_ids):
            return web.json_response({"error": "Job not found"}, status=404)
        results = [cancel(job_id) for job_id in job_ids]
        return web.json_response({"cancelled": any(results)})

    @routes.post("/api/jobs/{job_id}/cancel")
    async def cancel_job(request: web.Request) -> web.Response:
        # Nothing to do is no error: finished and unknown jobs answer 200 as well.
        return web.json_response({"cancelled": cancel(request.match_info["job_id"])})

    return routes


def _bad(text: str) -> web.Response:
    return web.json_response({"error": text}, status=400)


def _created(job: dict[str, Any]) -> int:
    return int(job.get("create_time", 0))


def _duration(job: dict[str, Any]) -> int:
    start, end = job.get("execution_start_time"), job.get("execution_end_time")
    return end - start if start and end else 0


def _queue(core: Core) -> list[tuple[Any, str]]:
    running, pending = core.queue.snapshot()
    return [(item, "in_progress") for item in running] + [(item, "pending") for item in pending]


def _all(core: Core) -> list[dict[str, Any]]:
    jobs = [_queued(core, item, status) for item, status in _queue(core)]
    return jobs + [_ended(core, entry) for entry in core.queue.get_history().values()]


def _queued(core: Core, item: Any, status: str) -> dict[str, Any]:
    extra = item[3] if isinstance(item[3], dict) else {}
    workflow = (extra.get("extra_pnginfo") or {}).get("workflow") or {}
    job = {
        "id": item[1],
        "status": status,
        "priority": item[0],
        "create_time": core.queue.created.get(item[1]),
        "outputs_count": 0,
        "previewable_outputs_count": 0,
        "workflow_id": workflow.get("id"),
    }
    return {name: value for name, value in job.items() if value is not None}


def _ended(core: Core, entry: dict[str, Any]) -> dict[str, Any]:
    messages = dict(entry["status"]["messages"])
    status = "completed" if entry["status"]["status_str"] == "success" else "failed"
    job = _queued(core, entry["prompt"], status)
    if "execution_interrupted" in messages:
        job["status"] = "cancelled"
    if "execution_start" in messages:
        job["execution_start_time"] = messages["execution_start"]["timestamp"]
    for name in ("execution_success", "execution_error", "execution_interrupted"):
        if name in messages:
            job["execution_end_time"] = messages[name]["timestamp"]
    if "execution_error" in messages:
        job["execution_error"] = messages["execution_error"]
    return {**job, **_summary(entry["outputs"])}


def _summary(outputs: dict[str, Any]) -> dict[str, Any]:
    """The counts, and the preview by the first of the four lists that has one."""
    count = 0
    saved: list[Any] = []
    visual: list[Any] = []
    files: list[Any] = []
    texts: list[Any] = []
    for node_id, ui in _cleaned(outputs).items():
        for kind, items in ui.items():
            for item in items if kind != "animated" else ():
                if not isinstance(item, dict):
                    if kind == "text":
                        text = str(item)
                        cut = {"truncated": True} if len(text) > 1024 else {}
                        shown = {"content": text[:1024], **cut, "mediaType": kind}
                        texts.append({**shown, "nodeId": node_id})
                    continue
                count += 1
                name = item.get("filename", "").lower()
                shown = {**item, "nodeId": node_id, "mediaType": item.get("mediaType", kind)}
                if kind == "text" or name.endswith(_TEXTS):
                    files.append(shown)
                elif (
                    kind in _MEDIA
                    or item.get("format", "").startswith(("video/", "audio/"))
                    or name.endswith(_MESHES)
                ):
                    (saved if item.get("type") == "output" else visual).append(shown)
    previewable = len(saved) + len(visual) + len(files)
    summary: dict[str, Any] = {
        "outputs_count": count,
        "previewable_outputs_count": previewable,
    }
    found = [*saved, *visual, *files, *texts]
    return {**summary, "preview_output": found[0]} if found else summary


def _cleaned(outputs: dict[str, Any]) -> dict[str, Any]:
    """Without nulls, and with names of 3D files as files."""
    return {
        node_id: {
            kind: [_file(item) for item in items if item is not None]
            for kind, items in ui.items()
            if isinstance(items, list)
        }
        for node_id, ui in outputs.items()
    }


def _file(item: Any) -> Any:
    if isinstance(item, str) and item.lower().endswith(_MESHES):
        return {"filename": item, "type": "output", "subfolder": "", "mediaType": "3d"}
    return item


def _workflow(core: Core, item: Any) -> dict[str, Any]:
    """Newer ComfyUI takes the secrets out and writes the time in as a prompt comes."""
    extra = {key: value for key, value in item[3].items() if key not in SENSITIVE}
    created = {"create_time": core.queue.created.get(item[1])}
    return {"prompt": item[2], "extra_data": {**extra, **created}}
