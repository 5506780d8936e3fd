"""`[fuki.matrix]`: which cells a recipe has, and what its texts have in each."""

import re

import pytest

from fuki_build.errors import RecipeError
from fuki_build.recipe.load import load_cells, load_recipe
from fuki_build.recipe.matrix import MAX_CELLS, choose_cells, find_cells
from fuki_build.testing import recipe
from tests.support.workshop import lay_out

LINUX = "vmlinuz-{{ matrix.arch }}"


def variables(matrix):
    return [dict(cell.variables) for cell in find_cells(matrix)]


class TestAsGitHub:
    """The examples of GitHub's documentation of matrices, with the jobs that it says they make."""

    def test_include(self):
        assert variables(
            {
                "fruit": ["apple", "pear"],
                "animal": ["cat", "dog"],
                "include": [
                    {"color": "green"},
                    {"color": "pink", "animal": "cat"},
                    {"fruit": "apple", "shape": "circle"},
                    {"fruit": "banana"},
                    {"fruit": "banana", "animal": "cat"},
                ],
            }
        ) == [
            {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
            {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
            {"fruit": "pear", "animal": "cat", "color": "pink"},
            {"fruit": "pear", "animal": "dog", "color": "green"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ]

    def test_exclude(self):
        cells = variables(
            {
                "os": ["macos-latest", "windows-latest"],
                "version": [12, 14, 16],
                "environment": ["staging", "production"],
                "exclude": [
                    {"os": "macos-latest", "version": 12, "environment": "production"},
                    {"os": "windows-latest", "version": 16},
                ],
            }
        )
        assert len(cells) == 9
        assert {"os": "windows-latest", "version": "16", "environment": "staging"} not in cells

    def test_only_items_of_include(self):
        items = [{"site": "production", "datacenter": "site-a"}, {"site": "staging", "datacenter": "site-b"}]
        assert variables({"site": [], "include": items}) == items


class TestCells:
    def test_a_value_brings_its_variables_into_further_cells_too(self):
        matrix = {
            "arch": {"x64": {"console": "ttyS0"}, "aa64": {"console": "ttyAMA0"}},
            "cloud": ["aws"],
            "include": [{"arch": "aa64", "cloud": "gcp"}],
        }
        assert variables(matrix)[-1] == {"arch": "aa64", "cloud": "gcp", "console": "ttyAMA0"}
        assert [cell.id for cell in find_cells(matrix)] == [
            "arch=x64,cloud=aws", "arch=aa64,cloud=aws", "arch=aa64,cloud=gcp",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("matrix", "where", "text"),
        [
            ({"include": [{"a": "b"}]}, "fuki.matrix", "no axis"),
            ({"arch": []}, "fuki.matrix", "no cells"),
            ({"arch": ["x64", "x64"]}, "fuki.matrix.arch[1]", "twice"),
            ({"arch": ["a b"]}, "fuki.matrix.arch[0]", "expected a string matching regex"),
            ({"arch": {"a,b": {}}}, 'fuki.matrix.arch."a,b"', "no value of an axis"),
            ({"arch": "x64"}, "fuki.matrix.arch", "expected"),
            ({"a-b": ["x64"]}, "fuki.matrix", "expected a string matching regex"),
            ({"arch": [{"x64": "y"}]}, "fuki.matrix.arch[0]", "a text or a number"),
            ({"arch": ["x64"], "include": {"x": {}}}, "fuki.matrix.include", "list of tables"),
            ({"arch": ["x64"], "exclude": ["x64"]}, "fuki.matrix.exclude", "list of tables"),
            ({"arch": ["x64"], "exclude": [{"arhc": "x64"}]}, "fuki.matrix.exclude[0].arhc", "no axis"),
            ({"arch": ["x64"], "exclude": [{"arch": "x86"}]}, "fuki.matrix.exclude[0]", "leaves out no cell"),
            ({"arch": {"x64": {"arch": "y"}}}, "fuki.matrix.arch.x64.arch", "an axis already"),
            ({"arch": {"x64": {"c": "y"}}, "cloud": {"aws": {"c": "z"}}}, "fuki.matrix.cloud.aws.c", "already"),
            ({"arch": [], "include": [{"c": "d"}]}, "fuki.matrix.include[0]", "no axis"),
            ({"a": [], "include": [{"a": "a", "x": "1"}, {"a": "a", "x": "2"}]}, "fuki.matrix.include[1]", "twice"),
            ({f"a{i}": list(range(10)) for i in range(9)}, "fuki.matrix", f"more than the {MAX_CELLS}"),
        ],
    )  # fmt: skip
    def test_a_mistake_is_told_at_its_place(self, matrix, where, text):
        with pytest.raises(RecipeError, match=re.escape(text)) as caught:
            find_cells(matrix)
        assert caught.value.where == where
        assert caught.value.hint or "more than" in text


class TestChoosing:
    CELLS = find_cells({"arch": ["x64", "aa64"], "cloud": ["aws", "gcp"]})

    @pytest.mark.parametrize(
        ("choices", "ids"),
        [
            ((), ["arch=x64,cloud=aws", "arch=x64,cloud=gcp", "arch=aa64,cloud=aws", "arch=aa64,cloud=gcp"]),
            (("cloud=gcp",), ["arch=x64,cloud=gcp", "arch=aa64,cloud=gcp"]),
            (("cloud=aws,arch=x64",), ["arch=x64,cloud=aws"]),
            (("arch=*64,cloud=g*",), ["arch=x64,cloud=gcp", "arch=aa64,cloud=gcp"]),
            (("arch=aa64", "cloud=gcp"), ["arch=x64,cloud=gcp", "arch=aa64,cloud=aws", "arch=aa64,cloud=gcp"]),
        ],
    )
    def test_the_cells_that_are_named(self, choices, ids):
        assert [cell.id for cell in choose_cells(self.CELLS, choices)] == ids

    @pytest.mark.parametrize(
        ("choice", "text", "hint"),
        [
            ("x64", "is not AXIS=VALUE", "--cell arch=x64,cloud=aws"),
            ("arhc=x64", "no axis 'arhc'", "'arch'"),
            ("arch=x86", "no cell is 'arch=x86'", "arch=x64,cloud=aws"),
        ],
    )
    def test_a_choice_of_nothing_is_an_error(self, choice, text, hint):
        with pytest.raises(RecipeError, match=text) as caught:
            choose_cells(self.CELLS, [choice])
        assert hint in (caught.value.hint or "")

    def test_a_recipe_without_matrix_has_no_cells_to_choose(self):
        with pytest.raises(RecipeError, match="no matrix"):
            choose_cells((), ["arch=x64"])


class TestTexts:
    def test_each_cell_s_texts_have_its_values_and_so_have_variables(self, tmp_path):
        tables = (
            '[fuki.variables]\nboth = "{{ matrix.arch }}+{{ matrix.n }}"\n'
            '[fuki.matrix]\narch = ["x64", "aa64"]\nn = [1]\n'
        )
        lay_out(tmp_path, recipe=recipe(tables, linux=LINUX, cmdline="{{ both }}"))
        images = [cell.recipe.image for cell in load_cells(tmp_path)]
        assert [(image.linux, image.cmdline) for image in images] == [
            ("vmlinuz-x64", "x64+1"),
            ("vmlinuz-aa64", "aa64+1"),
        ]

    def test_a_name_that_a_cell_lacks_is_told_with_the_cell(self, tmp_path):
        matrix = '[fuki.matrix]\narch = ["x64"]\n[[fuki.matrix.include]]\narch = "aa64"\nextra = "1"\n'
        lay_out(tmp_path, recipe=recipe(matrix, linux=LINUX, cmdline="{{ matrix.extra }}"))
        with pytest.raises(RecipeError, match=r"cell arch=x64: fuki\.image\.cmdline: .*extra") as caught:
            load_cells(tmp_path)
        assert "matrix.arch" in (caught.value.hint or "")

    def test_what_is_about_one_image_asks_for_a_choice(self, tmp_path):
        lay_out(tmp_path, recipe=recipe('[fuki.matrix]\narch = ["x64", "aa64"]', linux=LINUX))
        with pytest.raises(RecipeError, match="2 cells"):
            load_recipe(tmp_path)
        assert load_recipe(tmp_path, None, ["arch=aa64"]).recipe.image.linux == "vmlinuz-aa64"

    def test_mkosi_s_section_says_the_same(self, tmp_path):
        text = (
            "[Fuki]\nName=acme\nLinux=vmlinuz-{{ matrix.arch }}-{{ matrix.mode }}\n"
            'Matrix=arch=x64,aa64\n  \'include=[{arch="x64", mode="a"}, {arch="aa64", mode="b"}]\'\n'
        )
        lay_out(tmp_path, files={"mkosi.conf": text})
        assert [cell.recipe.image.linux for cell in load_cells(tmp_path)] == ["vmlinuz-x64-a", "vmlinuz-aa64-b"]
