from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0011_incomplete'),
    ]

    operations = [
        migrations.AddField(
            model_name='query',
            name='client',
            field=models.CharField(blank=True, db_default='', default='', editable=False, help_text='who pays for a costly picture, as a hash; empty once it is answered', max_length=32),
        ),
    ]
