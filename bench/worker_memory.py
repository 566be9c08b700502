"""What an open index adds to a process besides the files it maps: `python -m bench.worker_memory DIRECTORY`.

Prints megabytes: anonymous memory after searches of every size, less what it was with everything imported.
"""

import sys
from pathlib import Path

import numpy as np

from engine.index.annoy_index import Index


def anonymous_mb() -> float:
    """Return the resident anonymous memory of this process (proc_pid_status(5), RssAnon)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def main(directory: Path) -> None:
    """Open, search one by one, by 32, for 100 results and exactly; print the most that was ever added."""
    before = anonymous_mb()
    index = Index.open(directory)
    queries = index.vectors_at(np.arange(32))
    most = 0.0
    for search in (index.search, index.exact):
        for batch, k in ((queries[:1], 10), (queries, 10), (queries, 100)):
            search(batch, k)
            most = max(most, anonymous_mb() - before)
    print(most)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
