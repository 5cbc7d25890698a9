"""Moving, turning and zooming a picture: where each of its points is seen afterwards."""

import math

import numpy as np
import pytest

from latent_lantern.latent_addon.core.transform import inverse_transform


def seen_at(point, *settings):
    """Where the content at `point` is seen. The unit is the picture's size; from the middle, x to the right, y down."""
    matrix = np.array(inverse_transform(*settings)).reshape(3, 3)
    return np.linalg.solve(matrix, (*point, 1.0))[:2]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((0.25, 0.0, 0.0, 1.0), (0.75, 0.0)),  # to the right
        ((0.0, 0.25, 0.0, 1.0), (0.5, -0.25)),  # up
        ((0.0, 0.0, math.pi / 2, 1.0), (0.0, -0.5)),  # counter-clockwise: the right edge goes to the top
        ((0.0, 0.0, 0.0, 2.0), (1.0, 0.0)),  # larger
        ((0.25, 0.0, math.pi / 2, 2.0), (0.25, -1.0)),  # zoomed, turned, then moved
    ],
)
def test_the_right_edge_goes_where_it_should(settings, expected):
    assert np.allclose(seen_at((0.5, 0.0), *settings), expected)


def test_nothing_moved_is_no_matrix():
    assert inverse_transform(0.0, 0.0, 0.0, 1.0) == ()
    assert len(inverse_transform(0.0, 0.0, 2 * math.pi, 1.0)) == 9


def test_no_entry_is_a_negative_zero():
    """It would give equal pictures two names."""
    assert all(math.copysign(1.0, value) > 0 for value in inverse_transform(0.0, 0.0, math.pi, 1.0) if value == 0.0)
