"""The gateway's own addresses for drf-spectacular: found in urls.py, described in `operations`."""

import re
from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.openapi import AutoSchema as LibraryAutoSchema
from rest_framework.permissions import AllowAny

from accounts.api.authentication import IdentityAuthentication
from accounts.api.views import UnknownView
from comfyproxy.views import ComfyView
from downloads.api import HeaderAuthentication
from mssproject.openapi.operation import Codes, Operation
from mssproject.openapi.operations import GATEWAY
from mssproject.openapi.refusals import SHARED, responses, together
from mssproject.openapi.security import requirement

# Whatever no other address has; ComfyUI's routes come from the route table instead.
_CATCH_ALL: Final = (UnknownView, ComfyView)
# (path, pattern of the address, method, view): what drf-spectacular finds.
Endpoint = tuple[str, str, str, Any]


def without_catch_all(endpoints: list[Endpoint]) -> list[Endpoint]:
    """drf-spectacular's PREPROCESSING_HOOKS: the addresses that stand for themselves."""
    return [each for each in endpoints if each[3].cls not in _CATCH_ALL]


def operation_id(method: str, path: str) -> str:
    """`get_mss_login_api_me`."""
    words = re.sub(r"\W+", "_", path).strip("_") or "page"
    return f"{method.lower()}_{words}"


def statuses(operation: Operation, path: str, *, public: bool) -> Mapping[int, Codes]:
    """The refusals that an address of the gateway's own has, beside those it names."""
    found = {400, 403, 429}
    found |= set() if public else {401}
    found |= {404} if "{" in path else set()
    found |= {413} if operation.body is not None else set()
    return {status: SHARED[status] for status in found}


class AutoSchema(LibraryAutoSchema):
    """Reads what is written in `operations`; from the view comes how one logs in."""

    @property
    def described(self) -> Operation:
        """Raises LookupError for an address that nobody described."""
        return GATEWAY[f"{self.method} {self.path}"]

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        found: Any = super().get_operation(*args, **kwargs)
        login = self.get_auth()
        found["security"] = login
        public = not any(login)
        refused = responses(self.described, statuses(self.described, self.path, public=public))
        found["responses"] = together(found["responses"], refused)
        return found

    def get_operation_id(self) -> str:
        return operation_id(self.method, self.path)

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        # The library adds "Request" to what is sent.
        return super().get_serializer_name(serializer, direction).replace("Request", "")

    def get_summary(self) -> str:
        return self.described.summary

    def get_description(self) -> str:  # type: ignore[override] # as the library itself
        return self.described.description

    def get_tags(self) -> list[str]:
        return [self.described.tag]

    def get_auth(self) -> list[Any]:
        if self.described.login is not None:
            return requirement(self.described.login)
        classes = {type(each) for each in self.view.get_authenticators()}
        open_to_all = any(isinstance(each, AllowAny) for each in self.view.get_permissions())
        if HeaderAuthentication in classes:
            return requirement("header", optional=open_to_all)
        if IdentityAuthentication in classes:
            return requirement("any", optional=open_to_all)
        return requirement("none")

    def _get_parameters(self) -> list[Any]:
        in_path = super()._get_parameters()
        for parameter in in_path:
            # `str` takes one segment.
            if f"<str:{parameter['name']}>" in self.path_regex:
                parameter["schema"] = {"type": "string", "pattern": "^[^/]+$"}
        return [*in_path, *(each.spelt(name) for name, each in self.described.query.items())]

    def _get_request_body(self, direction: Any = "request") -> Any:
        if self.described.body is None:
            return None
        content = {}
        for kind in self.described.kinds:
            schema, _ = self._get_request_for_media_type(self.described.body, direction)
            content[kind] = {"schema": schema}
        return {"content": content, "required": self.described.needs_body}

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        answers = self.described.answers
        return {str(status): answer.spelt() for status, answer in answers.items()}

    def get_response_serializers(self) -> None:
        # The views answer with plain data; the library is not to guess.
        return None
