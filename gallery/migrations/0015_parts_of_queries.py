import django.db.models.deletion
import gallery.models
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0014_insight'),
    ]

    operations = [
        migrations.AddField(
            model_name='query',
            name='has_parts',
            field=models.BooleanField(help_text='more than one picture: the others are its parts', null=True),
        ),
        migrations.AddField(
            model_name='query',
            name='link',
            field=models.CharField(help_text='the address from which a worker fetches the picture', max_length=2000, null=True),
        ),
        migrations.CreateModel(
            name='QueryPart',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('place', models.PositiveSmallIntegerField(help_text='its order among the parts of the query')),
                ('has_picture', models.BooleanField(help_text='an upload; otherwise it is the gallery picture `image`')),
                ('is_negative', models.BooleanField(help_text='matches shall be unlike it')),
                ('image', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='gallery.image')),
                ('query', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='gallery.query')),
            ],
            options={
                'ordering': ['place'],
                'constraints': [models.UniqueConstraint(fields=('query', 'place'), name='one_part_in_each_place')],
            },
            bases=(gallery.models.Uploaded, models.Model),
        ),
    ]
