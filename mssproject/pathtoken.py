"""/t/<token>/…: an API token in the address, for apps that take nothing but a base URL.

The request goes on as one for the rest of the path; the token goes on in a header that only
the entry can write. So no log line, redirect or upstream request has it: they never see it.
"""

import re
from typing import Final

from accounts.credentials import PATH_TOKEN
from comfyproxy.asgitypes import Scope

SEGMENT: Final = "t"
_FORM: Final = re.compile(rb"(/t/([A-Za-z0-9_-]{1,200}))(/.*)?", re.DOTALL)
# No token has this form, so it is refused like any bad one.
_NONE: Final = b""


def take_out(scope: Scope) -> bool:
    """Move the token from the path of `scope`, which is changed, into the header; whether the
    request is one below /t/. Another form than that of a token, or a second one in the rest,
    becomes a token that is not valid."""
    raw: bytes = scope["raw_path"]
    headers = [pair for pair in scope["headers"] if pair[0] != PATH_TOKEN]
    scope["headers"] = headers
    if not _is_below(raw):
        return False
    found = _FORM.fullmatch(raw)
    if found is None or _is_below(found[3] or b"/"):
        refuse(scope)
        return True
    headers.append((PATH_TOKEN, found[2]))
    scope["path"] = scope["path"].removeprefix(found[1].decode()) or "/"
    scope["raw_path"] = found[3] or b"/"
    return True


def refuse(scope: Scope) -> None:
    """Make of it a request with a token that is not valid, without the path: what is in there
    may be a token all the same, in a spelling that does not count."""
    scope["headers"] = [pair for pair in scope["headers"] if pair[0] != PATH_TOKEN]
    scope["headers"].append((PATH_TOKEN, _NONE))
    scope["path"], scope["raw_path"] = "/", b"/"


def _is_below(raw: bytes) -> bool:
    return raw.startswith(b"/t/") or raw == b"/t"
