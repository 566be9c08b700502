"""The model side: a loop takes what waits (at most 32), embeds it in one batch, asks Annoy.

python -m bench.classic.worker GALLERY_FOLDER INDEX_FILE     (REDIS_SOCKET: path of the socket)
"""

import json
import os
import sys
import time
from pathlib import Path

import redis
from annoy import AnnoyIndex

from bench.pipeline import Pipeline

BATCH = 32
TREES = 20


def main(folder: str, index_file: str) -> None:
    """Answer until killed."""
    pipeline = Pipeline()
    store = redis.Redis(unix_socket_path=os.environ["REDIS_SOCKET"])
    files = sorted(Path(folder).iterdir())
    index = AnnoyIndex(4096, "angular")
    if Path(index_file).exists():
        index.load(index_file)
    else:
        for start in range(0, len(files), BATCH):
            for offset, vector in enumerate(pipeline.embed([f.read_bytes() for f in files[start : start + BATCH]])):
                index.add_item(start + offset, vector)
        index.build(TREES)
        index.save(index_file)
    store.set("ready", 1)
    while True:
        waiting: list[bytes] = store.lpop("queue", BATCH)  # type: ignore[assignment]
        if not waiting:
            time.sleep(0.005)
            continue
        results = store.pipeline()
        for message, vector in zip(waiting, pipeline.embed([message[32:] for message in waiting]), strict=True):
            ids, distances = index.get_nns_by_vector(vector, 10, include_distances=True)
            matches = [[files[i].name, 1 - d * d / 2] for i, d in zip(ids, distances, strict=True)]
            results.set(f"result:{message[:32].decode()}", json.dumps(matches), ex=60)
        results.execute()


if __name__ == "__main__":
    main(*sys.argv[1:])
