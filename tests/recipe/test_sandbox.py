"""A text of a recipe ends within a bound of time and memory, whatever it asks for, and ends the same everywhere."""

from collections.abc import Iterator

import pytest

from fuki_build.errors import RecipeError
from fuki_build.recipe.budget import Budget
from fuki_build.recipe.text import TEXT_STEPS, render_template, render_text
from fuki_build.testing import refused
from tests.fuzz.helper import memory_limit
from tests.support.recipe_mistakes.changes import CMDLINE, RECIPE
from tests.support.workshop import workshop_recipe


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    with memory_limit():
        yield


DOUBLED = "{% for i in range(60) %}{% set ns.x = BODY %}{% endfor %}{{ ns.x }}"

ENDLESS = {
    "a repeated text": "{{ 'a' * 10**9 }}",
    "a number times a text": "{{ 10**9 * 'a' }}",
    "a repeated list": "{{ [1] * 10**9 }}",
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops in loops that print": "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "a long text in a loop, kept": "{% set x %}{% for a in range(99999) %}" + "x" * 9999 + "{% endfor %}{% endset %}",
    "a text doubled with ~": "{% set ns = namespace(x='a') %}" + DOUBLED.replace("BODY", "ns.x ~ ns.x"),
    "a list doubled with +": "{% set ns = namespace(x=['a']) %}" + DOUBLED.replace("BODY", "ns.x + ns.x"),
    "a list of lists of lists": "{% set ns = namespace(x=['a']) %}" + DOUBLED.replace("BODY", "[ns.x, ns.x]"),
    "a width of %": "{{ '%1000000000d' % 1 }}",
    "a precision of %": "{{ '%.1000000000f' % 1 }}",
    "a width of % elsewhere": "{{ '%*d' % (10**9, 1) }}",
    "a width of the filter format": "{{ '%1000000000s' | format(1) }}",
    "a width of str.format": "{{ '{:1000000000}'.format(1) }}",
    "a width of str.format elsewhere": "{{ '{:{}}'.format(1, 10**9) }}",
    "a width of str.format as text": "{{ '{:{}}'.format(1, '1000000000') }}",
    "a width of str.format_map": "{{ '{a:1000000000}'.format_map({'a': 1}) }}",
    "the filter center": "{{ 'a' | center(10**9) }}",
    "the filter center through map": "{{ ['a'] | map('center', 10**9) | list }}",
    "the method center": "{{ 'a'.center(10**9) }}",
    "the method center of safe text": "{{ ('a' | safe).center(10**9) }}",
    "the method zfill": "{{ 'a'.zfill(10**9) }}",
    "the method expandtabs": "{{ '\\t'.expandtabs(10**9) }}",
    "the method to_bytes": "{{ (1).to_bytes(10**9, 'big') }}",
    "the filter replace": "{{ ('a' * 99999) | replace('a', 'b' * 99999) }}",
    "the method replace": "{{ ('a' * 99999).replace('', 'b' * 99999) }}",
    "the filter indent": "{{ 'a' | indent(10**9, true) }}",
    "the filter indent on many lines": "{{ ('\\n' * 9999) | indent(99999, true, true) }}",
    "the filter join": "{{ (['a' * 99999] * 99999) | join }}",
    "the method join": "{{ ('b' * 99999).join(['a'] * 99999) }}",
    "the filter batch": "{{ ['a'] | batch(10**9, 'x') | list }}",
    "the filter slice": "{{ ['a'] | slice(10**9) | list }}",
    "the filter tojson": "{{ {'a': 1} | tojson(indent=10**9) }}",
    "the filter round": "{{ 1 | round(-10**9) }}",
    "the filter round, upwards": "{{ 1 | round(10**9, 'ceil') }}",
    "the filter sum of lists": "{{ ([[1]] * 99999) | sum(start=[]) }}",
    "the filter striptags": "{{ ('<' * 999999) | striptags }}",
    "the filter wordwrap": "{{ ('a' * 999999) | wordwrap(1) }}",
    "comparing long texts often": "{% set x = 'a' * 99999 %}{% for i in range(99999) %}{{ x == x ~ 'b' }}{% endfor %}",
    "cutting long texts often": "{% set x = 'a' * 99999 %}{% for i in range(99999) %}{% set y = x[1:] %}{% endfor %}",
    "the filter replace, by name": "{{ ('a' * 99999) | replace(old='a', new='b' * 99999) }}",
    "the filter replace on a list": "{{ ['a' * 99999] | replace('a', 'b' * 99999) }}",
    "the filter indent with a text": "{{ ('\\n' * 9999) | indent('b' * 99999) }}",
    "the filter tojson with a text": "{{ [[1] * 9999] | tojson(indent='b' * 99999) }}",
    "the filter urlize with a target": "{{ ('www.a.org ' * 9999) | urlize(target='b' * 99999) }}",
    "a value named often by %": "{{ ('%(a)s' * 9999) % {'a': 'b' * 99999} }}",
    "a value named often by the filter format": "{{ ('%(a)s' * 9999) | format(a='b' * 99999) }}",
    "a value named often by str.format": "{{ ('{0}' * 9999).format('b' * 99999) }}",
    "a width of % in bytes": "{{ '%1000000000d'.encode() % 1 }}",
    "an encoding that is slow": "{{ ('\\u00fc' * 99999).encode('punycode') }}",
    "searching a text in another": "{{ ('a' * 999999).rfind('b' * 9999 + 'a') }}",
}


