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
    "one_match_per_image",
    "one_match_per_rank",
    "query_state_is_known",
    "queries_by_state",
    "embeddings_in_order",
    "thresholds_are_in_order",
}


def test_the_migrations_go_forth_and_back_and_are_complete(tmp_path: Path) -> None:
    told = json.loads(fresh.run(MIGRATE, tmp_path, DJANGO_SETTINGS_MODULE="simsearch.settings").splitlines()[-1])
    assert told["left"] == []
    assert set(told["constraints"]) >= NEEDED
