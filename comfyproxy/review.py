"""Pictures for people to judge: which there are, what is known of each, what they decide."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from asgiref.sync import async_to_sync
from django.db.models import F, OuterRef, Prefetch, Q, QuerySet, Subquery

from accounts.audit import audit
from accounts.errors import GatewayError
from accounts.models import User
from comfyproxy import fileversions, nsfwpolicy, quarantine, scoring, verdicts
from comfyproxy.files import FileRef
from comfyproxy.models import ContentVerdict, FileContent, FileOwner, FileRecord
from comfyproxy.nsfw.kinds import Kind, kind_of_name
from comfyproxy.nsfw.standing import Decision, Policy, decide
from comfyproxy.shownfiles import address_of

# A page waits no longer until ComfyUI tells which versions there are of what nobody looked at.
VERSION_SECONDS: Final = 3.0
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
    """One file on the page. `state` is one of STATES' keys, as it is now; `version` is the one
    that is shown, empty if nobody can tell."""

    record: FileRecord
    content: ContentVerdict | None
    owners: str
    state: str
    version: str

    @property
    def ref(self) -> FileRef:
        return self.record.ref

    @property
    def address(self) -> str:
        """Where it is shown. Another version has another: a browser may keep what it has seen."""
        return f"{address_of(self.ref)}&{urlencode({'v': self.version})}"

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
        .annotate(
            latest=Subquery(latest.values("content")[:1]),
            latest_version=Subquery(latest.values("version")[:1]),
        )
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
    rows = rows.prefetch_related(Prefetch("owners", owners))
    records = list(rows.annotate(now=F("latest"), version=F("latest_version")))
    hashes = [record.now for record in records if record.now]
    asked = _versions([record for record in records if not record.version])
    contents = ContentVerdict.objects.in_bulk(hashes)
    policy = nsfwpolicy.policy_now()
    found = []
    for record in records:
        content = contents.get(record.now)
        names = dict.fromkeys(row.user.username for row in record.owners.all())
        state = _state(record, content, policy)
        version = record.version or asked[record.pk]
        found.append(Picture(record, content, ", ".join(names), state, version))
    return found


def _versions(records: Sequence[FileRecord]) -> dict[int, str]:
    """Which version of each file ComfyUI has now; empty where it does not tell."""

    async def version(ref: FileRef) -> str:
        try:
            async with asyncio.timeout(VERSION_SECONDS):
                found = await fileversions.version_of(ref.filename, ref.subfolder, ref.type)
        except (GatewayError, TimeoutError):
            return ""
        return "" if found is None else found.tag

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(version(record.ref) for record in records))

    told = async_to_sync(all_of_them)() if records else []
    return dict(zip((record.pk for record in records), told, strict=True))


def _state(record: FileRecord, content: ContentVerdict | None, policy: Policy) -> str:
    if record.quarantined_at is not None:
        return "quarantined"
    standing = None if content is None else verdicts.standing_of(content)
    if standing is None or (not standing.tag and standing.score is None):
        return "unknown"
    decision = decide(standing, policy)
    return {Decision.BLOCK: "explicit", Decision.SHOW: "safe"}.get(decision, "unknown")


# --- what people decide -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tagged:
    """How many files were tagged; how many are not there any more; how many are others by now
    than whoever tagged them saw, and were left as they are."""

    number: int
    missing: int
    changed: int


def tag(seen: Mapping[int, str], value: str, *, actor: User, ip: str | None) -> Tagged:
    """Tag the contents of files. `seen`: file → the version that was looked at; a tag is for that,
    not for what its owner has put in its place."""
    hashes, missing, changed = {}, 0, 0
    for record in FileRecord.objects.filter(pk__in=seen):
        now = _content_now(record, actor)
        if now is None:
            missing += 1
        elif now.version != seen[record.pk]:
            changed += 1
        else:
            hashes[record.pk] = now.content_id
    verdicts.tag(list(hashes.values()), value, actor)
    audit("nsfw.tagged", actor=actor, ip=ip, files=sorted(hashes), tag=value)
    return Tagged(len(hashes), missing, changed)


def _content_now(record: FileRecord, actor: User) -> FileContent | None:
    """What a file is, or was last if ComfyUI cannot be asked."""
    try:
        if async_to_sync(scoring.hash_of)(record.ref, actor.pk) is None:
            return None
    except GatewayError:
        pass
    return FileContent.objects.filter(file=record).order_by("-seen_at", "-pk").first()


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
