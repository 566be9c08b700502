import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0012_client'),
    ]

    operations = [
        migrations.AlterField(
            model_name='embedding',
            name='image',
            field=models.ForeignKey(db_column='content_hash', db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='embeddings', to='gallery.image', to_field='content_hash'),
        ),
        migrations.AddField(
            model_name='image',
            name='taken_at',
            field=models.DateTimeField(db_index=True, editable=False, help_text='when it was photographed, by the Exif data of its file', null=True, verbose_name='taken'),
        ),
        migrations.AddField(
            model_name='image',
            name='has_preview',
            field=models.BooleanField(editable=False, help_text='its preview is a file of its own', null=True),
        ),
        migrations.AddField(
            model_name='image',
            name='has_original',
            field=models.BooleanField(editable=False, help_text='the file as it came is kept', null=True),
        ),
    ]
