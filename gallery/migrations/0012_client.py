from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0011_incomplete'),
    ]

    operations = [
        migrations.AddField(
            model_name='query',
            name='client',
            field=models.CharField(editable=False, help_text='who sent it, as a hash; empty once it is answered', max_length=32, null=True),
        ),
    ]
