"""The migrations on the database that the tests run on: from nothing, back, and in step with the models."""

import json
from pathlib import Path

from tests import fresh

# In a process and a database of its own, as an operator does it.
MIGRATE = """
import json
import django
django.setup()
from django.core.management import call_command
from django.db import connection

def tables():
    return [name for name in connection.introspection.table_names() if name.startswith("gallery_")]

call_command("migrate", verbosity=0)
call_command("makemigrations", check=True, dry_run=True, verbosity=0)
call_command("migrate", "gallery", "zero", verbosity=0)
left = tables()
call_command("migrate", verbosity=0)
with connection.cursor() as cursor:
    constraints = {name for table in tables() for name in connection.introspection.get_constraints(cursor, table)}
print(json.dumps({"left": left, "constraints": sorted(constraints)}))
"""
# What the code relies on: a broken race must meet one of these.
NEEDED = {
    "one_active_generation",
    "one_build_at_a_time",
    "one_embedding_per_content_and_network",
    "query_state_is_known",
    "queries_by_state",
    "embeddings_in_order",
    "thresholds_are_in_order",
}


def test_the_migrations_go_forth_and_back_and_are_complete(tmp_path: Path) -> None:
    state = json.loads(fresh.run(MIGRATE, tmp_path, DJANGO_SETTINGS_MODULE="simsearch.settings").splitlines()[-1])
    assert state["left"] == []
    assert set(state["constraints"]) >= NEEDED


MOVE = """
import json, uuid
import django
django.setup()
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

def migrated(name):
    call_command("migrate", "gallery", name, verbosity=0)
    return MigrationExecutor(connection).loader.project_state([("gallery", name)]).apps

def rows(apps):
    fields = "query", "rank", "similarity", "image", "duplicates"
    return [[str(value) for value in row] for row in
            apps.get_model("gallery", "Match").objects.order_by("query", "rank").values_list(*fields)]

call_command("migrate", verbosity=0)
before = migrated("0005_calibration")
Image, Query, Match = (before.get_model("gallery", name) for name in ("Image", "Query", "Match"))
images = [Image.objects.create(content_hash=str(n), width_px=1, height_px=1) for n in range(3)]
queries = Query.objects.bulk_create(Query(has_picture=True, state="done") for _ in range(1200))
Match.objects.bulk_create(
    Match(query=query, rank=rank, similarity=1 / rank, image=image, duplicates=[["a", 0.5]])
    for number, query in enumerate(queries) for rank, image in enumerate(images[: number % 4], start=1)
)
Query.objects.create(has_picture=True, state="waiting")
written = rows(before)
after = migrated("0007_matches_of_queries")
kept = {str(pk): matches for pk, matches in after.get_model("gallery", "Query").objects.values_list("pk", "matches")}
moved = [[pk, str(rank), str(m["similarity"]), m["image"], str(m["duplicates"])]
         for pk, matches in sorted(kept.items()) for rank, m in enumerate(matches or [], start=1)]
empty = sum(matches is None for matches in kept.values())
back = rows(migrated("0005_calibration"))
migrated("0007_matches_of_queries")
call_command("migrate", verbosity=0)
from gallery.models import Query
Query.objects.all().delete()  # nothing that is left refers to them
print(json.dumps([written == moved, len(written), empty, written == back]))
"""


def test_matches_move_to_their_queries_and_back_and_none_is_lost(tmp_path: Path) -> None:
    state = json.loads(fresh.run(MOVE, tmp_path, DJANGO_SETTINGS_MODULE="simsearch.settings").splitlines()[-1])
    assert state == [True, 1800, 1, True]
