"""Pictures and uploads in a bucket of an S3 server (SIMSEARCH_STORAGE=s3), for several hosts."""

import errno
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from s3transfer.exceptions import RetriesExceededError
from storages.backends.s3 import S3Storage

from gallery.storage.files import Entry, StorageAway

logger = logging.getLogger(__name__)

GONE = {"404", "NoSuchKey"}
SILENT = "The S3 server (SIMSEARCH_S3_ENDPOINT) does not answer"
REFUSED = "The S3 server refused a request ({}); check SIMSEARCH_S3_BUCKET and the keys"
# The error codes of a full storage: MinIO, Ceph, Garage.
FULL = {"507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
REMOVED_AT_ONCE = 1000  # objects of one request
# A request thread or a batch waits for it: two attempts of at most these times, then it counts as away.
SILENT_S = 2.0  # after that nothing waits for it for this time
CONNECTIONS = 16  # of a process: its threads, and those of a large file
CONFIG = Config(
    max_pool_connections=CONNECTIONS,
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 2},
    s3={"addressing_style": "path"},
    signature_version="s3v4",
    # Not the checksums that only Amazon's servers know.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)

# Large files go in parts, a few at once: of an index of a million pictures one has 16 GB.
TRANSFER = TransferConfig(multipart_threshold=2**26, multipart_chunksize=2**26, max_concurrency=4)

_silent_until: dict[str, float] = {}  # of each server: all folders of a bucket are away together
# All threads and folders of a process share a client: making one takes 0.2 s of a core and some MB.
_clients: dict[tuple[str | None, ...], Any] = {}
_making = threading.Lock()
os.register_at_fork(after_in_child=_clients.clear)  # two processes cannot share a connection


class ObjectStorage(S3Storage):  # type: ignore[misc]  # without types
    """Files below a folder of the bucket. Links work only with a signature."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            bucket_name=settings.SIMSEARCH_S3_BUCKET,
            endpoint_url=settings.SIMSEARCH_S3_ENDPOINT,
            region_name=settings.SIMSEARCH_S3_REGION,
            access_key=settings.SIMSEARCH_S3_ACCESS_KEY or None,
            secret_key=settings.SIMSEARCH_S3_SECRET_KEY or None,
            location=folder,
            client_config=CONFIG,
            file_overwrite=True,
        )

    def _client_of(self, endpoint_url: str) -> Any:
        wanted = endpoint_url, self.region_name, self.access_key, self.secret_key
        if wanted not in _clients:
            with _making:
                if wanted not in _clients:
                    session = Session(self.access_key, self.secret_key, region_name=self.region_name)
                    _clients[wanted] = session.client("s3", endpoint_url=endpoint_url, config=CONFIG)
        return _clients[wanted]

    @property
    def _client(self) -> Any:
        return self._client_of(self.endpoint_url)

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket_name, "Key": f"{self.location}/{name}"}

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        """Return its bytes. Raises FileNotFoundError."""
        with self._translated():
            return int(self._client.head_object(**self._object(name))["ContentLength"])

    def write(self, name: str, data: bytes | Path) -> None:
        """Keep a file, or a copy of one, in one step."""
        if isinstance(data, bytes):
            self._put(name, data)
            return
        place = self._object(name)
        with self._translated(), data.open("rb") as file:
            self._client.upload_fileobj(file, place["Bucket"], place["Key"], Config=TRANSFER)

    def take(self, name: str, file: "UploadedFile[Any]") -> None:
        """Keep an uploaded file."""
        file.seek(0)
        self._put(name, file.read())

    def _put(self, name: str, data: bytes) -> None:
        """Store an object, whole or not at all."""
        with self._translated():
            self._client.put_object(**self._object(name), Body=data, ContentType="image/jpeg")

    def source(self, name: str) -> Path | bytes:
        """Return the file for a decoder."""
        with self._translated():
            return bytes(self._client.get_object(**self._object(name))["Body"].read())

    def fetch(self, name: str, path: Path) -> None:
        """Copy the file to this path, without holding it in memory."""
        place = self._object(name)
        with self._translated(), path.open("wb") as file:
            self._client.download_fileobj(place["Bucket"], place["Key"], file, Config=TRANSFER)

    def remove(self, names: Iterable[str]) -> None:
        """Delete objects. One that cannot be deleted is an orphan that `prune` finds: its row is gone already."""
        wanted = [{"Key": self._object(name)["Key"]} for name in names]
        for start in range(0, len(wanted), REMOVED_AT_ONCE):
            keys = wanted[start : start + REMOVED_AT_ONCE]
            try:
                with self._translated():
                    self._client.delete_objects(Bucket=self.bucket_name, Delete={"Objects": keys, "Quiet": True})
            except OSError as error:
                logger.warning("%d files were not deleted from the storage: %s", len(keys), error)

    def entries(self, folder: str) -> Iterator[Entry]:
        """Return all files below a folder, which ends with a slash or is empty."""
        start = len(self.location) + 1
        pages = self._client.get_paginator("list_objects_v2")
        with self._translated():
            for page in pages.paginate(Bucket=self.bucket_name, Prefix=f"{self.location}/{folder}"):
                for found in page.get("Contents", ()):
                    yield Entry(found["Key"][start:], found["Size"], found["LastModified"].timestamp())

    def link(self, name: str, *, is_download: bool = False) -> str | None:
        """Return a signed link, made without asking the server."""
        # The server may have another address for browsers than for this host.
        client = self._client_of(settings.SIMSEARCH_S3_PUBLIC_ENDPOINT)
        shown = {"ResponseContentType": "image/jpeg"}
        download = {"ResponseContentType": "application/octet-stream", "ResponseContentDisposition": "attachment"}
        wanted = self._object(name) | (download if is_download else shown)
        return str(client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=settings.SIMSEARCH_S3_LINK_S))

    def require_room(self) -> None:
        """Do nothing: a full server refuses the write itself."""

    def free_bytes(self) -> int | None:
        """Return how much more it can keep; None where that is not known."""
        return None

    def described(self) -> str:
        """Say where it keeps files, for the operator."""
        return f"the bucket {self.bucket_name} at {settings.SIMSEARCH_S3_ENDPOINT}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate errors of boto3: raise what a disk would raise, or StorageAway."""
        if time.monotonic() < _silent_until.get(self.endpoint_url, 0.0):
            raise StorageAway(errno.EIO, SILENT)
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in GONE:
                raise FileNotFoundError(errno.ENOENT, "not in the storage") from error
            if code in FULL:
                raise OSError(errno.ENOSPC, "the storage is full") from error
            raise StorageAway(errno.EIO, REFUSED.format(code or error)) from error
        except (BotoCoreError, RetriesExceededError) as error:
            _silent_until[self.endpoint_url] = time.monotonic() + SILENT_S
            raise StorageAway(errno.EIO, f"{SILENT} ({type(error).__name__})") from error
