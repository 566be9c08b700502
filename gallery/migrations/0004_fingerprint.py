from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0003_retire_compact'),
    ]

    operations = [
        migrations.AlterField(
            model_name='embedding',
            name='network',
            field=models.CharField(help_text='name, weights checksum and recipe version', max_length=64),
        ),
        migrations.AddField(
            model_name='embedding',
            name='fingerprint',
            field=models.BinaryField(help_text='perceptual hash: tells copies from others', null=True),
        ),
    ]
