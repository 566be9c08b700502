from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0010_fold_titles'),
    ]

    operations = [
        migrations.AddField(
            model_name='query',
            name='is_incomplete',
            field=models.BooleanField(help_text='its file ended too soon; searched with what is there', null=True),
        ),
    ]
