"""Somebody's file as a download from one of our own pages."""

from django.http import HttpResponse
from django.utils.http import content_disposition_header


def as_download(path: str, data: bytes) -> HttpResponse:
    """Somebody's file as an answer that no browser runs."""
    response = HttpResponse(
        data,
        content_type="application/octet-stream",
        headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"},
    )
    name = path.rpartition("/")[2]
    response.headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return response
