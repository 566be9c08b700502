from typing import Any

from django.db import migrations
from django.db.models import Min

from gallery.text import label_key, tidied


def merge(apps: Any, schema_editor: Any) -> None:
    """Give labels that differ only in case, white space or Unicode form the spelling that was seen first."""
    Image = apps.get_model('gallery', 'Image')
    seen = Image.objects.exclude(label='').values('label').annotate(first=Min('created_at')).order_by('first', 'label')
    spellings: dict[str, str] = {}
    for label in list(seen.values_list('label', flat=True)):
        spelling = spellings.setdefault(label_key(label), tidied(label))
        if spelling != label:
            Image.objects.filter(label=label).update(label=spelling)
    Query = apps.get_model('gallery', 'Query')
    for query in Query.objects.filter(state__in=['waiting', 'running']).exclude(labels=[]).only('pk', 'labels'):
        query.labels = [spellings.get(label_key(label), label) for label in query.labels]
        query.save(update_fields=['labels'])


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0007_matches_of_queries'),
    ]

    operations = [
        migrations.RunPython(merge, migrations.RunPython.noop),
    ]
