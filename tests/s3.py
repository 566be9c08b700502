"""A throw-away S3 server (moto) for tests: a process of its own, with one empty bucket, on a spare port."""

import signal
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self

import boto3
import httpx

from tests.ports import free_port

BUCKET, KEY = "pictures-of-tests", "testing"
START_S = 60


class S3Server:
    """`environment`: what a system needs to keep its pictures here; `client`: past all our code."""

    name = "moto"

    def __enter__(self) -> Self:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._start()
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
        )
        self.client.create_bucket(Bucket=BUCKET)
        return self

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, "the S3 server did not start"
            assert time.monotonic() < deadline, "the S3 server does not answer"
            time.sleep(0.1)

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url, timeout=5).status_code < 500
        except httpx.TransportError:
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.stop()

    def pause(self) -> None:
        """Let nobody have an answer, without losing what is stored."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SIMSEARCH_STORAGE": "s3",
            "SIMSEARCH_S3_BUCKET": BUCKET,
            "SIMSEARCH_S3_ENDPOINT": self.url,
            "SIMSEARCH_S3_ACCESS_KEY": KEY,
            "SIMSEARCH_S3_SECRET_KEY": KEY,
        }

    def names(self) -> set[str]:
        """Return the names of all objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {found["Key"] for page in pages for found in page.get("Contents", ())}

    def empty(self) -> None:
        for key in self.names():
            self.client.delete_object(Bucket=BUCKET, Key=key)
