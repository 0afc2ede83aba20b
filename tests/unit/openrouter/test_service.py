"""The patience of a look-up."""

import pytest

from generator.openrouter.service import lookup_pauses


@pytest.mark.parametrize(
    ("seconds", "pauses"), [(0, []), (0.4, []), (0.5, [0.5]), (2, [0.5, 1]), (16, [0.5, 1, 2, 4, 8])]
)
def test_pauses_double_within_the_setting(seconds: float, pauses: list[float]) -> None:
    """As many as fit; none is cut short."""
    assert lookup_pauses(seconds) == pauses
