"""May this caller see that file? Every gate that is given a file's name asks here."""

from accounts.errors import NotFound
from accounts.identity import Identity
from comfyproxy import filerecords, fileversions, quarantine, reconcile, tombstones
from comfyproxy.files import FileRef, is_own, namespace_of
from comfyproxy.prompts.mapping import candidates
from comfyproxy.sharing import sees_files, shares


async def resolve(ref: FileRef, identity: Identity, *, moves_outputs: bool = False) -> FileRef:
    """The file that a caller means and may see.

    One that a prompt of theirs made is meant as it stands. Any other input or temp name
    without a namespace is the caller's own file if there is one; with `moves_outputs` (in
    prompts) an output's too.

    Raises:
        NotFound: also for what is another's, what went with a deleted user, and what
            administrators put in quarantine
        UpstreamUnreachable, UpstreamTimeout
    """
    chosen = await _resolve(ref, identity, moves_outputs)
    if await quarantine.hides(chosen, identity):
        raise NotFound
    return chosen


async def _resolve(ref: FileRef, identity: Identity, moves_outputs: bool) -> FileRef:
    recordable = ref.type != "input" and namespace_of(ref.subfolder) is None
    if recordable and await _is_recorded(ref, identity):
        return ref
    chosen = await _by_path(ref, identity, moves_outputs=moves_outputs)
    if recordable and chosen != ref and await _turns_up(ref, identity):
        return ref
    if chosen is None or await _went_with_user(chosen, identity):
        raise NotFound
    return chosen


async def _is_recorded(ref: FileRef, identity: Identity) -> bool:
    """Whether the file, as it is now, is the caller's; or, where outputs are shared, was made
    by anybody's prompt."""
    whose = None if shares(identity) else identity.user_id
    known = await filerecords.versions_of(ref, whose)
    if not known:
        return False
    present = await fileversions.version_of(ref.filename, ref.subfolder, ref.type)
    return present is not None and present.tag in known


async def _went_with_user(ref: FileRef, identity: Identity) -> bool:
    """Whether it was a deleted user's whose files were to go: nobody sees it, wherever it may
    still lie. Of the caller's own nothing is asked."""
    if is_own(ref, identity.namespace):
        return False
    namespace = namespace_of(ref.path)
    if namespace is not None:
        return await tombstones.covers_namespace(namespace)
    return ref.type != "input" and await tombstones.covers_file(ref)


async def _by_path(ref: FileRef, identity: Identity, *, moves_outputs: bool) -> FileRef | None:
    """What the path and the caller's rights say. What comes last needs no look: if it does not
    exist either, ComfyUI says so."""
    sees_all = sees_files(identity, ref.type)
    found = candidates(ref, identity.namespace, sees_all=sees_all)
    if ref.type == "output" and not moves_outputs:
        found = tuple(option for option in found if option == ref)
    for option in found[:-1]:
        if await fileversions.exists(option.filename, option.subfolder, option.type):
            return option
    return found[-1] if found else None


async def _turns_up(ref: FileRef, identity: Identity) -> bool:
    """Whether the file comes from a prompt of the caller's whose end was missed: for one that
    nobody knows, ComfyUI's history is asked once."""
    await reconcile.settle_soon(identity.user_id)
    return await _is_recorded(ref, identity)
