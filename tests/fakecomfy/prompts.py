"""Routes of prompts: /prompt, /queue, /interrupt, /free and /history."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from .core import Core

BENCH_PENDING = 20000


def add_routes(routes: web.RouteTableDef, core: Core) -> None:
    @routes.get("/prompt")
    async def get_prompt(request: web.Request) -> web.Response:
        return web.json_response(core.queue_info())

    @routes.post("/prompt")
    async def post_prompt(request: web.Request) -> web.Response:
        core.logs.write("got prompt")
        body = await request.json()
        # Never .get before it is certain what the body is: a list passes `in` and has no .get.
        if "number" in body:
            number: Any = float(body["number"])
        else:
            number = core.number
            if "front" in body and body["front"]:  # noqa: RUF019 - see above
                number = -number
            core.number += 1
        if "prompt" not in body:
            text = "No prompt provided"
            error = {"type": "no_prompt", "message": text, "details": text, "extra_info": {}}
            return web.json_response({"error": error, "node_errors": {}}, status=400)
        prompt = body["prompt"]
        prompt_id = str(body.get("prompt_id", uuid.uuid4()))
        verdict = core.validator.check(prompt, body.get("partial_execution_targets"))
        extra_data = body.get("extra_data", {})
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        if not verdict.valid:
            core.logs.write(f"invalid prompt: {verdict.error}")
            refusal = {"error": verdict.error, "node_errors": verdict.node_errors}
            return web.json_response(refusal, status=400)
        core.queue.put((number, prompt_id, prompt, extra_data, verdict.outputs))
        if core.options.bench and len(core.queue.pending) > BENCH_PENDING:
            # Nothing is ever executed in this mode; keep the memory bounded under load.
            core.queue.wipe()
        answer = {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}
        return web.json_response(answer)

    @routes.get("/queue")
    async def get_queue(request: web.Request) -> web.Response:
        running, pending = core.queue.snapshot()
        return web.json_response({"queue_running": running, "queue_pending": pending})

    @routes.post("/queue")
    async def post_queue(request: web.Request) -> web.Response:
        body = await request.json()
        if "clear" in body and body["clear"]:  # noqa: RUF019 - a list is accepted
            core.queue.wipe()
        if "delete" in body:
            for prompt_id in body["delete"]:
                core.queue.delete(prompt_id)
        return web.Response(status=200)

    @routes.post("/interrupt")
    async def post_interrupt(request: web.Request) -> web.Response:
        try:
            body = await request.json()
        except json.JSONDecodeError:
            body = {}
        prompt_id = body.get("prompt_id")
        if prompt_id:
            running, _ = core.queue.snapshot()
            if not any(item[1] == prompt_id for item in running):
                core.logs.write(f"Prompt {prompt_id} is not currently running, skipping interrupt")
                return web.Response(status=200)
            core.logs.write(f"Interrupting prompt {prompt_id}")
        else:
            core.logs.write("Global interrupt (no prompt_id specified)")
        core.executor.interrupt.set()
        return web.Response(status=200)

    @routes.post("/free")
    async def post_free(request: web.Request) -> web.Response:
        body = await request.json()
        for name in ("unload_models", "free_memory"):
            if body.get(name, False):
                core.queue.set_flag(name, body[name])
        return web.Response(status=200)

    @routes.get("/history")
    async def get_history(request: web.Request) -> web.Response:
        query = request.rel_url.query
        max_items = int(query["max_items"]) if "max_items" in query else None
        offset = int(query["offset"]) if "offset" in query else -1
        return web.json_response(core.queue.get_history(max_items, offset))

    @routes.get("/history/{prompt_id}")
    async def get_history_of(request: web.Request) -> web.Response:
        return web.json_response(core.queue.history_of(request.match_info["prompt_id"]))

    @routes.post("/history")
    async def post_history(request: web.Request) -> web.Response:
        body = await request.json()
        if "clear" in body and body["clear"]:  # noqa: RUF019 - a list is accepted
            core.queue.wipe_history()
        if "delete" in body:
            for prompt_id in body["delete"]:
                core.queue.delete_history(prompt_id)
        return web.Response(status=200)
