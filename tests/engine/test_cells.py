"""Cells hold every picture once, near ones together, and Annoy finds those near a query."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.cells import COARSE, Cells
from tests.engine.galleries import unit

COUNT, GROUPS = 3000, 12


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    """Return groups that lie far apart: row r is in group r % GROUPS."""
    random = np.random.default_rng(4)
    middles = random.standard_normal((GROUPS, 128), np.float32)
    spread = 0.2 * random.standard_normal((COUNT, 128), np.float32)
    return unit(middles[np.arange(COUNT) % GROUPS] + spread)


@pytest.fixture(scope="module")
def cells(vectors: NDArray[np.float32]) -> Cells:
    return Cells.draw(vectors, seed=1)


def test_every_row_is_in_one_cell_and_no_cell_is_empty(cells: Cells) -> None:
    held = [cells.order[cells.part(cell)] for cell in range(cells.count)]
    assert np.sort(np.concatenate(held)).tolist() == list(range(COUNT))
    assert min(len(rows) for rows in held) > 0
    assert cells.annoy.get_n_items() == cells.count


def test_rows_lie_in_their_order_within_a_cell(cells: Cells) -> None:
    assert all(np.all(np.diff(cells.order[cells.part(cell)]) > 0) for cell in range(cells.count))


def test_each_row_is_told_its_cell(cells: Cells) -> None:
    of_rows = cells.of_rows()
    for cell in range(cells.count):
        assert np.flatnonzero(of_rows == cell).tolist() == cells.order[cells.part(cell)].tolist()


def test_what_is_far_apart_is_in_different_cells(cells: Cells) -> None:
    for cell in range(cells.count):
        assert len({row % GROUPS for row in cells.order[cells.part(cell)].tolist()}) == 1


def test_the_nearest_cells_hold_what_is_near(cells: Cells, vectors: NDArray[np.float32]) -> None:
    random = np.random.default_rng(5)
    for group in range(GROUPS):
        query = unit(vectors[[group]] + 0.05 * random.standard_normal((1, 128), np.float32))[0]
        for cell in cells.nearest(query, 5, 10_000):
            assert cells.order[cells.part(cell)][0] % GROUPS == group


def test_the_length_of_a_query_changes_nothing(cells: Cells, vectors: NDArray[np.float32]) -> None:
    assert cells.nearest(vectors[7], 20, 10_000) == cells.nearest(vectors[7] * np.float32(0.5), 20, 10_000)


def test_copies_of_one_picture_make_one_cell() -> None:
    copies = np.tile(unit(np.ones((1, 128), np.float32)), (500, 1))
    cells = Cells.draw(copies, seed=1)
    assert cells.bounds == [0, 500]
    assert cells.nearest(copies[0], 10, 10_000) == [0]


def test_centres_have_as_many_numbers_as_annoy_is_good_at(cells: Cells) -> None:
    assert cells.annoy.f == COARSE
