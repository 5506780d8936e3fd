"""The workshop with a recipe of some of everything."""

import pytest

from tests.support.rich import make_rich


@pytest.fixture
def rich(workshop, part):
    return make_rich(workshop, part)
