"""Model downloads: for apps, and for the gateway's own page."""

from typing import Final

from downloads.sources import SOURCES
from mssproject.openapi.operation import FORM, JSON, Operation, Operations, Query, moved, ok, page
from mssproject.openapi.shapes import (
    ANY,
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    UUID,
    Shape,
    always,
    array,
    mapping,
    nullable,
    obj,
    one_of,
    ref,
    said,
)

TAG: Final = "Model downloads"

_ID: Final[Shape] = said("A number, also as text.", {"type": ["integer", "string"]})
_COUNTED: Final = (
    *("active_total", "pending_total", "limit_total"),
    *(f"{kind}_{source}" for source in SOURCES for kind in ("active", "limit")),
)
SCHEMAS: Final[dict[str, Shape]] = {
    "DownloadStats": obj(**dict.fromkeys(_COUNTED, INTEGER)),
    "Download": obj(
        {"model_version_id": ANY, "repo_id": TEXT},
        job_id=UUID,
        source=one_of(*SOURCES),
        status=one_of("queued", "running", "completed", "failed", "cancelled"),
        folder_type=nullable(TEXT),
        destination_type=one_of("local", "s3"),
        destination=nullable(TEXT),
        filename=nullable(TEXT),
        bytes_done=INTEGER,
        total_bytes=nullable(INTEGER),
        progress_pct=nullable(NUMBER),
        speed_bps=INTEGER,
        elapsed=said("Seconds.", nullable(NUMBER)),
        eta_seconds=nullable(NUMBER),
        sha256=nullable(TEXT),
        created_at=TIME,
        started_at=nullable(TIME),
        finished_at=nullable(TIME),
        error=nullable(TEXT),
        warning=said("Of a file that may run programs.", nullable(TEXT)),
        can_cancel=BOOLEAN,
        target_username=TEXT,
    ),
    "NewDownload": said(
        "What the site needs to find the file, and where it goes.",
        obj(
            {
                "url": said("A page's or file's address, instead of what follows.", TEXT),
                "model_version_id": _ID,
                "modelVersionId": _ID,
                "model_id": _ID,
                "file_id": _ID,
                "type": TEXT,
                "format": TEXT,
                "size": TEXT,
                "fp": TEXT,
                "repo_id": TEXT,
                "filename": TEXT,
                "subfolder": TEXT,
                "revision": TEXT,
                "folder_type": said("One of `…/folders`; else as the site says.", TEXT),
                "destination_type": one_of("local", "s3"),
                "target_username": said("Needs `can_manage_model_sharing`.", TEXT),
            },
            source=one_of(*SOURCES),
        ),
    ),
    "FoundModel": obj(
        name=TEXT,
        page_url=nullable(TEXT),
        type=nullable(TEXT),
        folder_type=nullable(TEXT),
        files=array(
            obj(
                id=ANY,
                name=TEXT,
                size=nullable(INTEGER),
                type=nullable(TEXT),
                format=nullable(TEXT),
                wish=said("What to send to have it.", mapping(ANY)),
            )
        ),
    ),
}
_KEYS: Final = array(TEXT)
_KEY: Final = obj(source=one_of(*SOURCES), api_key=said("Empty: remove it.", TEXT))
_JOB: Final = obj(job=ref("Download"), stats=ref("DownloadStats"))
_JOBS: Final = obj(jobs=array(ref("Download")), stats=ref("DownloadStats"))
_NONE: Final = {404: ("NOT_FOUND",)}
_MAY: Final = "Needs `can_download_models`."
_ENQUEUE: Final = {
    400: ("API_KEY_REQUIRED",),
    403: ("S3_DISABLED",),
    404: ("NOT_FOUND",),
    429: ("QUOTA_EXCEEDED",),
    503: ("DOWNLOADS_NOT_SET_UP",),
}
_SEARCH: Final = Operation(
    "Search a site for models",
    ok(obj(models=array(ref("FoundModel")))),
    _MAY,
    query={
        "source": Query("The site.", one_of(*SOURCES), required=True),
        "query": Query(
            "Words, an id, or a page's address.", {**TEXT, "minLength": 1, "maxLength": 200}, True
        ),
    },
    refused={400: ("API_KEY_REQUIRED",), 404: ("NOT_FOUND",), 502: ("SOURCE_FAILED",)},
    refusal_fields={"source_code": TEXT},
)
_API: Final = "/mss-login/api/model-download"
_PAGE: Final = "/account/downloads"

