from typing import Any

from django.db import migrations

STEP = 500


def move_matches(apps: Any, schema_editor: Any) -> None:
    """Copy the rows of Match into the column of their query, in the order of their ranks."""
    Query = apps.get_model('gallery', 'Query')
    done = Query.objects.filter(state='done', matches__isnull=True).order_by('pk').only('pk')
    while step := list(done.prefetch_related('match_rows')[:STEP]):
        for query in step:
            query.matches = [
                {'image': str(row.image_id), 'similarity': row.similarity, 'duplicates': row.duplicates}
                for row in sorted(query.match_rows.all(), key=lambda row: row.rank)
            ]
        Query.objects.bulk_update(step, ['matches'])


def move_back(apps: Any, schema_editor: Any) -> None:
    """The same backwards; a picture that was deleted since has no row."""
    Query = apps.get_model('gallery', 'Query')
    Match = apps.get_model('gallery', 'Match')
    images = set(map(str, apps.get_model('gallery', 'Image').objects.values_list('pk', flat=True)))
    Match.objects.all().delete()
    for query in Query.objects.exclude(matches__isnull=True).order_by('pk').only('pk', 'matches').iterator(chunk_size=STEP):
        there = [match for match in query.matches if match['image'] in images]
        Match.objects.bulk_create(
            Match(
                query_id=query.pk,
                rank=rank,
                similarity=match['similarity'],
                image_id=match['image'],
                duplicates=match['duplicates'],
            )
            for rank, match in enumerate(there, start=1)
        )


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0006_matches'),
    ]

    # The table is left for processes of the version before; a later version drops it.
    operations = [
        migrations.RunPython(move_matches, move_back),
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel('Match')]),
    ]
