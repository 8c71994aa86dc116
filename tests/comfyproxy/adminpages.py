"""Pages of the admin, made without a server: for whom one likes, and with its queries counted."""

import re
from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.messages.storage.base import BaseStorage
from django.db import connection, models
from django.http import HttpRequest, QueryDict
from django.template.response import TemplateResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from accounts.capabilities import Capability
from accounts.identity import Auth, Identity
from accounts.middleware import IDENTITY
from accounts.models import User


class Said(BaseStorage):
    """Messages to the person, kept in memory."""

    def _get(self, *args: Any, **kwargs: Any) -> tuple[list[Any], bool]:
        return [], True

    def _store(self, messages: Any, response: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return []

    @property
    def texts(self) -> list[str]:
        return [str(message) for message in self._queued_messages]


def request_of(user: User, *capabilities: Capability, query: str = "") -> HttpRequest:
    """A request of somebody who holds these capabilities."""
    request = RequestFactory().get(f"/admin/x/?{query}")
    request.user = user
    identity = Identity(
        user.pk, user.username, user.namespace, "admin", 80, frozenset(capabilities), Auth.SESSION
    )
    setattr(request, IDENTITY, lambda: identity)
    request._messages = Said(request)  # type: ignore[attr-defined]
    return request


def post(
    model: type[models.Model], user: User, *capabilities: Capability, **data: Any
) -> tuple[str, list[str]]:
    """What the list of a model answers to a form: (the page, empty if it leads on; what is
    said)."""
    return sent(admin.site._registry[model].changelist_view, user, *capabilities, **data)


def sent(
    view: Callable[[HttpRequest], Any], user: User, *capabilities: Capability, **data: Any
) -> tuple[str, list[str]]:
    """What a view answers to a form, in the same way."""
    request = request_of(user, *capabilities)
    request.method = "POST"
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    form = QueryDict(mutable=True)
    for name, value in data.items():
        form.setlist(name, [str(each) for each in (value if isinstance(value, list) else [value])])
    request.POST = form  # type: ignore[assignment]
    answer = view(request)
    if isinstance(answer, TemplateResponse):
        answer.render()
    texts = request._messages.texts  # type: ignore[attr-defined]
    return ("" if answer.status_code == 302 else answer.content.decode()), texts


def page(model: type[models.Model], request: HttpRequest, key: object = None) -> tuple[str, int]:
    """The list of a model's rows, or the page of one: (its HTML, how many queries it took)."""
    model_admin = admin.site._registry[model]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        if key is None:
            answer = model_admin.changelist_view(request)
        else:
            answer = model_admin.change_view(request, str(key))
        if isinstance(answer, TemplateResponse):
            answer.render()
        html = answer.content.decode()
    return html, len(queries)


def rows_in(html: str) -> str:
    """Of a list's page the list alone."""
    return html.partition('id="result_list"')[2].partition("</table>")[0]


def data_rows(html: str) -> list[str]:
    """The rows of a list's page, each as HTML."""
    return re.findall(r'<tr class="data-row[^>]*>(.*?)</tr>', rows_in(html), re.DOTALL)
