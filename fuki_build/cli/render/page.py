"""A report, or the differences of two images, as one HTML page, from a template."""

from collections.abc import Sequence
from typing import Any

import msgspec

from fuki_build import __version__
from fuki_build.cli.render.diff import IMAGE_COLUMNS, images, parts, remarks
from fuki_build.cli.render.plain import plain_tree
from fuki_build.cli.render.sizes import human_size
from fuki_build.recipe.text import render_template, template_directory
from fuki_build.report.differences.forbidding import Violation
from fuki_build.report.differences.views import ImageDifferences
from fuki_build.report.facts import Report


def page_of(report: Report) -> str:
    """The page. Control characters of foreign images are shown as escapes: they could turn text around."""
    facts = plain_tree(msgspec.to_builtins(report))
    # A page of many profiles would look through all sections for each.
    sections: dict[int | None, list[dict[str, Any]]] = {}
    for section in facts["image"]["sections"]:
        sections.setdefault(section["profile"], []).append(section)
    variables = {"report": facts, "sections_of": sections, "human_size": human_size}
    text, _ = render_template("report.html.j2", variables, [template_directory()], "report")
    return text


def page_of_differences(document: ImageDifferences, forbidden: Sequence[Violation]) -> str:
    """The page on two images: the tables that are printed, and what was forbidden."""
    tables = [part._asdict() for part in parts(document) if part.rows]
    facts = {
        "generator": f"fuki {__version__}",
        "old": document.old.image,
        "new": document.new.image,
        "image_columns": IMAGE_COLUMNS,
        "images": list(images(document)),
        "remarks": list(remarks(document)),
        "forbidden": msgspec.to_builtins(forbidden),
        "parts": tables,
    }

    text, _ = render_template("differences.html.j2", plain_tree(facts), [template_directory()], "diff")
    return text
