from typing import Any

from django.db import migrations
from django.db.models import Q


def deactivate(apps: Any, schema_editor: Any) -> None:
    """Deactivate an index of the network `compact`, which is gone: a new one is then built by the default network.

    Rows and files stay, so the version before can build its index again and serve.
    """
    generations = apps.get_model("gallery", "IndexGeneration").objects
    generations.filter(Q(network="compact") | Q(network__startswith="compact-"), is_active=True).update(is_active=False)


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0002_stages'),
    ]

    operations = [
        migrations.RunPython(deactivate, migrations.RunPython.noop),
    ]
