"""Embeddings added since the index was built, also when a lower id becomes visible after a higher one."""

import numpy as np
import pytest
from django.db import connection

from gallery.models import Embedding
from tasks.search.delta import Delta

MODEL_ID = "efficientnet_lite0-test-p1"


def embedding(id_: int) -> None:
    vector = np.zeros(4096, "<f2")
    vector[id_] = 1
    Embedding.objects.create(pk=id_, image_id=f"{id_:064x}", model_id=MODEL_ID, vector=vector.tobytes())


def test_each_id_has_its_own_vector(db: None) -> None:
    known = Delta(MODEL_ID, last=1, indexed=np.array([1], np.int64))
    for id_ in (1, 2, 3):
        embedding(id_)
    known.refresh()
    embedding(7)
    known.refresh()
    assert known.ids.tolist() == [2, 3, 7]
    assert known.stored(np.array([7, 2]))[0].argmax(axis=1).tolist() == [7, 2]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer: ids become visible in order")
def test_a_late_id_takes_its_place(db: None) -> None:
    known = Delta(MODEL_ID)
    for ids in ((5, 9), (4, 7), (8,)):
        for id_ in ids:
            embedding(id_)
        known.refresh()
    assert known.ids.tolist() == [4, 5, 7, 8, 9]
    assert known.stored(known.ids)[0].argmax(axis=1).tolist() == [4, 5, 7, 8, 9]
