"""A picture of the layout, drawn to scale, from a template."""

from typing import Any

import msgspec

from fuki_build.cli.render.plain import plain_tree
from fuki_build.cli.render.sizes import human_size
from fuki_build.emit.plan import Plan
from fuki_build.recipe.text import render_template

_COLOURS = {
    ".linux": "#4e79a7", ".initrd": "#f28e2b", ".efifw": "#59a14f", ".hwids": "#8cd17d", ".cmdline": "#b07aa1",
    ".osrel": "#9c755f", ".profile": "#e15759", ".ucode": "#ffbe7d", ".dtb": "#86bcb6", ".dtbauto": "#86bcb6",
}  # fmt: skip
_OTHER = "#bab0ac"


def picture_of(plan: Plan, form: str) -> str:
    """SVG, or an HTML page with it."""
    variables: dict[str, Any] = {
        "images": [plain_tree(msgspec.to_builtins(view)) for view in plan.views],
        "colours": _COLOURS,
        "other_colour": _OTHER,
        "human_size": human_size,
        "name": plan.loaded.recipe.name,
        "version": plan.loaded.recipe.version,
    }
    text, _ = render_template(f"layout.{form}.j2", variables, plan.template_directories, f"--{form}")
    return text
