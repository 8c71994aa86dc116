"""What people do with downloads: ask for one, cancel, try again; their keys for the sites."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts import crypto, errors, queries
from accounts.api.administration import require_trusted
from accounts.audit import audit
from accounts.capabilities import Capability
from accounts.identity import Identity
from accounts.models import User
from accounts.sentences import english
from downloads import bucket, folders, rights, wake
from downloads.errors import KeyUnreadable
from downloads.models import DownloadJob, SourceKey
from downloads.sites import source_of
from downloads.sources import SOURCES, BadWish, Source

MAX_ACTIVE_PER_USER = 50
LOCAL = "local"
S3 = "s3"
Status = DownloadJob.Status


class ApiKeyRequired(errors.BadRequest):
    code = "API_KEY_REQUIRED"
    sentence = english("This site needs a key of yours. Store one, then try again.")


class JobFinished(errors.BadRequest):
    code = "JOB_FINISHED"
    sentence = english("This download has ended already.")


class NotSetUp(errors.GatewayError):
    code = "DOWNLOADS_NOT_SET_UP"
    status = 503
    sentence = english(
        "Downloads are not set up: the administrator has to set COMFYUI_MODELS_DIR to a folder "
        "that is there."
    )


class S3Disabled(errors.PermissionDenied):
    code = "S3_DISABLED"
    sentence = english("Downloads to S3 are not set up.")


def enqueue(
    user: User, identity: Identity, data: Mapping[str, Any], *, ip: str | None = None
) -> DownloadJob:
    """Write down that somebody wants a model; a worker takes it up.

    Raises:
        NotSetUp, S3Disabled; BadRequest with `field`; ApiKeyRequired; PermissionDenied (for
        another user); NotFound: no such target; QuotaExceeded
    """
    destination_type = _destination_type(data.get("destination_type"))
    source = _source(data.get("source"))
    folder_type = _folder_type(data.get("folder_type"))
    try:
        wanted = source.parse(data)
    except BadWish as error:
        raise errors.BadRequest(error.sentence, field=error.field) from None
    target = _target(user, identity, data.get("target_username"))
    if source.needs_key and not SourceKey.objects.filter(user=target, source=source.name).exists():
        raise ApiKeyRequired
    with transaction.atomic():
        _require_room(user)
        job = DownloadJob.objects.create(
            user=user,
            target=target,
            source=source.name,
            wanted=wanted.as_dict(),
            folder_type=folder_type,
            destination_type=destination_type,
        )
        audit(
            "download.asked",
            actor=user,
            subject=target,
            ip=ip,
            job=str(job.pk),
            source=source.name,
            wanted=wanted.as_dict(),
        )
        transaction.on_commit(wake.workers)
    return job


def find(user: User, job_id: UUID, *, all_users: bool = False) -> DownloadJob:
    """A job of somebody's.

    Raises:
        NotFound: also for another's
    """
    rows = DownloadJob.objects.select_related("user", "target")
    if not all_users:
        rows = rows.filter(user=user)
    job = rows.filter(pk=job_id).first()
    if job is None:
        raise errors.NotFound(english("There is no such download."))
    return job


@transaction.atomic
def cancel(job: DownloadJob, *, actor: User, ip: str | None = None) -> DownloadJob:
    """Cancel a waiting job at once, have a running one stopped.

    Raises:
        JobFinished
    """
    row = DownloadJob.objects.select_for_update().get(pk=job.pk)
    if not row.is_active:
        raise JobFinished
    row.cancel_requested = True
    is_alive = row.lease_until is not None and row.lease_until >= timezone.now()
    if row.status == Status.QUEUED or not is_alive:
        row.status, row.finished_at = Status.CANCELLED, timezone.now()
        row.lease_owner, row.lease_until, row.speed_bps = "", None, 0
    row.save()
    audit("download.cancelled", actor=actor, subject=row.user, ip=ip, job=str(row.pk))
    # What a worker that died left on the disk is removed by the next that looks.
    transaction.on_commit(wake.workers)
    return row


@transaction.atomic
def retry(
    job: DownloadJob, *, actor: User, identity: Identity | None, ip: str | None = None
) -> DownloadJob:
    """Have a failed or cancelled job tried again; what is there of it is gone on with.

    Args:
        identity: how `actor` came in; their token may be limited

    Raises:
        BadRequest: it waits, runs or is done
        PermissionDenied: who asked for it, or who asks now, may not have it run any more
        QuotaExceeded
    """
    if reason := rights.may_run(job):
        raise errors.PermissionDenied(reason)
    if job.target_id != job.user_id and identity is not None:
        _require_giving(actor, identity)
    _require_room(job.user)
    row = DownloadJob.objects.select_for_update().get(pk=job.pk)
    if row.status not in (Status.FAILED, Status.CANCELLED):
        raise errors.BadRequest(
            english("Only a download that failed or was cancelled can be tried again.")
        )
    row.status, row.error, row.error_parts, row.error_code = Status.QUEUED, "", None, ""
    row.cancel_requested, row.attempts, row.not_before = False, 0, None
    row.finished_at = row.started_at = None
    row.save()
    audit("download.retried", actor=actor, subject=row.user, ip=ip, job=str(row.pk))
    transaction.on_commit(wake.workers)
    return row


def _require_room(user: User) -> None:
    """Raises QuotaExceeded for who has too much waiting. Whoever asks at the same time waits
    here, until this one's transaction is over."""
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    active = DownloadJob.objects.filter(user=user, status__in=DownloadJob.ACTIVE).count()
    if active >= MAX_ACTIVE_PER_USER:
        raise errors.QuotaExceeded(
            english(
                "You have %(number)s downloads waiting or running. Wait for one to end.",
                number=active,
            )
        )


