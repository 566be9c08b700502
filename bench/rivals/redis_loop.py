"""The classic design: a list in Redis, one loop that looks into it and answers what is there in one batch.

`python -m bench.rivals.redis_loop NETWORK WEIGHTS GALLERY SOCKET`. It has all cores for its two threads' work: pictures
are decoded in threads, and torch has a thread per core.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import redis

from bench.rivals.plain import Plain

QUEUE = "waiting"
BATCH = 32
PAUSE_S = 0.002  # when nothing waits; most published ones take 0.25 s
ID_BYTES = 32


def main(network: str, weights: str, gallery: str, socket: str) -> None:
    """Answer until killed."""
    plain = Plain(network, weights, Path(gallery), threads=os.cpu_count())
    client = redis.Redis(unix_socket_path=socket)
    client.set("ready", 1)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        while True:
            waiting: list[bytes] = client.lpop(QUEUE, BATCH)  # type: ignore[assignment]
            if not waiting:
                time.sleep(PAUSE_S)
                continue
            prepared = list(threads.map(lambda item: plain.decode(item[ID_BYTES:]), waiting))
            with client.pipeline(transaction=False) as pipe:
                for item, found in zip(waiting, plain.answer(prepared), strict=True):
                    pipe.rpush(item[:ID_BYTES], json.dumps(found))
                    pipe.expire(item[:ID_BYTES], 60)
                pipe.execute()


if __name__ == "__main__":
    main(*sys.argv[1:])
