"""Texts that cannot be rendered."""

from tests.support.recipe_mistakes.changes import CMDLINE, Mistakes, more, swap, top

TEXTS: Mistakes = {
    "an undefined name": (
        swap(CMDLINE, "root={{ disk }}"),
        "fuki.image.cmdline",
        "'disk' is undefined",
        "known names: env, name, version",
    ),
    "a template that is no Jinja": (swap(CMDLINE, "{% if %}"), "fuki.image.cmdline", "line 1", "known names"),
    "a template that is not closed": (swap(CMDLINE, "{{ name"), "fuki.image.cmdline", "line 1", "known names"),
    "an undefined name in a profile": (
        more('[[fuki.profile]]\nid = "a"\ncmdline = "{{ nope }}"\n'),
        "fuki.profile[0].cmdline",
        "'nope' is undefined",
        "known names",
    ),
    "an undefined name in an output's path": (
        more('[[fuki.output]]\nformat = "uki"\npath = "{{ nope }}.efi"\n'),
        "fuki.output[0].path",
        "'nope' is undefined",
        "known names",
    ),
    "a variable that names a later one": (
        top('[fuki.variables]\na = "{{ b }}"\nb = "x"'),
        "fuki.variables.a",
        "'b' is undefined",
        "known names: env",
    ),
    "a division by zero": (swap(CMDLINE, "{{ 1 // 0 }}"), "fuki.image.cmdline", "zero", "known names"),
    "a text that eats all memory": (swap(CMDLINE, "{{ 'a' * 10**15 }}"), "fuki.image.cmdline", "steps", "repeat less"),
    "a macro without end": (
        swap(CMDLINE, "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
        "fuki.image.cmdline",
        "recursion",
        "known names",
    ),
    "an environment variable that was not asked for": (
        swap(CMDLINE, "{{ env.PATH }}"),
        "fuki.image.cmdline",
        "PATH",
        "known names",
    ),
    "an environment variable that is not set": (
        top('environment = ["FUKI_TEST_NOT_SET"]'),
        "fuki.environment[0]",
        "no FUKI_TEST_NOT_SET",
        "",
    ),
    "a NUL in a path": (swap('"vmlinuz"', '"a\\u0000b"'), "fuki.image.linux", "NUL", "remove"),
}