def sources_with_keys(user: User) -> list[str]:
    """The sites that a user has stored a key for."""
    rows = SourceKey.objects.filter(user=user).order_by("source")
    return list(rows.values_list("source", flat=True))


@transaction.atomic
def set_key(user: User, source: str, key: str, *, ip: str | None = None) -> None:
    """Store a user's key for a site; an empty one removes it.

    Raises:
        BadRequest with `field`
    """
    key = checked_key(source, key)
    if key:
        SourceKey.objects.update_or_create(
            user=user,
            source=source,
            defaults={"value": crypto.encrypt(key), "updated_at": timezone.now()},
        )
    else:
        SourceKey.objects.filter(user=user, source=source).delete()
    event = "download.key_stored" if key else "download.key_removed"
    audit(event, actor=user, subject=user, ip=ip, source=source)


def checked_key(source: str, key: str) -> str:
    """A key as it is stored.

    Raises:
        BadRequest with `field`: it can be no key of that site, or there is no such site
    """
    _source(source)
    key = key.strip()
    if len(key) > 500 or not key.isascii() or not (key == "" or key.isprintable()) or " " in key:
        raise errors.BadRequest(english("This is no key of that site."), field="api_key")
    return key


def import_key(user: User, source: str, key: str) -> None:
    """Store the key that a new user had in a former installation, as `checked_key` returned it."""
    SourceKey.objects.create(user=user, source=source, value=crypto.encrypt(key))
    audit("download.key_stored", subject=user, source=source)


def key_of(user_id: int, source: str) -> str | None:
    """The key itself, for the worker; None: there is none.

    Raises:
        KeyUnreadable: going on without it would look like a refusal of the site
    """
    row = SourceKey.objects.filter(user=user_id, source=source).first()
    if row is None:
        return None
    try:
        return crypto.decrypt(row.value)
    except crypto.DecryptionError:
        raise KeyUnreadable from None


def _source(name: Any) -> Source:
    if not isinstance(name, str) or name not in SOURCES:
        raise errors.BadRequest(f"source is one of {', '.join(SOURCES)}.", field="source")
    return source_of(name)


def destination_types() -> list[str]:
    """Where downloads can go to here."""
    return [LOCAL] * bool(folders.all_folders()) + [S3] * bucket.is_set_up()


def _destination_type(given: Any) -> str:
    if given not in (None, "", LOCAL, S3):
        raise errors.BadRequest("destination_type is local or s3.", field="destination_type")
    wanted = given or LOCAL
    if wanted not in destination_types():
        raise S3Disabled if wanted == S3 else NotSetUp
    return str(wanted)


def _folder_type(given: Any) -> str:
    """The folder that is asked for, as it is called now; empty: as the source says."""
    if given in (None, ""):
        return ""
    found = folders.named(given) if isinstance(given, str) else None
    if found is None:
        raise errors.BadRequest(english("There is no such model folder."), field="folder_type")
    return found


def _target(user: User, identity: Identity, name: Any) -> User:
    if name in (None, "") or name == user.username:
        return user
    if not isinstance(name, str) or not name.isprintable():
        raise errors.BadRequest("target_username must be text.", field="target_username")
    _require_giving(user, identity)
    found = queries.user_by_name(name)
    if found is None or not found.is_active:
        raise errors.NotFound("There is no such user.")
    if not rights.ranks_enough(user, found):
        raise errors.PermissionDenied(
            english("They rank above you: their key is not yours to use.")
        )
    return found


def _require_giving(user: User, identity: Identity) -> None:
    """As whoever shares models over the API. Raises PermissionDenied."""
    identity.require(Capability.MANAGE_MODEL_SHARING)
    require_trusted(user, identity)
