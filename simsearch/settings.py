"""Django's settings. The defaults are for production: without a secret or host names nothing starts."""

import os
import re
from typing import Any
from urllib.parse import urlsplit

import django_stubs_ext
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from simsearch import __version__, logs
from simsearch.databases import configured, parsed
from simsearch.env import DATA_DIR, env

# Makes Django's generic classes (ModelAdmin[Image]) subscriptable, as mypy expects.
django_stubs_ext.monkeypatch()

# Every process loads the settings, so only our account can read its files. Files that nginx sends are opened to its
# group where they are written (gallery/storage/disk.py, simsearch/launch/prepare.py).
os.umask(0o077)

# --- Core ---------------------------------------------------------------------------------------------------

DEBUG = env.switch("DEBUG", default=False)
SECRET_KEY = env.text("SECRET_KEY")
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "gallery",
    "tasks",
    "simsearch.apps.CurationAdminConfig",  # django.contrib.admin, with our login
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "django_htmx",
    "ninja",
]

MIDDLEWARE = [
    "gallery.site.middleware.ClientAddressMiddleware",
    "gallery.site.middleware.RequestLogMiddleware",
    # These three only add headers, and come first so that every response has them.
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "gallery.site.middleware.UploadLimitMiddleware",  # before CSRF, whose check reads the whole body
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "gallery.site.middleware.DatabaseAwayMiddleware",
]

ROOT_URLCONF = "simsearch.urls"
WSGI_APPLICATION = "simsearch.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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

LANGUAGE_CODE = "en"
# The browser's language decides, and the choice in the footer.
LANGUAGES = [
    ("en", "English"),
    ("de", "Deutsch"),
    ("fr", "Français"),
    ("es", "Español"),
    ("ja", "日本語"),
    ("zh-hans", "简体中文"),
]
TIME_ZONE = "UTC"
USE_TZ = True

# --- Storage ------------------------------------------------------------------------------------------------

MEDIA_ROOT = DATA_DIR / "pictures"
UPLOADS_ROOT = DATA_DIR / "uploads"  # uploaded bytes, until a worker has decoded them; never served
ORIGINALS_ROOT = DATA_DIR / "originals"  # original files of gallery pictures, if they are kept; only for staff
INDEX_ROOT = DATA_DIR / "index"
WEIGHTS_ROOT = DATA_DIR / "weights"
METRICS_ROOT = DATA_DIR / "metrics"  # gallery/operations/counters.py; shared by the containers of a machine
# The prefix of X-Accel-Redirect under which nginx serves MEDIA_ROOT; empty: Django sends the files.
SIMSEARCH_ACCEL_PREFIX = env.str("SIMSEARCH_ACCEL_PREFIX", default="").strip()
if SIMSEARCH_ACCEL_PREFIX and not (
    SIMSEARCH_ACCEL_PREFIX[0] == SIMSEARCH_ACCEL_PREFIX[-1] == "/" != SIMSEARCH_ACCEL_PREFIX
):
    raise ImproperlyConfigured(f"SIMSEARCH_ACCEL_PREFIX={SIMSEARCH_ACCEL_PREFIX}: begin and end it with /.")

