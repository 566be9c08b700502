import copy
from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def drop_foreign_keys(apps: Any, schema_editor: Any) -> None:
    """The table of matches stays for processes of the version before; it must keep nobody from deleting."""
    _alter(apps, schema_editor, constraint=False)


def add_foreign_keys(apps: Any, schema_editor: Any) -> None:
    _alter(apps, schema_editor, constraint=True)


def _alter(apps: Any, schema_editor: Any, *, constraint: bool) -> None:
    Match = apps.get_model('gallery', 'Match')
    fields = [Match._meta.get_field(name) for name in ('query', 'image')]
    before = [copy.copy(field) for field in fields]
    for field, old in zip(fields, before, strict=True):  # all first: SQLite makes the whole table anew
        field.db_constraint, old.db_constraint = constraint, not constraint
    for field, old in zip(fields, before, strict=True):
        schema_editor.alter_field(Match, old, field)


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0005_calibration'),
    ]

    # Processes of the version before may still run: the table of matches stays for them, and new columns may be empty.
    operations = [
        migrations.RunPython(drop_foreign_keys, add_foreign_keys),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                # `matches` is the name of the column that comes next.
                migrations.AlterField(
                    model_name='match',
                    name='query',
                    field=models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name='match_rows', to='gallery.query'
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name='query',
            name='matches',
            field=models.JSONField(help_text='gallery pictures, the most similar first', null=True),
        ),
        migrations.AddField(
            model_name='image',
            name='is_pending',
            field=models.BooleanField(
                editable=False,
                help_text='uploaded and not decoded yet; empty for other ways into the gallery',
                null=True,
            ),
        ),
    ]
