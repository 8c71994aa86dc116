"""What the admin's page of a user tells of their downloads."""

from typing import Any, Final

from django.db.models import Q
from django.http import HttpRequest

from accounts.admin_usertabs import MAX_ROWS, Tab
from accounts.models import User
from downloads.models import DownloadJob, SourceKey


def _downloads(request: HttpRequest, user: User) -> dict[str, Any]:
    rows = DownloadJob.objects.filter(Q(user=user) | Q(target=user)).select_related("target")
    return {
        "jobs": rows[:MAX_ROWS],
        "keys": SourceKey.objects.filter(user=user).values_list("source", flat=True),
    }


DOWNLOADS: Final = Tab(
    "downloads",
    "Downloads",
    "downloads.DownloadJob",
    "admin/accounts/user/tabs/downloads.html",
    "Models this user asked for or received, the latest first.",
    _downloads,
)
