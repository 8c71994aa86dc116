"""Django's settings, all derived from `mssproject.env`."""

import sys
from datetime import timedelta
from typing import Any

import dj_database_url
from csp.constants import NONCE, NONE, SELF

from downloads.s3 import Bucket
from mssproject import env as environment
from mssproject import secretkey
from mssproject.logging import config as logging_config
from mssproject.openapi.settings import SPECTACULAR_SETTINGS  # noqa: F401
from mssproject.theme import UNFOLD  # noqa: F401

BASE_DIR = environment.BASE_DIR
ENV = environment.load()


def _secret(value: Any) -> str | None:
    return None if value is None else value.get_secret_value()


# --- what the apps read ---------------------------------------------------------------------
COMFYUI_URL = ENV.comfyui_url
MSS_DATA_DIR = ENV.data_dir
MSS_HOST = ENV.host
MSS_PORT = ENV.port
MSS_SESSION_HOURS = ENV.session_hours
MSS_MAX_TOKEN_HOURS = ENV.max_token_hours
MSS_SETUP_TOKEN = _secret(ENV.setup_token)
MSS_OWNER_USERNAME = ENV.owner_username
MSS_OWNER_PASSWORD = _secret(ENV.owner_password)
MSS_SESSION_IDLE_HOURS = ENV.session_idle_hours
MSS_GUEST_LOGIN = ENV.guest_login
MSS_LOCKOUT_NAME_FAILURES = ENV.lockout_name_failures
MSS_LOCKOUT_ADDRESS_FAILURES = ENV.lockout_address_failures
MSS_LOGIN_RATE = ENV.login_rate
MSS_API_RATE = ENV.api_rate
MSS_AUDIT_DAYS = ENV.audit_days
MSS_MAX_PROMPT_NODES = ENV.max_prompt_nodes
SEPARATE_USERS = ENV.separate_users
MSS_STALL_MINUTES = ENV.stall_minutes
COMFYUI_MODELS_DIR = ENV.comfyui_models_dir
CIVITAI_URL = ENV.civitai_url
HF_ENDPOINT = ENV.hf_endpoint
MSS_ALLOW_PICKLE_MODELS = ENV.allow_pickle_models
MSS_S3_BUCKET = (
    Bucket(ENV.s3_bucket, ENV.s3_prefix, ENV.s3_endpoint) if ENV.s3_bucket is not None else None
)
NSFW_CLASSIFIER = ENV.nsfw_classifier
NSFW_MODEL = ENV.nsfw_model
NSFW_URL = ENV.nsfw_url
NSFW_THRESHOLD = ENV.nsfw_threshold
NSFW_UNKNOWN = ENV.nsfw_unknown
NSFW_SECONDS = ENV.nsfw_seconds
USERDATA_DIR = ENV.data_dir / "userdata"
MSS_USERDATA_FILE_MB = ENV.userdata_file_mb
MSS_USERDATA_FILES = ENV.userdata_files
MSS_USERDATA_MB = ENV.userdata_mb
MSS_VARIANTS_MB = ENV.variants_mb
MSS_WORKFLOW_CONVERTER = ENV.workflow_converter
# Type of ComfyUI's folders → where it is on this machine, if it is.
COMFYUI_FOLDERS = {
    "output": ENV.comfyui_output_dir,
    "input": ENV.comfyui_input_dir,
    "temp": ENV.comfyui_temp_dir,
}
MSS_CORS_ORIGINS = frozenset(ENV.cors_origins)
MSS_TRUSTED_PROXIES = ENV.trusted_proxies
MSS_FORCE_HTTPS = ENV.force_https
REDIS_URL = _secret(ENV.redis_url)
MSS_ACCESS_LOG = ENV.access_log
MSS_METRICS_TOKEN = _secret(ENV.metrics_token)
SENTRY_DSN = _secret(ENV.sentry_dsn)

