
import django.utils.timezone
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0015_parts_of_queries'),
    ]

    operations = [
        migrations.CreateModel(
            name='ZipImport',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=255)),
                ('label', models.CharField(blank=True, max_length=100)),
                ('label_from_folder', models.BooleanField(default=False)),
                ('size', models.BigIntegerField(help_text='bytes of the whole archive')),
                ('received', models.BigIntegerField(default=0, help_text='bytes that have arrived')),
                ('total', models.PositiveIntegerField(default=0, help_text='files in it')),
                ('done', models.PositiveIntegerField(default=0)),
                ('added', models.PositiveIntegerField(default=0)),
                ('known', models.PositiveIntegerField(default=0)),
                ('refused', models.JSONField(default=list, help_text='name and reason of the first ones that are no usable pictures')),
                ('error', models.CharField(blank=True, help_text='why nothing more of it is imported', max_length=300)),
                ('requested_by', models.CharField(help_text='name of the account', max_length=150)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(db_index=True, null=True)),
            ],
        ),
        migrations.AddField(
            model_name='bulkaction',
            name='before',
            field=models.BinaryField(help_text='what it changed, while it can be undone; compressed JSON', null=True),
        ),
        migrations.AddField(
            model_name='bulkaction',
            name='value',
            field=models.CharField(help_text='the new label', max_length=100, null=True),
        ),
        migrations.AlterField(
            model_name='bulkaction',
            name='action',
            field=models.CharField(help_text='delete, hide, show, label or undo', max_length=20),
        ),
    ]
