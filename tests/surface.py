"""The gateway asked all that its OpenAPI document describes, with what schemathesis makes up.

How an address behaves, the document alone tells; and that the gateway never fails.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import quote

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# What ends sessions or takes accounts apart is asked by somebody who is there for that alone.
CONSUMING: Final = (
    "/account/password",
    "/mss-login/me/sessions/revoke",
    "/mss-login/api/mfa/",
    "/mss-login/api/passkeys",
)
LOGOUT: Final = "/logout"
MAX_SAID_CHARS: Final = 600


@dataclass
class Asker:
    """Somebody who asks. `fresh` logs somebody of the same role in who is there to be used up."""

    role: str
    token: str
    fresh: Callable[[], str]
    answers: dict[str, list[int]] = field(default_factory=dict)

    @cached_property
    def session(self) -> requests.Session:
        """Keeps connections, and no cookies: who asks says so in the header."""
        found = requests.Session()
        found.trust_env = False
        found.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return found

    @cached_property
    def _other(self) -> str:
        return self.fresh()

    def token_for(self, path: str) -> str:
        if path == LOGOUT:
            return self.fresh()
        return self._other if path.startswith(CONSUMING) else self.token


def operations(document: dict[str, Any]) -> dict[str, list[APIOperation]]:
    """All operations of a document, by tag."""
    found: dict[str, list[APIOperation]] = {}
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        (tag,) = operation.tags or [""]
        found.setdefault(tag, []).append(operation)
    return found


@dataclass(frozen=True)
class Surface:
    """A gateway, and what is asked of it how often.

    `known`: names of parameters and of a body's members → what there is of that name; `whole`:
    operations → a query or a body that makes sense. Of the requests that keep the document's
    rules every second one has these, as what is made up is never there. The same `number`, the
    same requests.
    """

    url: str
    known: Mapping[str, Any]
    whole: Mapping[str, dict[str, Any]]
    examples: int
    number: int = 0

    def faults(self, operation: APIOperation, askers: Iterable[Asker]) -> list[str]:
        """Send requests that keep the document's rules, and such that break them, each as
        everybody who asks. What is wrong with the answers."""
        if not _has_rules(operation):
            # Without a parameter all would be alike.
            examples = self.examples if operation.path_parameters else 1
            return self._sent(operation, askers, GenerationMode.POSITIVE, examples)
        return [
            fault
            for mode in (GenerationMode.NEGATIVE, GenerationMode.POSITIVE)
            for fault in self._sent(operation, askers, mode, self.examples)
        ]

    def _sent(
        self, operation: APIOperation, askers: Iterable[Asker], mode: GenerationMode, examples: int
    ) -> list[str]:
        found: list[str] = []
        means_known = itertools.cycle((False, mode is GenerationMode.POSITIVE))

        @seed(self.number)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(mode))
        def each(case: Case) -> None:
            _tame(case)
            if next(means_known):
                self._ground(case)
            for asker in askers:
                found.extend(_faults_of(self.url, case, asker))

        try:
            each()
        except Unsatisfiable as error:
            found.append(f"{operation.label} {mode.name}: {error}"[:MAX_SAID_CHARS])
        return found

    def _ground(self, case: Case) -> None:
        for place in (case.path_parameters, case.query, case.body):
            if isinstance(place, dict):
                place.update({name: self.known[name] for name in place if name in self.known})
        for name in case.path_parameters.keys() & self.known.keys():
            case.path_parameters[name] = quote(self.known[name], safe="")
        whole = self.whole.get(case.operation.label)
        if whole is not None and case.method == "GET":
            case.query = whole
        elif whole is not None:
            case.body, case.media_type = whole, "application/json"


def _has_rules(operation: APIOperation) -> bool:
    """Whether a request could break any."""
    passed_on = "default" in operation.definition.raw["responses"]
    is_form = operation.label == "POST /mfa"  # of texts, which any form is
    return not passed_on and not is_form and bool(operation.body or operation.query)


def _faults_of(base_url: str, case: Case, asker: Asker) -> list[str]:
    label = case.operation.label
    headers = {"Authorization": f"Bearer {asker.token_for(case.operation.path)}"}
    try:
        answer = case.call(
            base_url, session=asker.session, headers=headers, timeout=30, allow_redirects=False
        )
    except (requests.exceptions.InvalidURL, UnicodeError):
        return []  # which no client can send
    asker.answers.setdefault(label, []).append(answer.status_code)
    try:
        case.validate_response(answer, checks=CHECKS)
    except BaseExceptionGroup as group:
        said = " ".join("; ".join(map(str, group.exceptions)).split())[:MAX_SAID_CHARS]
        return [f"{asker.role} {label} {answer.status_code}: {said}\n{case.as_curl_command()}"]
    return []


def _tame(case: Case) -> None:
    """Nobody shuts everybody out for good."""
    if case.operation.path.endswith("/ip-lists") and isinstance(case.body, dict):
        case.body.pop("confirm", None)
