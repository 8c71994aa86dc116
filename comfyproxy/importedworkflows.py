"""Workflows that users had saved in a former installation: into their trees here.

MSS-Login and Usgromana keep them in Users/<name>/workflows (utils/user_env.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from django.conf import settings

from accounts.errors import GatewayError
from accounts.mssimport.folder import Folder, Unreadable
from accounts.mssimport.reading import Left
from comfyproxy import erasure
from comfyproxy.userdata import trees
from comfyproxy.userdata.limits import Limits
from comfyproxy.userdata.names import WORKFLOWS, collision_key, parse

ENDING: Final = ".json"


@dataclass
class Workflows:
    """One user's. `files`: where each goes, and its name in the former folder."""

    namespace: str
    files: dict[str, str] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)


def find(folder: Folder, people: str | None, name: str, namespace: str) -> Workflows:
    """What the user of that former name had saved, as far as it can be kept here.

    Raises:
        Unreadable: there is too much
    """
    found = Workflows(namespace)
    place = f"{people}/{name}/{WORKFLOWS}"
    if people is None or name in (".", "..") or not folder.has(place):
        return found
    limits, size = Limits.of_settings(), 0
    keys: set[str] = set()
    for path in folder.files(place):
        try:
            if not path.lower().endswith(ENDING):
                raise Unreadable("Only workflows are taken over.")
            target = parse(f"{WORKFLOWS}/{path}")
            key = collision_key(target)
            if key in keys:
                raise Unreadable("Another differs from it in capitals or accents only.")
            size += len(folder.read(f"{place}/{path}", limits.file_bytes))
            if len(keys) >= limits.files or size > limits.bytes:
                raise Unreadable("The user has more than fits into MSS_USERDATA_MB and _FILES.")
        except (Unreadable, GatewayError) as error:
            found.left.append(Left(f"workflow {path} of {name}", str(error)))
            continue
        keys.add(key)
        found.files[target] = f"{place}/{path}"
    return found


def save(folder: Folder, workflows: Iterable[Workflows]) -> None:
    """Write them into trees of users that are about to be made.

    Raises:
        Unreadable, GatewayError: something changed meanwhile, or no room is left
    """
    limit = Limits.of_settings().file_bytes
    for each in workflows:
        tree = trees.of_user(each.namespace)
        for target, name in each.files.items():
            tree.write(target, folder.read(name, limit))


def remove(workflows: Iterable[Workflows]) -> None:
    """Take back what `save` wrote."""
    for each in workflows:
        if each.files:
            erasure.remove_namespace(settings.USERDATA_DIR, each.namespace)