@pytest.mark.parametrize("case", ENDLESS)
def test_what_would_take_minutes_or_gigabytes_takes_too_many_steps(case: str):
    with pytest.raises(RecipeError, match="takes more than") as caught:
        render_text(ENDLESS[case], {}, "fuki.image.cmdline")
    assert caught.value.where == "fuki.image.cmdline"
    assert caught.value.hint


UNCOMPILABLE = {
    "powers of powers": "{{ 99 ** (99 ** (99 ** 99)) }}",
    "a range without end": "{{ range(10**9) | list }}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a loop that calls itself": "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "parentheses": "{{ " + "(" * 3000,
    "a sum of thousands": "{{ " + "1 + " * 3000 + "1 }}",
    "signs": "{{ " + "-" * 3000 + "1 }}",
    "attributes of attributes": "{{ a" + ".a" * 3000 + " }}",
    "loops in loops in loops": "{% for a in b %}" * 30 + "{% endfor %}" * 30,
    "half a character": "{{ '\\ud800' }}",
    "a random choice": "{{ [1, 2] | random }}",
    "random words": "{{ lipsum() }}",
}


@pytest.mark.parametrize("case", UNCOMPILABLE)
def test_what_cannot_be_rendered_is_one_error_at_its_place(case: str):
    with pytest.raises(RecipeError) as caught:
        render_text(UNCOMPILABLE[case], {}, "fuki.image.cmdline")
    assert caught.value.where == "fuki.image.cmdline"


ORDINARY = {
    "{{ ['b', 'a'] | sort | join(', ') | upper | replace('B', 'C') }}": "A, C",
    "{{ '%s-%03d' % ('a', 7) }} {{ '{:>3}'.format('a') }} {{ '%s' | format('z') }}": "a-007   a z",
    "{% for x in [1, 2] %}{{ loop.index }}/{{ loop.length }}{{ ',' if not loop.last }}{% endfor %}": "1/2,2/2",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1, b=3) }}{{ 'a,b'.split(',')[1] ~ 1 }}": "13b1",
    "{% set x %}a{% endset %}{% filter upper %}{{ x }}{% endfilter %}{{ {'a': [1]} | tojson }}": 'A{"a": [1]}',
    "{{ 3 in [1, 3] }} {{ 2 ** 10 }} {{ 7 // 2 }} {{ 'ab' * 3 }} {{ 'abc'[::-1] }}": "True 1024 3 ababab cba",
    "{{ [1, 2, 3] | select('odd') | map('string') | list }} {{ 'x' | center(5) }} {{ 2.5 | round(1) }}": (
        "['1', '3']   x   2.5"
    ),
}


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_text_is_what_jinja_makes_of_it(text: str):
    import jinja2.sandbox

    assert render_text(text, {}, "here") == ORDINARY[text]
    assert jinja2.sandbox.SandboxedEnvironment().from_string(text).render() == ORDINARY[text]


def test_all_texts_of_a_recipe_share_one_budget(workshop):
    one = "{{ ('a' * 99999) | length }}"
    assert render_text(one, {}, "here") == "99999"
    variables = "[fuki.variables]\n" + "".join(f'v{n} = "{one}"\n' for n in range(20))
    (workshop / "fuki.toml").write_text(workshop_recipe(variables))
    assert f"takes more than {TEXT_STEPS} steps" in refused(workshop, "plan")


def test_the_same_text_takes_the_same_steps_everywhere():
    spent = set()
    for _ in range(3):
        budget = Budget(TEXT_STEPS)
        render_text("{% for a in range(99) %}{{ 'a' * a }}{% endfor %}", {}, "here", budget)
        spent.add(budget.left)
    assert len(spent) == 1


def test_a_template_file_is_bounded_as_well(tmp_path):
    (tmp_path / "a.j2").write_text("{% for a in range(99999) %}{% include 'b.j2' %}{% endfor %}")
    (tmp_path / "b.j2").write_text("x" * 9999)
    with pytest.raises(RecipeError, match="takes more than") as caught:
        render_template("a.j2", {}, [tmp_path], "fuki.output[0]")
    assert caught.value.where == "fuki.output[0]"


def test_a_template_file_that_is_no_text_names_the_file(tmp_path):
    (tmp_path / "a.j2").write_bytes(b"caf\xe9")
    with pytest.raises(RecipeError, match=r"a\.j2: it is not UTF-8"):
        render_template("a.j2", {}, [tmp_path], "fuki.output[0]")


def test_a_variable_of_the_environment_that_is_not_utf_8_is_refused_at_its_place(workshop, monkeypatch):
    monkeypatch.setenv("ODD", "caf\udce9")
    (workshop / "fuki.toml").write_text(workshop_recipe(environment=["ODD"], cmdline="{{ env.ODD }}"))
    assert "fuki.image.cmdline: a text cannot hold '\\udce9'" in refused(workshop, "plan")


ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('touch escaped').read() }}",
    "{{ name.format.__self__.__class__ }}",
    "{{ '{0.__class__}'.format(name) }}",
    "{{ (name|attr('__class__')) }}",
    "{{ env.update({'a': 'b'}) }}",
    "{% include 'os-release' %}",
    "{% import 'os-release' as o %}",
)


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_text_does_not_get_out_of_its_sandbox(traps, escape):
    (traps / "fuki.toml").write_text(RECIPE.replace(f'"{CMDLINE} ro"', f"'''{escape}'''"))
    assert refused(traps, "build").startswith("fuki: error: fuki.image.cmdline: this text cannot be rendered")
