"""The bytes of a file that was judged, passed on only as long as it is the file that was judged.

ComfyUI writes over a file in its place (`/upload/*` with `overwrite`, 0.3.64): whoever reads slowly
would be sent another content behind the verdict on the first.
"""

from collections.abc import AsyncIterator
from typing import Final

from accounts.errors import UpstreamBroke
from comfyproxy import fileversions, upstream
from comfyproxy.files import FileRef

# So much is read before any of it is sent, and sent after a look at the version. What is no larger
# is read at once, however slow its reader is, and costs no look.
PIECE_BYTES: Final = 2 * 1024 * 1024


class SameVersion:
    """ComfyUI's answer with the file `ref` in the version `tag`."""

    def __init__(self, answer: upstream.UpstreamStream, ref: FileRef, tag: str) -> None:
        self._answer, self._ref, self._tag = answer, ref, tag

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body.

        Raises:
            UpstreamBroke: the file is another meanwhile
            UpstreamUnreachable, UpstreamTimeout
        """
        held: list[bytes] = []
        size, is_checked = 0, False
        async for piece in self._answer.chunks():
            held.append(piece)
            size += len(piece)
            if size >= PIECE_BYTES:
                await self._require_same()
                for each in held:
                    yield each
                held, size, is_checked = [], 0, True
        if is_checked and held:
            await self._require_same()
        for each in held:
            yield each

    def close(self) -> None:
        self._answer.close()

    async def _require_same(self) -> None:
        ref = self._ref
        now = await fileversions.version_of(ref.filename, ref.subfolder, ref.type)
        if now is None or now.tag != self._tag:
            raise UpstreamBroke("The file was replaced while it was sent.")
