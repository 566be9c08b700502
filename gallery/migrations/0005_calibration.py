import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0004_fingerprint'),
    ]

    operations = [
        migrations.CreateModel(
            name='Calibration',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('network', models.CharField(help_text='its identity, as in Embedding.network', max_length=64, unique=True)),
                ('same', models.FloatField(help_text='the cosine from which a match is almost the same picture')),
                ('very_similar', models.FloatField()),
                ('similar', models.FloatField()),
                ('duplicate', models.FloatField(help_text='the cosine from which two pictures are near-duplicates')),
                ('pictures', models.PositiveIntegerField(help_text='how many pictures the gallery had')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('duplicate__lte', 1), ('same__lte', 1), ('similar__gte', -1), ('similar__lte', models.F('very_similar')), ('very_similar__lte', models.F('same')), ('very_similar__lte', models.F('duplicate'))), name='thresholds_are_in_order')],
            },
        ),
    ]
