"""What the commands and the workers say of a gallery whose model this version no longer has.

tests/commands/test_upgrade.py upgrades such a gallery by processes of its own.
"""

import io

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from gallery.models import Embedding, IndexGeneration
from tasks.search.neighbours import Neighbours
from tests.commands.test_upgrade import NOTICE, OLD
from tests.engine.galleries import MODEL_ID, make_vectors
from tests.tasks.conftest import add

pytestmark = pytest.mark.django_db

PICTURES = 2


@pytest.fixture(autouse=True)
def _old() -> None:
    """Provide an indexed gallery of a removed model."""
    for number, vector in enumerate(make_vectors(PICTURES).astype("<f2")):
        image = add(number)
        Embedding.objects.create(image_id=image.content_hash, model_id=OLD, vector=vector.tobytes())
    IndexGeneration.objects.create(model_id=OLD, state="ready", images=PICTURES, last_embedding=PICTURES, manifest={})
    settings.WEIGHTS_ROOT.mkdir(parents=True)
    (settings.WEIGHTS_ROOT / OLD).write_bytes(b"weights")


def command(*arguments: str) -> str:
    """Return what a command says, on both of its streams in their order."""
    output = io.StringIO()
    call_command(*arguments, stdout=output, stderr=output)
    return output.getvalue()


def test_a_worker_says_what_its_searches_find() -> None:
    neighbours = Neighbours(MODEL_ID)
    neighbours.refresh()
    assert neighbours.problem == (
        f"{NOTICE} Its pictures are embedded with efficientnet_lite0 for a new index; searches find those that are."
    )


def test_build_index_says_what_it_would_do_and_does_it() -> None:
    first = command("build_index", "--dry-run").splitlines()[0]
    assert first.startswith(f"{NOTICE} {PICTURES} of {PICTURES} pictures would be embedded by {MODEL_ID} on ")
    lines = command("build_index", "--if-stale").splitlines()
    assert lines[0] == f"{NOTICE} Embedding its {PICTURES} pictures with efficientnet_lite0 and building a new index."
    assert lines[-1].endswith(f"with {PICTURES} pictures by {MODEL_ID}.")


def test_switch_model_lists_it_and_does_not_change_to_it() -> None:
    assert command("switch_model").splitlines() == [
        "No model is active yet; manage.py build_index makes an index.",
        f"{OLD}: {PICTURES} of {PICTURES} pictures embedded. This version no longer has this model.",
    ]
    for name in ("compact", OLD):
        with pytest.raises(CommandError, match="This version has no model called 'compact'; choose one of effic"):
            command("switch_model", name)


def test_what_it_left_goes_when_requested() -> None:
    command("switch_model", "efficientnet_lite0")
    assert f"Deleted: what was kept of {OLD}." in command("switch_model", "--prune")
    assert set(Embedding.objects.values_list("model_id", flat=True)) == {MODEL_ID}
    assert not (settings.WEIGHTS_ROOT / OLD).exists()
