"""Pictures for people to judge: which there are, what is known of each, what they decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asgiref.sync import async_to_sync
from django.db.models import F, OuterRef, Prefetch, Q, QuerySet, Subquery

from accounts.audit import audit
from accounts.errors import GatewayError
from accounts.models import User
from comfyproxy import nsfwpolicy, quarantine, scoring, verdicts
from comfyproxy.files import FileRef
from comfyproxy.models import ContentVerdict, FileContent, FileOwner, FileRecord
from comfyproxy.nsfw.kinds import Kind, kind_of_name
from comfyproxy.nsfw.standing import Decision, Policy, decide

PICTURE_SUFFIXES: Final = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".bmp", ".ico", ".tif", ".tiff"),
    *(".jxl", ".heic", ".svg", ".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".ogv"),
)
STATES: Final = {
    "": "all",
    "explicit": "explicit",
    "safe": "not explicit",
    "unknown": "not judged",
    "tagged": "judged by people",
    "quarantined": "in quarantine",
}
Tag = ContentVerdict.Tag


@dataclass(frozen=True, slots=True)
class Picture:
    """One file on the page. `state` is one of STATES' keys, as it is now."""

    record: FileRecord
    content: ContentVerdict | None
    owners: str
    state: str

    @property
    def ref(self) -> FileRef:
        return self.record.ref

    @property
    def is_video(self) -> bool:
        return kind_of_name(self.record.filename) is Kind.VIDEO

    @property
    def percent(self) -> int | None:
        if self.content is None or self.content.score is None:
            return None
        return round(100 * self.content.score)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the page is to show: files of one user (empty: of all), in one of STATES, with a
    score from so many percent on, of these of ComfyUI's folders."""

    types: Sequence[str]
    username: str = ""
    state: str = ""
    percent: int | None = None


def files(wanted: Wanted) -> QuerySet[FileRecord]:
    """The files, newest first."""
    latest = FileContent.objects.filter(file=OuterRef("pk")).order_by("-seen_at", "-pk")
    named = Q()
    for suffix in PICTURE_SUFFIXES:
        named |= Q(filename__iendswith=suffix)
    rows = (
        FileRecord.objects.filter(named, type__in=wanted.types, former=None)
        .annotate(latest=Subquery(latest.values("content")[:1]))
        .order_by("-created_at", "-pk")
    )
    if wanted.username:
        mine = FileOwner.objects.filter(user__username__iexact=wanted.username)
        rows = rows.filter(pk__in=mine.values("file"))
    contents = _contents(wanted)
    if contents is not None:
        rows = rows.filter(latest__in=contents.values("pk"))
    if wanted.state == "quarantined":
        return rows.filter(quarantined_at__isnull=False)
    if wanted.state == "unknown":
        judged = _explicit() | _safe()
        rows = rows.exclude(latest__in=judged.values("pk")) | rows.filter(latest=None)
    return rows.filter(quarantined_at=None)


def _contents(wanted: Wanted) -> QuerySet[ContentVerdict] | None:
    chosen = {
        "explicit": _explicit,
        "safe": _safe,
        "tagged": lambda: ContentVerdict.objects.exclude(tag=""),
    }.get(wanted.state)
    found = chosen() if chosen is not None else None
    if wanted.percent is not None:
        found = ContentVerdict.objects.all() if found is None else found
        found = found.filter(score__gte=wanted.percent / 100)
    return found


def _scored() -> QuerySet[ContentVerdict]:
    """Contents whose score counts: nobody tagged them, and the classifier is the present one."""
    name, version = nsfwpolicy.policy_now().classifier or ("", "")
    return ContentVerdict.objects.filter(
        tag="", score__isnull=False, classifier=name, classifier_version=version
    )


def _explicit() -> QuerySet[ContentVerdict]:
    scored = _scored().filter(score__gte=nsfwpolicy.policy_now().threshold)
    return scored | ContentVerdict.objects.filter(tag=Tag.NSFW)


def _safe() -> QuerySet[ContentVerdict]:
    scored = _scored().filter(score__lt=nsfwpolicy.policy_now().threshold)
    return scored | ContentVerdict.objects.filter(tag=Tag.SAFE)


def pictures(rows: QuerySet[FileRecord]) -> list[Picture]:
    """A page of files with what is known of each, in a fixed number of queries."""
    owners = FileOwner.objects.select_related("user").order_by("user__username")
    records = list(rows.prefetch_related(Prefetch("owners", owners)).annotate(now=F("latest")))
    hashes = [record.now for record in records if record.now]
    contents = ContentVerdict.objects.in_bulk(hashes)
    policy = nsfwpolicy.policy_now()
    found = []
    for record in records:
        content = contents.get(record.now)
        names = dict.fromkeys(row.user.username for row in record.owners.all())
        found.append(Picture(record, content, ", ".join(names), _state(record, content, policy)))
    return found


def _state(record: FileRecord, content: ContentVerdict | None, policy: Policy) -> str:
    if record.quarantined_at is not None:
        return "quarantined"
    standing = None if content is None else verdicts.standing_of(content)
    if standing is None or (not standing.tag and standing.score is None):
        return "unknown"
    decision = decide(standing, policy)
    return {Decision.BLOCK: "explicit", Decision.SHOW: "safe"}.get(decision, "unknown")


# --- what people decide -------------------------------------------------------------------------


def tag(records: Sequence[int], value: str, *, actor: User, ip: str | None) -> tuple[int, int]:
    """Tag the contents of files: (files tagged, files that ComfyUI does not have any more)."""
    hashes, missing = {}, 0
    for record in FileRecord.objects.filter(pk__in=records):
        sha256 = _content_now(record)
        if sha256 is None:
            missing += 1
        else:
            hashes[record.pk] = sha256
    verdicts.tag(list(hashes.values()), value, actor)
    audit("nsfw.tagged", actor=actor, ip=ip, files=sorted(hashes), tag=value)
    return len(hashes), missing


def _content_now(record: FileRecord) -> str | None:
    """The hash of a file as it is, or as it was last if ComfyUI cannot be asked."""
    known = FileContent.objects.filter(file=record).order_by("-seen_at", "-pk")
    try:
        found = async_to_sync(scoring.hash_of)(record.ref)
    except GatewayError:
        return known.values_list("content_id", flat=True).first()
    return None if found is None else found.sha256


def put_away(records: Sequence[int], *, actor: User, ip: str | None) -> int:
    """Put files into quarantine; how many."""
    number = quarantine.put(records)
    audit("nsfw.quarantined", actor=actor, ip=ip, files=sorted(records))
    return number


def give_back(records: Sequence[int], *, actor: User, ip: str | None) -> int:
    """Take files out of quarantine; how many."""
    number = quarantine.restore(records)
    audit("nsfw.restored", actor=actor, ip=ip, files=sorted(records))
    return number