OPERATIONS: Final[Operations] = {
    f"GET {_API}/sources": Operation(
        "The sites, and what is possible",
        ok(
            obj(
                sources=array(TEXT),
                sources_with_keys=_KEYS,
                capabilities=obj(
                    sources=array(TEXT),
                    destination_types=array(TEXT),
                    limits=mapping(INTEGER),
                    **{f"{name}_fields": array(TEXT) for name in SOURCES},
                ),
            )
        ),
        _MAY,
    ),
    f"GET {_API}/folders": Operation("Folders for models", ok(obj(folders=array(TEXT))), _MAY),
    f"GET {_API}/api-keys": Operation(
        "Sites that one has a key for", ok(obj(sources_with_keys=_KEYS)), _MAY
    ),
    f"PUT {_API}/api-keys": Operation(
        "Store or remove a key for a site",
        ok(obj(sources_with_keys=_KEYS)),
        f"{_MAY} Kept encrypted, and never told again.",
        _KEY,
        (JSON, FORM),
    ),
    f"POST {_API}/download": Operation(
        "Ask for a model",
        ok(obj(status=always("queued"), job_id=UUID, stats=ref("DownloadStats"))),
        f"{_MAY} Who asked may use the model as soon as it is there.",
        ref("NewDownload"),
        (JSON, FORM),
        refused=_ENQUEUE,
    ),
    f"GET {_API}/search": _SEARCH,
    f"GET {_API}/jobs": Operation("One's own downloads", ok(_JOBS, "Newest first."), _MAY),
    f"GET {_API}/jobs/{{job_id}}": Operation(
        "One download", ok(_JOB), f"{_MAY} Another's is 404.", refused=_NONE
    ),
    f"POST {_API}/jobs/{{job_id}}/cancel": Operation(
        "Cancel a download", ok(_JOB), _MAY, refused={**_NONE, 400: ("JOB_FINISHED",)}
    ),
    f"POST {_API}/jobs/{{job_id}}/retry": Operation(
        "Try a download again",
        ok(_JOB),
        f"{_MAY} One that failed or was cancelled.",
        refused={**_NONE, 429: ("QUOTA_EXCEEDED",)},
    ),
    f"GET {_PAGE}": Operation(
        "The downloads page",
        {**page("The page."), **moved("Nobody is logged in: to the login.")},
        _MAY,
        login="cookie",
    ),
    f"GET {_PAGE}/jobs": Operation("For the page: one's downloads", ok(_JOBS), _MAY),
    f"POST {_PAGE}/jobs": Operation(
        "For the page: ask for a model",
        ok(obj(job=ref("Download"))),
        _MAY,
        ref("NewDownload"),
        refused=_ENQUEUE,
    ),
    f"POST {_PAGE}/jobs/{{job_id}}/{{action}}": Operation(
        "For the page: cancel or retry",
        ok(obj(job=ref("Download"))),
        f"{_MAY} `action` is `cancel` or `retry`.",
        refused={**_NONE, 400: ("JOB_FINISHED",), 429: ("QUOTA_EXCEEDED",)},
    ),
    f"POST {_PAGE}/keys": Operation(
        "For the page: store or remove a key", ok(obj(sources_with_keys=_KEYS)), _MAY, _KEY
    ),
    f"GET {_PAGE}/search": _SEARCH,
}
