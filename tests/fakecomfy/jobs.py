"""/api/jobs: a plain form of what newer versions than 0.3.64 have, and newer pages need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from .core import Core

_STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")


def make_routes(core: Core) -> web.RouteTableDef:
    """These are declared with /api in front and have no bare spelling."""
    routes = web.RouteTableDef()

    @routes.get("/api/jobs")
    async def list_jobs(request: web.Request) -> web.Response:
        query = request.rel_url.query
        wanted = [s for s in query.get("status", "").split(",") if s] or list(_STATUSES)
        if not set(wanted) <= set(_STATUSES):
            return web.json_response({"error": "Invalid status value(s)"}, status=400)
        try:
            offset = int(query.get("offset", 0))
            limit = int(query["limit"]) if "limit" in query else None
        except ValueError:
            return web.json_response({"error": "offset and limit must be integers"}, status=400)
        if offset < 0 or (limit is not None and limit <= 0):
            return web.json_response({"error": "offset or limit out of range"}, status=400)
        jobs = [job for job in _all(core) if job["status"] in wanted]
        jobs.sort(key=lambda job: job["create_time"], reverse=query.get("sort_order") != "asc")
        page = jobs[offset:] if limit is None else jobs[offset : offset + limit]
        more = offset + len(page) < len(jobs)
        pagination = {"offset": offset, "limit": limit, "total": len(jobs), "has_more": more}
        return web.json_response({"jobs": page, "pagination": pagination})

    @routes.get("/api/jobs/{job_id}")
    async def get_job(request: web.Request) -> web.Response:
        job_id = request.match_info["job_id"]
        job = next((job for job in _all(core) if job["id"] == job_id), None)
        if job is None:
            return web.json_response({"error": "Job not found"}, status=404)
        entry = core.queue.history_of(job_id).get(job_id)
        item = entry["prompt"] if entry else _item(core, job_id)
        detail = {"workflow": {"prompt": item[2], "extra_data": item[3]}} if item else {}
        if entry:
            detail["outputs"] = entry["outputs"]
            detail["execution_status"] = entry["status"]
            detail["execution_meta"] = entry.get("meta", {})
        return web.json_response({**job, **detail})

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
            return web.json_response({"error": "job_ids must be a non-empty list"}, status=400)
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


def _item(core: Core, job_id: str) -> Any:
    running, pending = core.queue.snapshot()
    return next((item for item in running + pending if item[1] == job_id), None)


def _all(core: Core) -> list[dict[str, Any]]:
    running, pending = core.queue.snapshot()
    jobs = [_job(core, item, "pending") for item in sorted(pending, key=lambda i: i[0])]
    jobs += [_job(core, item, "in_progress") for item in running]
    seen = {job["id"] for job in jobs}
    for prompt_id, entry in core.queue.get_history().items():
        if prompt_id not in seen:
            jobs.append(_ended(core, entry))
    return jobs


def _job(core: Core, item: Any, status: str) -> dict[str, Any]:
    extra = item[3] if isinstance(item[3], dict) else {}
    workflow = (extra.get("extra_pnginfo") or {}).get("workflow") or {}
    return {
        "id": item[1],
        "status": status,
        "priority": item[0],
        "create_time": core.queue.created.get(item[1], 0),
        "outputs_count": 0,
        "workflow_id": None if workflow.get("id") is None else str(workflow["id"]),
    }


def _ended(core: Core, entry: dict[str, Any]) -> dict[str, Any]:
    messages = dict(entry["status"]["messages"])
    status = "completed" if entry["status"]["status_str"] == "success" else "failed"
    if "execution_interrupted" in messages:
        status = "cancelled"
    job = _job(core, entry["prompt"], status)
    files = [
        {**file, "nodeId": node_id, "mediaType": kind}
        for node_id, ui in entry["outputs"].items()
        for kind, found in ui.items()
        for file in found
        if isinstance(file, dict) and "filename" in file
    ]
    times = [data["timestamp"] for data in messages.values() if "timestamp" in data]
    job["outputs_count"] = len(files)
    if files:
        job["preview_output"] = files[-1]
    if times:
        job["execution_start_time"], job["execution_end_time"] = min(times), max(times)
    if "execution_error" in messages:
        job["execution_error"] = messages["execution_error"]
    return job
