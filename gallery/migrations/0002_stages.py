from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0001_initial'),
    ]

    # Processes of the version before may still run: the column keeps its name, and the new ones may be left out.
    operations = [
        migrations.AlterField(
            model_name='query',
            name='timings_ms',
            field=models.JSONField(db_column='timings_ms', default=dict),
        ),
        migrations.RenameField(model_name='query', old_name='timings_ms', new_name='stages_ms'),
        migrations.AlterField(
            model_name='query',
            name='stages_ms',
            field=models.JSONField(
                db_column='timings_ms', default=dict, help_text='the stages of the batch that answered it'
            ),
        ),
        migrations.AddField(
            model_name='query',
            name='accept_ms',
            field=models.FloatField(help_text='from the first byte to a waiting query', null=True),
        ),
        migrations.AddField(
            model_name='query',
            name='accept_stages_ms',
            field=models.JSONField(help_text='the stages of that', null=True),
        ),
    ]
