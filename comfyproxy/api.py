"""The gateway's own API about ComfyUI, below /mss-login/api/."""

from asgiref.sync import async_to_sync
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import HasIdentity, caller
from accounts.api.base import GatewayView
from accounts.capabilities import Capability
from comfyproxy.filters.queue import place_in_queue
from comfyproxy.queuewatch import look


class QueueView(GatewayView):
    """GET: how long the caller has to wait, and nothing about whose the other prompts are."""

    permission_classes = (HasIdentity,)

    def get(self, request: Request) -> Response:
        _, identity = caller(request)
        identity.require(Capability.ACCESS_API)
        snapshot = async_to_sync(look)()
        return Response(place_in_queue(snapshot.queue, snapshot.owners, identity.user_id))
