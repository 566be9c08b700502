"""How long a worker's search stage takes, database included: `python -m bench.search_stage DATA_DIR BURSTS`.

DATA_DIR holds index/1, a generation over the embeddings 1 to n, and queries.npy; a SQLite database is made there. The
best match of each of the first BURSTS queries has hundreds of near-duplicates. Prints the medians in ms as JSON.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import django
import numpy as np

NEAR_DUPLICATES_FROM = 0.95
ROWS = 2000  # written at once


def main(data_dir: Path, bursts: int) -> None:
    """Fill the database, then time the index alone and the whole stage in turns."""
    own = {"SIMSEARCH_DATA_DIR": str(data_dir), "DATABASE_URL": f"sqlite:///{data_dir}/simsearch.sqlite3"}
    os.environ.update(own | {"DJANGO_SETTINGS_MODULE": "simsearch.settings", "SECRET_KEY": "bench", "DEBUG": "off"})
    os.environ.update({"ALLOWED_HOSTS": "localhost", "LOG_LEVEL": "WARNING"})
    django.setup()
    from bench.index import K, p50_ms
    from tasks.near_duplicates import Rule
    from tasks.neighbours import Neighbours, SearchRequest

    _fill(data_dir)
    neighbours = Neighbours("bench")
    neighbours.refresh()
    queries = np.load(data_dir / "queries.npy")
    crowded, usual = queries[:bursts], queries[bursts:]
    request = SearchRequest(K, near_duplicates=Rule(NEAR_DUPLICATES_FROM, by_cosine_alone=True))
    assert all(len(found[0].duplicates) > K for found in neighbours.search(crowded, [request] * bursts))

    def stage(query: np.ndarray) -> None:
        neighbours.refresh()
        neighbours.search(query[None], [request])

    alternatives: dict[str, Callable[[int], object]] = {
        "usual": lambda n: stage(usual[n]),
        "burst": lambda n: stage(crowded[n % bursts]),
    }
    print(json.dumps(p50_ms(alternatives, per_turn=40, queries=len(usual))))


def _fill(data_dir: Path) -> None:
    """Make rows of all embeddings. Their vectors are zeros of the usual length: only those of the delta are read."""
    from django.core.management import call_command

    from engine.index import manifest as manifests
    from gallery.curation import generations
    from gallery.models import Embedding, Image

    call_command("migrate", verbosity=0)
    manifest = manifests.read(data_dir / "index" / "1")
    hashes = [f"{number:064x}" for number in np.random.default_rng(1).permutation(manifest.count).tolist()]
    blob = bytes(2 * manifest.dimension)
    images = (Image(content_hash=one, width_px=1, height_px=1) for one in hashes)
    Image.objects.bulk_create(images, batch_size=ROWS)
    embeddings = (Embedding(image_id=one, model_id=manifest.model_id, vector=blob) for one in reversed(hashes))
    Embedding.objects.bulk_create(embeddings, batch_size=ROWS)
    generation = generations.start(manifest.model_id)
    generations.activate(generation, images=manifest.count, last_embedding=manifest.count, manifest={})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
