from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0002_stages_of_the_batch'),
    ]

    operations = [
        migrations.AddField(
            model_name='query',
            name='accept_stages_ms',
            field=models.JSONField(help_text='the stages of that', null=True),
        ),
    ]