# --- Django ----------------------------------------------------------------------------------
DEBUG = False
SECRET_KEY = _secret(ENV.secret_key) or secretkey.read_or_create(ENV.data_dir)
SECRET_KEY_FALLBACKS = [key.get_secret_value() for key in ENV.secret_key_fallbacks]
ALLOWED_HOSTS = ENV.hosts()
ROOT_URLCONF = "mssproject.urls"
ASGI_APPLICATION = "mssproject.asgi.application"
INSTALLED_APPS = [
    # Before staticfiles: `manage.py runserver` then serves ASGI. Nothing else uses it, and it
    # brings Twisted into every process.
    *(["daphne"] if "runserver" in sys.argv else []),
    "accounts",
    "comfyproxy",
    "downloads",
    "mssproject.apps.ProjectConfig",
    "unfold.apps.BasicAppConfig",  # before the admin: its templates take the place of Django's
    "mssproject.apps.GatewayAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",  # its widgets' templates, beside ours
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",  # Swagger UI, from our own address
    "django_otp",
    "django_otp_webauthn",
    "axes",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "mssproject.permissionspolicy.permissions_policy",
    "mssproject.languages.choose_language",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "accounts.middleware.SessionUserMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGE_CODE = "en"
# Each in its own words: who cannot read the page finds theirs.
LANGUAGES = [
    ("en", "English"),
    ("de", "Deutsch"),
    ("fr", "Français"),
    ("es", "Español"),
    ("zh-hans", "简体中文"),
    ("ja", "日本語"),
]
LOCALE_PATHS = [BASE_DIR / "mssproject" / "locale"]
LANGUAGE_COOKIE_NAME = "mss_language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/mss-login/static/"
STATIC_ROOT = ENV.data_dir / "static"
STATICFILES_DIRS = [BASE_DIR / "templates" / "static"]
# Bodies that reach Django; the entry refuses longer ones before they are read.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
# A form of the admin with thousands of models to tick sends that many.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000

# --- data ------------------------------------------------------------------------------------
DATABASES: dict[str, dict[str, Any]] = {
    "default": dict(dj_database_url.parse(_secret(ENV.database_url) or ""))
    if ENV.database_url
    else {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ENV.data_dir / "gateway.sqlite3",
        "OPTIONS": {
            # WAL lets readers go on beside a writer; FULL keeps what was acknowledged even
            # through a power cut. IMMEDIATE: a transaction waits for its turn at its start
            # instead of failing in its middle.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    }
}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # Of `accounts.api.throttles`, without Redis. Beyond so many callers, those who have not asked
    # for the longest time are forgotten.
    "throttles": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "throttles",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    },
}
# Consumers have no channels of their own: processes hear of each other by `accounts.bus`.
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {}

# --- accounts --------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.RoleBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "accounts.importedpasswords.ImportedBcryptHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "/login"
# Only Django's messages and its CSRF cookie live beside our own session (accounts.Session).
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_NAME = "mss_pages"
CSRF_COOKIE_NAME = "mss_csrf"
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": SECRET_KEY,
    "ACCESS_TOKEN_LIFETIME": timedelta(hours=ENV.session_hours),
}

# Wrong passwords and codes are counted by axes; what follows from them is `accounts.lockout`'s.
AXES_LOCK_OUT_AT_FAILURE = False
AXES_LOCKOUT_PARAMETERS = ["username", "ip_address"]
AXES_COOLOFF_TIME = timedelta(hours=24)
AXES_USERNAME_CALLABLE = "accounts.lockout.name_in"
AXES_CLIENT_IP_CALLABLE = "accounts.lockout.address_in"
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# Passkeys: the host name and origin are those of each request (`accounts.passkeys`).
OTP_WEBAUTHN_HELPER_CLASS = "accounts.passkeys.Helper"
OTP_WEBAUTHN_RP_ID_CALLABLE = "accounts.passkeys.relying_party"
OTP_WEBAUTHN_RP_NAME = "MSS-Login"
SILENCED_SYSTEM_CHECKS = [
    "axes.W002",  # axes' middleware: its answers are not ours
    "axes.W003",  # axes' backend: `accounts.lockout` asks before the password is looked at
    "otp_webauthn.E030",  # allowed origins: see above
    "otp_webauthn.E040",  # cookie sessions: our challenges are rows of the database
]

# --- mail ------------------------------------------------------------------------------------
_MAIL = ENV.mail_server()
MSS_MAIL = _MAIL is not None
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if _MAIL else 'dummy'}.EmailBackend"
if _MAIL:
    EMAIL_HOST, EMAIL_PORT = _MAIL.host, _MAIL.port
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _MAIL.user, _MAIL.password
    EMAIL_USE_SSL, EMAIL_USE_TLS = _MAIL.ssl, _MAIL.starttls
    EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = ENV.mail_from

# --- HTTP ------------------------------------------------------------------------------------
# The entry sets scope["scheme"] from a trusted proxy's header, and nothing else is believed.
SECURE_SSL_REDIRECT = MSS_FORCE_HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = MSS_FORCE_HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if MSS_FORCE_HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Of our pages, the admin and the API. ComfyUI's pages do not pass Django's middleware: their
# frontend and its extensions would not work under this.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.authentication.IdentityAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.api.authentication.HasIdentity"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "rest_framework.parsers.JSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "EXCEPTION_HANDLER": "accounts.api.errors.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "mssproject.openapi.inspection.AutoSchema",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

# --- Celery ----------------------------------------------------------------------------------
_QUEUE, _CONTROL = ENV.data_dir / "broker" / "queue", ENV.data_dir / "broker" / "control"
BROKER_FOLDERS = () if REDIS_URL else (_QUEUE, _CONTROL)
CELERY_BROKER_URL = REDIS_URL or "filesystem://localhost/"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {}
    if REDIS_URL
    else {
        "data_folder_in": str(_QUEUE),
        "data_folder_out": str(_QUEUE),
        "control_folder": str(_CONTROL),
    }
)
CELERY_TASK_IGNORE_RESULT = True
# A downloading worker says once a second that it lives.
DOWNLOAD_LEASE_SECONDS = 30
CELERY_TASK_ROUTES = {"downloads.tasks.work": {"queue": "downloads"}}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "mssproject.beat:OneBeat"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_BEAT_SCHEDULE_FILENAME = str(ENV.data_dir / "beat-schedule")
CELERY_TIMEZONE = "UTC"

LOGGING = logging_config(ENV.log_level, ENV.log_format)
LOGGING_CONFIG = "logging.config.dictConfig"
