"""What a worker would say."""

import time
from typing import Any

from gallery.operations import workers


def worker(name: str = "search@here", *, heard_s_ago: float = 0, swept_s_ago: float = 0, **fields: Any) -> None:
    """Report as a search worker that reports, or did so a while ago."""
    now = time.time()
    said = {"device": "cpu", "precision": "bf16", "model": "efficientnet_lite0", "model_id": "efficientnet_lite0-1234"}
    known: dict[str, Any] = {**said, "generation": None, "index_problem": ""} | fields
    workers.report(workers.Report(name=name, at=now - heard_s_ago, swept_at=now - swept_s_ago, **known))
