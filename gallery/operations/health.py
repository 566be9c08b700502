"""Health checks of the process and of the whole system."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from gallery.index import generations
from gallery.operations import workers
from gallery.operations.metrics import is_operator
from gallery.queries import waiting

WAITED_TOO_LONG_S = 10.0
# For visitors: the workers' messages name folders of this machine.
INDEX_PROBLEM = "Some workers do not use the active index; the staff sees why."
ASK_THE_DATABASE = {"index", "waiting"}  # not checked while the database is away: each would wait for it again


@dataclass(frozen=True)
class Check:
    """One part of the system: whether it works, and facts about it."""

    ok: bool
    facts: dict[str, Any] = field(default_factory=dict)


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer that this process is alive."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when an upload made now would be answered, else 503; either way each part with its facts.

    Only operators see paths of this machine.
    """
    checks: dict[str, Check] = {}
    for name, check in CHECKS.items():
        if name in ASK_THE_DATABASE and not checks["database"].ok:
            checks[name] = Check(False, {"problem": "The database does not answer."})
            continue
        try:
            checks[name] = check()
        except (DatabaseError, InterfaceError, redis.RedisError, OSError) as error:
            checks[name] = Check(False, {"problem": type(error).__name__})
    if "problem" in checks["index"].facts and checks["database"].ok and not is_operator(request):
        checks["index"].facts["problem"] = INDEX_PROBLEM
    ready = all(check.ok for check in checks.values())
    body = {"ready": ready, "checks": {name: {"ok": c.ok} | c.facts for name, c in checks.items()}}
    return JsonResponse(body, status=200 if ready else 503)


def _database() -> Check:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Check(True, {"engine": connection.vendor})


def _redis() -> Check:
    with workers.connect() as client:
        client.ping()
    return Check(True)


def _worker() -> Check:
    alive = workers.alive()
    facts = {
        "count": len(alive),
        "device": sorted({entry.device for entry in alive}),
        "precision": sorted({entry.precision for entry in alive}),
        "model": sorted({entry.model for entry in alive}),
    }
    if not alive:
        return Check(False, facts | {"problem": "No search worker has sent a heartbeat lately."})
    if not workers.is_moving(alive):
        return Check(False, facts | {"problem": "The search workers take nothing off their queue."})
    return Check(True, facts)


def _index() -> Check:
    active, alive = generations.active(), workers.alive()
    away = {entry.index_problem for entry in alive if entry.is_index_away}
    problems = sorted(away | set(workers.index_problems(alive, active.number if active else None)))
    return Check(
        not away,  # without an index a search looks at every picture: slower, not wrong
        {
            "generation": active.number if active else None,
            "images": active.images if active else 0,
            "model": active.model_id if active else None,
        }
        | ({"problem": " ".join(problems)} if problems else {}),
    )


def _waiting() -> Check:
    oldest_s = waiting.oldest_s()
    return Check(oldest_s < WAITED_TOO_LONG_S, {"count": waiting.count(), "oldest_s": round(oldest_s, 1)})


CHECKS: dict[str, Callable[[], Check]] = {
    "database": _database,
    "redis": _redis,
    "worker": _worker,
    "index": _index,
    "waiting": _waiting,
}
