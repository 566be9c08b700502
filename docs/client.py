"""A client of simsearch's API: copy it into your program."""

from pathlib import Path
from time import sleep
from typing import TypedDict, cast

import httpx


class Match(TypedDict):
    rank: int
    similarity: float
    image: dict[str, str]  # id, url, thumbnail_url, label, title


def search(site: str, *pictures: Path, k: int = 10) -> list[Match]:
    """Search for pictures and wait for the matches."""
    files = [("image", (path.name, path.read_bytes())) for path in pictures]
    with httpx.Client(base_url=site, timeout=30) as client:
        query = client.post("/api/queries", files=files, data={"k": str(k)}).raise_for_status().json()
        while query["state"] in {"waiting", "running"}:
            sleep(query["poll_after_ms"] / 1000)
            query = client.get(f"/api/queries/{query['id']}").raise_for_status().json()
    if query["error"]:
        raise RuntimeError(query["error"]["message"])
    return cast("list[Match]", query["matches"])
