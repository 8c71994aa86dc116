"""The document itself: made when somebody first asks, and kept until the process ends."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import yaml
from django.utils import translation

_making = Lock()


@dataclass(frozen=True, slots=True)
class Document:
    """The same document in both spellings, and what tells whether a client has it."""

    json: bytes
    yaml: bytes
    etag: str


def document() -> Document:
    """The document. The first call takes about a second, in whose thread it is."""
    with _making:
        return _made()


@cache
def _made() -> Document:
    # Here, because it is not small, and most processes never need it.
    from drf_spectacular.generators import SchemaGenerator

    # The language of whoever comes first is nobody else's.
    with translation.override("en"):
        schema: Any = SchemaGenerator().get_schema(request=None, public=True)
    as_json = json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode()
    # Through JSON, which leaves nothing that YAML would spell in its own way.
    as_yaml = yaml.dump(
        json.loads(as_json), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    ).encode()
    return Document(as_json, as_yaml, hashlib.sha256(as_json).hexdigest()[:24])


# LibYAML's is ten times as fast.
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
