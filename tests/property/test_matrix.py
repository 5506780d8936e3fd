"""Matrices against the words of GitHub's documentation, read off cell by cell."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import RecipeError
from fuki_build.recipe.matrix import choose_cells, find_cells

AXES = {"a": ["1", "2", "3"], "b": ["x", "y"]}
ITEMS = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(["1", "2", "x", "z"]), max_size=3)


def expected(includes, excludes):
    """Combinations that no exclusion names, with what each inclusion may add; then the inclusions that could not."""
    original = [dict(zip(AXES, values, strict=True)) for values in product(*AXES.values())]
    original = [cell for cell in original if not any(item.items() <= cell.items() for item in excludes)]

    cells = [(cell, dict(cell)) for cell in original]
    new = []
    for item in includes:
        # "if none of the key:value pairs overwrite any of the original matrix values"
        fitting = [added for cell, added in cells if all(cell.get(key, value) == value for key, value in item.items())]
        for added in fitting:
            added.update(item)
        if not fitting:
            new.append(item)

    return [added for _, added in cells] + new


@given(
    st.lists(ITEMS, max_size=4),
    st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2", "x"]), min_size=1), max_size=2),
)
def test_cells_are_those_that_the_documentation_of_github_describes(includes, excludes):
    try:
        cells = find_cells({**AXES, "include": includes, "exclude": excludes})
    except RecipeError as error:
        # What GitHub lets pass silently, or would name alike.
        assert any(text in error.message for text in ("leaves out no cell", "on no axis", "twice", "no cells"))  # noqa: PT017 - one of two outcomes
        return
    assert [dict(cell.variables) for cell in cells] == expected(includes, excludes)
    assert all(choose_cells(cells, [cell.id]) for cell in cells)
