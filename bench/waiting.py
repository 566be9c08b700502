"""The worker's own share: how fast a pile of waiting pictures is answered, without uploads and polls beside it."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import local

from bench.load import Visitor
from bench.stack import Stack

UPLOADERS = 8
LIMIT_S = 300


def answered_per_s(stack: Stack, pictures: list[bytes], count: int) -> float:
    """Let `count` uploads pile up before workers that are held still; then queries a second, claim to done."""
    since = stack.rows("select strftime('%Y-%m-%d %H:%M:%f', 'now')")[0][0]
    with stack.paused_search():
        _upload(stack.port, pictures, count)
    deadline = time.monotonic() + LIMIT_S
    sql = f"""select sum(state in ('done', 'failed')), min(claimed_at), max(finished_at)
              from gallery_query where created_at > '{since}'"""
    while (told := stack.rows(sql)[0])[0] != count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{told[0]} of {count} waiting pictures were answered in {LIMIT_S} s.")
        time.sleep(0.2)
    return count / _seconds_between(told[1], told[2])


def _upload(port: int, pictures: list[bytes], count: int) -> None:
    mine = local()

    def upload(number: int) -> None:
        if not hasattr(mine, "visitor"):
            mine.visitor = Visitor(port)
        status, told = mine.visitor.post("/api/queries", pictures[number % len(pictures)])
        if status != 202:
            raise RuntimeError(f"an upload was answered {status}: {told}")

    with ThreadPoolExecutor(UPLOADERS) as threads:
        list(threads.map(upload, range(count)))


def _seconds_between(first: str, last: str) -> float:
    """Of two times as Django writes them into SQLite."""
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
