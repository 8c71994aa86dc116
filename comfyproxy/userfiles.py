"""What a user sees of the files: their own, and below `workflows` those that all share.

Three layers, the upper hiding what has the same name below it: the user's own tree; the shared
tree, which administrators change; ComfyUI's own workflows, which nobody changes. Saving always
goes to the own tree.
"""

import asyncio
from typing import Final

from accounts import errors
from accounts.capabilities import ADMIN_RANK, Capability
from accounts.identity import Identity
from accounts.sentences import english
from comfyproxy import comfyworkflows
from comfyproxy.userdata import trees
from comfyproxy.userdata.entries import Entry, is_below
from comfyproxy.userdata.names import is_workflow

_NOT_YOURS: Final = english("This workflow is shared by all: only an administrator may change it.")
_COMFYUIS: Final = english("This workflow is ComfyUI's own: it can be opened, but not changed.")


def require_change(identity: Identity, *paths: str) -> None:
    """Whether the caller may change these files: the one place that says so.

    Raises:
        PermissionDenied
    """
    if identity.shared:
        raise errors.PermissionDenied(
            english("Guests share one account: nothing can be saved in it.")
        )
    if any(map(is_workflow, paths)):
        identity.require(Capability.MODIFY_WORKFLOWS)


def may_change_shared(identity: Identity) -> bool:
    """Whether the caller may change what all share."""
    return identity.rank >= ADMIN_RANK and identity.can(Capability.MODIFY_WORKFLOWS)


async def entries(identity: Identity, folder: str) -> list[Entry]:
    """All files in a folder and further down, each name once."""
    own = await asyncio.to_thread(trees.of_user(identity.namespace).files, folder)
    if folder and not is_workflow(folder):
        return own
    shared = await asyncio.to_thread(trees.shared().files, folder)
    found = dict(await comfyworkflows.listed())
    found |= {entry.path: entry for entry in shared if is_workflow(entry.path)}
    found |= {entry.path: entry for entry in own}
    return [entry for path, entry in found.items() if is_below(path, folder)]


async def read(identity: Identity, path: str) -> tuple[Entry, bytes]:
    """A file and what is in it.

    Raises:
        NotFound, UpstreamUnreachable, UpstreamTimeout
    """
    for tree in _trees(identity, path):
        try:
            return await asyncio.to_thread(tree.read, path)
        except errors.NotFound:
            continue
    if not is_workflow(path):
        raise errors.NotFound
    return await comfyworkflows.read(path)


async def is_file(identity: Identity, path: str) -> bool:
    """Whether the caller sees a file of that name."""
    for tree in _trees(identity, path):
        if await asyncio.to_thread(tree.file, path) is not None:
            return True
    return is_workflow(path) and path in await comfyworkflows.listed()


async def save(identity: Identity, path: str, data: bytes, *, overwrite: bool) -> Entry:
    """Save a file of the caller's own.

    Raises:
        PermissionDenied; Conflict: the caller sees one of that name and `overwrite` is false
        as `Tree.write`
    """
    require_change(identity, path)
    if not overwrite:
        await _require_unseen(identity, path)
    tree = trees.of_user(identity.namespace)
    return await asyncio.to_thread(tree.write, path, data, overwrite=overwrite)


async def delete(identity: Identity, path: str) -> None:
    """Delete a file: the caller's own, else the shared one of that name.

    Raises:
        PermissionDenied, NotFound; BadRequest: it is a folder
    """
    require_change(identity, path)
    own = trees.of_user(identity.namespace)
    try:
        return await asyncio.to_thread(own.delete, path)
    except errors.NotFound:
        await _require_shared(identity, path)
    await asyncio.to_thread(trees.shared().delete, path)


async def move(identity: Identity, source: str, target: str, *, overwrite: bool) -> Entry:
    """Give a file or folder another name: the caller's own, else, within what all share, the
    shared one of that name.

    Raises:
        PermissionDenied, NotFound, Conflict, BadRequest: as `Tree.move`
    """
    require_change(identity, source, target)
    own = trees.of_user(identity.namespace)
    if not await asyncio.to_thread(own.has, source):
        await _require_shared(identity, source)
        if not is_workflow(target):
            raise errors.BadRequest(english("A shared workflow stays among the workflows."))
        return await asyncio.to_thread(trees.shared().move, source, target, overwrite=overwrite)
    if not overwrite and source != target:
        await _require_unseen(identity, target)
    return await asyncio.to_thread(own.move, source, target, overwrite=overwrite)


def _trees(identity: Identity, path: str) -> list[trees.Tree]:
    own = trees.of_user(identity.namespace)
    return [own, trees.shared()] if is_workflow(path) else [own]


async def _require_unseen(identity: Identity, path: str) -> None:
    if await is_file(identity, path):
        raise trees.file_exists(path)


async def _require_shared(identity: Identity, path: str) -> None:
    """That all share something of that name, and the caller may change it.

    Raises:
        NotFound, PermissionDenied
    """
    if not is_workflow(path):
        raise errors.NotFound
    if await asyncio.to_thread(trees.shared().has, path):
        if not may_change_shared(identity):
            raise errors.PermissionDenied(_NOT_YOURS)
    elif any(known == path or is_below(known, path) for known in await comfyworkflows.listed()):
        raise errors.PermissionDenied(_COMFYUIS)
    else:
        raise errors.NotFound
