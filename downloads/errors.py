"""Why a download cannot go on, in a sentence for its person and a code for programs.

A `DownloadError` is not a refusal of the gateway's own (`accounts.errors`): it is written into
the job, minutes after the request was answered. Its sentence therefore says what to do next.
"""

from accounts.sentences import english


class DownloadError(Exception):
    """A download, or a question to a source, that failed.

    `permanent` says that trying again is of no use until somebody does something. What passes by
    itself is tried again by `downloads.retry`: after `retry_after` seconds where the source named
    them, and no more than `tries` times in a row where this kind of failure rarely passes.
    """

    code: str = "SOURCE_REFUSED"
    permanent: bool = True
    tries: int | None = None
    # Whether what has arrived is kept, for the next try.
    keeps_part: bool = True
    sentence: str = english("The site refused the download.")

    def __init__(
        self,
        sentence: str | None = None,
        *,
        code: str | None = None,
        permanent: bool | None = None,
        retry_after: float | None = None,
        tries: int | None = None,
    ) -> None:
        self.sentence = sentence or type(self).sentence
        self.code = code or type(self).code
        self.permanent = type(self).permanent if permanent is None else permanent
        self.retry_after = retry_after
        self.tries = tries if tries is not None else type(self).tries
        super().__init__(self.sentence)


class SourceRefused(DownloadError):
    """The site said no, and nothing that is known here would change its mind."""


class NeedsLogin(DownloadError):
    code = "NEEDS_LOGIN"
    sentence = english("The site asks for a login: store an API key of yours, then try again.")


class KeyUnreadable(NeedsLogin):
    """SECRET_KEY changed, and nobody kept the former one or ran `rotate_secrets`."""

    code = "API_KEY_REQUIRED"
    sentence = english(
        "The key that is stored for this site cannot be read any more. Store it anew, then try "
        "again."
    )


class NeedsTerms(DownloadError):
    code = "NEEDS_TERMS"
    sentence = "The model's terms must be accepted on its page first; then try again."


class NotFound(DownloadError):
    code = "NOT_FOUND"
    sentence = english("The site has no such model or file. Check the id or the name.")


class NoSuchFile(DownloadError):
    """The model is there, but the wish fits none of its files, or several."""

    code = "NO_SUCH_FILE"
    sentence = english("None of the model's files is the one asked for.")


class WrongContent(DownloadError):
    code = "WRONG_CONTENT"
    keeps_part = False
    sentence = english(
        "The site sent something else than the model. Nothing was kept; try again later."
    )


class DiskFull(DownloadError):
    code = "DISK_FULL"
    # Kept, it would leave no room for anybody.
    keeps_part = False
    sentence = english(
        "The server's disk is full. Have the administrator make room, then try again."
    )


class NotWritable(DownloadError):
    code = "NOT_WRITABLE"
    sentence = english("The server may not write into the models folder. Tell the administrator.")


class Stalled(DownloadError):
    code = "STALLED"
    permanent = False
    sentence = english("The site stopped sending. Try again later; what has arrived is kept.")


class Cancelled(DownloadError):
    code = "CANCELLED"
    keeps_part = False
    sentence = english("The download was cancelled.")


class NotAllowed(DownloadError):
    """Somebody's rights ended, or their account, after this was asked for."""

    code = "PERMISSION_DENIED"
    keeps_part = False
    sentence = english("Who asked for this may not download models any more.")


class UnsafeFormat(DownloadError):
    code = "UNSAFE_FORMAT"
    sentence = english(
        "Files of this format can run programs on the server and are not allowed here. "
        "Choose a .safetensors file."
    )


class BlockedAddress(DownloadError):
    """An address that no download may be fetched from: private, local, or not over HTTPS."""

    code = "BLOCKED_ADDRESS"
    sentence = english(
        "The download leads to an address that is not on the public Internet. Stopped."
    )


class SourceBusy(DownloadError):
    code = "SOURCE_BUSY"
    permanent = False
    sentence = english("The site takes no more requests for now. Try again later.")


class SourceDown(DownloadError):
    code = "SOURCE_DOWN"
    permanent = False
    sentence = english(
        "The site does not answer properly. Try again later; what has arrived is kept."
    )


class InUse(DownloadError):
    """Another process still writes the same part: at most one may."""

    code = "IN_USE"
    permanent = False
    sentence = english("Another worker is still at this download. Try again in a minute.")
