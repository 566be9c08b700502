from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def drop_foreign_keys(apps: Any, schema_editor: Any) -> None:
    """On a server, where processes of the version before still add matches: they must keep nobody from deleting.

    SQLite has one machine, whose processes have ended before the migration.
    """
    if schema_editor.connection.vendor != 'postgresql':
        return
    Match = apps.get_model('gallery', 'Match')
    with schema_editor.connection.cursor() as cursor:
        constraints = schema_editor.connection.introspection.get_constraints(cursor, Match._meta.db_table)
    for name, constraint in constraints.items():
        if constraint['foreign_key']:
            schema_editor.execute(schema_editor._delete_fk_sql(Match, name))


def add_foreign_keys(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != 'postgresql':
        return
    Match = apps.get_model('gallery', 'Match')
    for field in ('query', 'image'):
        suffix = '_fk_%(to_table)s_%(to_column)s'
        schema_editor.execute(schema_editor._create_fk_sql(Match, Match._meta.get_field(field), suffix))


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0005_calibration'),
    ]

    # Processes of the version before may still run: the table of matches stays for them, and new columns may be empty.
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(drop_foreign_keys, add_foreign_keys)],
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
