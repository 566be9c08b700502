from django.db import migrations, models

EMBEDDING = "name, weights checksum and recipe version"
OTHERS = "as in Embedding.model_id"


class Migration(migrations.Migration):
    """Call the id of a model `model_id`. The columns, the constraint and the index of the database stay as they are."""

    dependencies = [
        ("gallery", "0017_milvus"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveConstraint("embedding", "one_embedding_per_content_and_network"),
                migrations.RemoveIndex("embedding", "embeddings_in_order"),
                migrations.RenameField("embedding", "network", "model_id"),
                migrations.RenameField("indexgeneration", "network", "model_id"),
                migrations.RenameField("calibration", "network", "model_id"),
                migrations.RenameField("query", "network", "model_id"),
                migrations.AlterField(
                    "embedding", "model_id", models.CharField(db_column="network", help_text=EMBEDDING, max_length=64)
                ),
                migrations.AlterField(
                    "indexgeneration",
                    "model_id",
                    models.CharField(db_column="network", help_text=OTHERS, max_length=64),
                ),
                migrations.AlterField(
                    "calibration",
                    "model_id",
                    models.CharField(db_column="network", help_text=OTHERS, max_length=64, unique=True),
                ),
                migrations.AlterField(
                    "query",
                    "model_id",
                    models.CharField(blank=True, db_column="network", help_text=OTHERS, max_length=64),
                ),
                migrations.AddConstraint(
                    "embedding",
                    models.UniqueConstraint(
                        fields=["image", "model_id"], name="one_embedding_per_content_and_network"
                    ),
                ),
                migrations.AddIndex(
                    "embedding", models.Index(fields=["model_id", "id"], name="embeddings_in_order")
                ),
            ]
        )
    ]
