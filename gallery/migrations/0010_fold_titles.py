from typing import Any

from django.db import migrations

from gallery.text import folded

STEP = 1000


def fold(apps: Any, schema_editor: Any) -> None:
    """Fill the folded columns of the pictures that are there. In SQL: Django's bulk_update takes ten times as long."""
    Image = apps.get_model('gallery', 'Image')
    connection, key = schema_editor.connection, Image._meta.pk
    rows = Image.objects.filter(label_folded__isnull=True).order_by('pk').values_list('pk', 'title', 'label')
    last = None
    while step := list((rows.filter(pk__gt=last) if last else rows)[:STEP]):
        values = [(folded(title), folded(label), key.get_db_prep_save(pk, connection)) for pk, title, label in step]
        with connection.cursor() as cursor:
            cursor.executemany('UPDATE gallery_image SET title_folded = %s, label_folded = %s WHERE id = %s', values)
        last = step[-1][0]


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0009_bulk_and_folded'),
    ]

    operations = [
        migrations.RunPython(fold, migrations.RunPython.noop),
    ]