_database = env.str("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'simsearch.sqlite3'}")
DATABASES = {"default": configured(parsed(_database), pool=env.number("SIMSEARCH_DATABASE_POOL", 0, least=0))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATIC_ROOT = env.str("STATIC_ROOT", default="").strip() or str(DATA_DIR / "static")
STORAGES: dict[str, dict[str, Any]] = {
    # Pictures, uploads until they are decoded (never served), and bodies of requests (gallery/storage/disk.py).
    "default": {"BACKEND": "gallery.storage.disk.DiskStorage"},
    "uploads": {"BACKEND": "gallery.storage.disk.DiskStorage", "OPTIONS": {"root": "UPLOADS_ROOT"}},
    "originals": {"BACKEND": "gallery.storage.disk.DiskStorage", "OPTIONS": {"root": "ORIGINALS_ROOT"}},
    "received": {"BACKEND": "gallery.storage.disk.DiskStorage", "OPTIONS": {"root": "UPLOADS_ROOT"}},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# `disk`, or `s3`: then several hosts share the pictures.
SIMSEARCH_STORAGE = env.one_of("SIMSEARCH_STORAGE", "disk", "s3")
if SIMSEARCH_STORAGE == "s3":
    SIMSEARCH_S3_BUCKET = env.text("SIMSEARCH_S3_BUCKET")
    env.text("SIMSEARCH_S3_ENDPOINT")  # refused when it is missing
    SIMSEARCH_S3_ENDPOINT = env.address("SIMSEARCH_S3_ENDPOINT", "http://minio:9000", "https")
    # The server's address for browsers, if that is another one.
    _public_endpoint = env.address("SIMSEARCH_S3_PUBLIC_ENDPOINT", "https://s3.example.org", "http")
    SIMSEARCH_S3_PUBLIC_ENDPOINT = _public_endpoint or SIMSEARCH_S3_ENDPOINT
    SIMSEARCH_S3_REGION = env.str("SIMSEARCH_S3_REGION", default="us-east-1")
    # Empty: boto3 looks for keys itself (for example the role of a machine).
    SIMSEARCH_S3_ACCESS_KEY = env.str("SIMSEARCH_S3_ACCESS_KEY", default="").strip()
    SIMSEARCH_S3_SECRET_KEY = env.str("SIMSEARCH_S3_SECRET_KEY", default="").strip()
    SIMSEARCH_S3_LINK_S = env.number("SIMSEARCH_S3_LINK_S", 300, most=7 * 24 * 3600)
    _bucket = "gallery.storage.s3.ObjectStorage"
    STORAGES["default"] = {"BACKEND": _bucket, "OPTIONS": {"folder": "pictures"}}
    STORAGES["uploads"] = {"BACKEND": _bucket, "OPTIONS": {"folder": "uploads"}}
    STORAGES["originals"] = {"BACKEND": _bucket, "OPTIONS": {"folder": "originals"}}
    STORAGES["index"] = {"BACKEND": _bucket, "OPTIONS": {"folder": "index"}}  # fetched by other hosts
if DEBUG:
    STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"

# --- Searching ----------------------------------------------------------------------------------------------

SIMSEARCH_VERSION = __version__
# Used only for the first index, which then names its model (manage.py switch_model); "" is the default.
SIMSEARCH_MODEL = env.str("SIMSEARCH_MODEL", default="")
SIMSEARCH_WEIGHTS = env.str("SIMSEARCH_WEIGHTS", default="")
SIMSEARCH_INDEX = env.one_of("SIMSEARCH_INDEX", "annoy", "milvus")
SIMSEARCH_MILVUS_URI = env.str("SIMSEARCH_MILVUS_URI", default="")
SIMSEARCH_MILVUS_TOKEN = env.str("SIMSEARCH_MILVUS_TOKEN", default="").strip()
SIMSEARCH_MILVUS_PREFIX = env.str("SIMSEARCH_MILVUS_PREFIX", default="simsearch")
SIMSEARCH_DEVICE = env.str("SIMSEARCH_DEVICE", default="auto").strip()
if not re.fullmatch(r"auto|cpu|cuda:\d{1,3}", SIMSEARCH_DEVICE):
    raise ImproperlyConfigured(f"SIMSEARCH_DEVICE={SIMSEARCH_DEVICE}: choose auto, cpu, or cuda:0 for the first GPU.")
SIMSEARCH_THREADS = env.number("SIMSEARCH_THREADS", 1)
SIMSEARCH_BATCH = env.number("SIMSEARCH_BATCH", 0, least=0)  # 0: what suits the device
SIMSEARCH_DUPLICATE_SIMILARITY = env.cosine("SIMSEARCH_DUPLICATE_SIMILARITY")  # None: the model's
SIMSEARCH_ANSWER_LIMIT_S = env.number("SIMSEARCH_ANSWER_LIMIT_S", 30)
SIMSEARCH_MAX_UPLOAD_BYTES = env.number("SIMSEARCH_MAX_UPLOAD_BYTES", 16 * 2**20)
SIMSEARCH_MAX_IMPORT_BYTES = env.number("SIMSEARCH_MAX_IMPORT_BYTES", 512 * 2**20)
SIMSEARCH_MAX_PIXELS = env.number("SIMSEARCH_MAX_PIXELS", 50_000_000)
SIMSEARCH_KEPT_PX = env.number("SIMSEARCH_KEPT_PX", 4096)
SIMSEARCH_KEEP_ORIGINALS = env.switch("SIMSEARCH_KEEP_ORIGINALS", default=False)
SIMSEARCH_WATCH = env.str("SIMSEARCH_WATCH", default="")  # a folder whose new pictures are imported as they come
SIMSEARCH_WATCH_MIRROR = env.switch("SIMSEARCH_WATCH_MIRROR", default=False)
SIMSEARCH_FETCH_LINKS = env.switch("SIMSEARCH_FETCH_LINKS", default=True)  # why: docs/security.md
SIMSEARCH_MAX_WAITING = env.number("SIMSEARCH_MAX_WAITING", 10_000)
SIMSEARCH_UPLOADS_PER_MINUTE = env.number("SIMSEARCH_UPLOADS_PER_MINUTE", 600)
SIMSEARCH_QUERY_SPACE = env.number("SIMSEARCH_QUERY_SPACE", 5 * 10**9)
SIMSEARCH_PUBLIC_MAP = env.switch("SIMSEARCH_PUBLIC_MAP", default=False)  # off: only staff may see the map
SIMSEARCH_QUERY_TTL_S = env.number("SIMSEARCH_QUERY_TTL_S", 7 * 24 * 3600)

SIMSEARCH_MAX_BODY_BYTES = SIMSEARCH_MAX_UPLOAD_BYTES + 2**20  # with room for the rest of the form
# Larger uploads are written directly to the disk, so that a process with eight of them stays small.
FILE_UPLOAD_HANDLERS = [
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "gallery.site.submit.UploadHandler",
]
FILE_UPLOAD_MAX_MEMORY_SIZE = 2**20
FILE_UPLOAD_TEMP_DIR = UPLOADS_ROOT if UPLOADS_ROOT.is_dir() else None
DATA_UPLOAD_MAX_NUMBER_FILES = 10  # a search has at most ten

# One cache per process, for example for the length of the queue (gallery/queries/waiting.py).
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- Redis and Celery ---------------------------------------------------------------------------------------

REDIS_URL = env.address("REDIS_URL", "redis://127.0.0.1:6379/0", "rediss", "unix", default="redis://127.0.0.1:6379/0")
REDIS_TIMEOUT_S = 2.0

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)  # as kombu writes the address of a socket
# A silent broker must not block an upload: without these time-outs kombu never gives up.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": REDIS_TIMEOUT_S,
    "socket_connect_timeout": REDIS_TIMEOUT_S,
    "retry_on_timeout": False,
    "max_retries": 0,
    # A worker whose connection a firewall has forgotten waits for a reply that never comes; kombu notices after twice
    # this, and a second. Its own 25 s would be 51.
    "health_check_interval": 3,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# Redis answers MISCONF while its disk is full. Celery takes that for a channel error, which would end the worker.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_IMPORTS = ["tasks.tasks"]
CELERY_TASK_DEFAULT_QUEUE = "gallery"
CELERY_TASK_ROUTES = {"tasks.answer": {"queue": "search"}, "tasks.sweep": {"queue": "search"}}
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_SEND_TASK_EVENTS = True
# One message is enough for all waiting work: prefetching more would only delay the sweep behind them.
CELERY_WORKER_PREFETCH_MULTIPLIER = 2
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Celery would reconnect for every task, which takes as long as a forward pass with PostgreSQL; simsearch/celery.py
# renews the connection instead.
CELERY_DB_REUSE_MAX = 2**62
# A child counts as up only when its model is warm; VGG-19 on a slow disk takes long, and so does fetching the first
# index of a host.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 300.0 if SIMSEARCH_STORAGE == "disk" else 3600.0
CELERY_BEAT_SCHEDULE = {
    # Messages that no worker takes within their period expire: they must not pile up while no worker runs.
    "sweep": {"task": "tasks.sweep", "schedule": 3.0, "options": {"expires": 3}},
    "expire": {"task": "tasks.expire", "schedule": 60.0, "options": {"expires": 60}},
}
if SIMSEARCH_INDEX == "milvus":
    CELERY_BEAT_SCHEDULE["sync_index"] = {"task": "tasks.sync_index", "schedule": 1.0, "options": {"expires": 1}}

# Programs read these themselves; a mistake in one is found here, before any of them starts.
for _name in ("SIMSEARCH_SEARCH_CHILDREN", "SIMSEARCH_WEB_WORKERS", "SIMSEARCH_PORT", "SIMSEARCH_FLOWER_PORT"):
    env.number(_name, 1, most=65535)

# --- Security -----------------------------------------------------------------------------------------------

# Keys of programs that may write through the API; several, so that one can be replaced without a pause.
SIMSEARCH_API_KEYS = env.str("SIMSEARCH_API_KEYS", default="").replace(",", " ").split()
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# On by default; `make run` serves plain HTTP on the loopback and turns it off.
HTTPS = env.switch("SIMSEARCH_HTTPS", default=not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
# Requested by programs such as Prometheus without the proxy that ends HTTPS; nginx requests `staff` for visitors that
# may use plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$", r"^staff$"]
# Trusted proxies (addresses or networks), whose X-Forwarded-For counts; gunicorn reads the same variable.
TRUSTED_PROXIES = env.networks("FORWARDED_ALLOW_IPS")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
_picture_origins = []
if SIMSEARCH_STORAGE == "s3":
    _public = urlsplit(SIMSEARCH_S3_PUBLIC_ENDPOINT)
    _picture_origins = [f"{_public.scheme}://{_public.netloc}"]
# Only our own files, and pictures on S3. `blob:` is the chosen picture, shown while it is sent;
# `data:` the icons in the style sheets of the API's documentation.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "blob:", "data:", *_picture_origins],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# Origins whose pages may use the API from a browser, without cookies; none by default.
CORS_ALLOWED_ORIGINS = env.origins("SIMSEARCH_CORS_ORIGINS")
CORS_URLS_REGEX = r"^/api/"
if CORS_ALLOWED_ORIGINS:
    INSTALLED_APPS.append("corsheaders")
    MIDDLEWARE.insert(MIDDLEWARE.index("csp.middleware.CSPMiddleware"), "corsheaders.middleware.CorsMiddleware")
# Origins whose pages may show the search box in a frame (gallery/site/embed.py); none: there is no box.
SIMSEARCH_EMBED_ORIGINS = env.origins("SIMSEARCH_EMBED_ORIGINS")

# --- Monitoring ---------------------------------------------------------------------------------------------

_level = env.one_of("LOG_LEVEL", "INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL")
LOGGING = logs.configuration(env.str("LOG_FORMAT", default="line"), _level)
# Without it /metrics only answers this machine. From a file it ends with a newline.
SIMSEARCH_METRICS_TOKEN = env.str("SIMSEARCH_METRICS_TOKEN", default="").strip()
