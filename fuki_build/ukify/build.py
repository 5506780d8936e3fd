"""The verb build: a call's image, by the way of recipes."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from fuki_build import pipeline
from fuki_build.errors import FukiError
from fuki_build.hooks.rules import Finding
from fuki_build.image.digest_plan import NO_DIGESTS
from fuki_build.recipe.caller import Caller, Product
from fuki_build.recipe.load import load_recipe, recipe_of
from fuki_build.ukify.call import UkifyCall
from fuki_build.ukify.partial import image_settings
from fuki_build.ukify.places import in_callers_terms
from fuki_build.ukify.registers import measured_text, policies_text
from fuki_build.ukify.translate import caller_of

_EXECUTABLE = 0o777
"""Upstream makes signed images executable, as far as the umask lets it."""


class Built(Struct, frozen=True):
    """The files that a call wrote, and what goes to standard output."""

    paths: tuple[Path, ...]
    printed: str


def build(
    call: UkifyCall,
    recipe: Path | None,
    plugins: tuple[str, ...],
    note: Callable[[str], None],
    show: Callable[[Sequence[Finding]], None],
) -> Built:
    """Build the image of a call, with what a partial recipe adds. All files are written, or none.

    Without a recipe, findings are only told: the caller asked for what ukify makes. A recipe's checks refuse.
    Raises `FukiError`, with the option's name where one is what is wrong.
    """
    notes: list[str] = []
    output = Path(call.one("output") or "")
    caller = Caller()
    try:
        caller = caller_of(call, notes)
        for text in notes:
            note(text)

        if caller.product is not Product.UKI:
            # Addons, and profiles that are still to be joined, are as upstream's; the recipe is about the whole image.
            recipe = None

        if recipe is not None:
            note(f"using the partial recipe {recipe}")
            caller = replace(caller, image=image_settings(recipe))
        loaded = recipe_of(caller) if recipe is None else load_recipe(recipe, caller)

        with pipeline.plan(loaded, plugins, offline_policies=bool(call.switch("policy_digest"))) as planned:
            # Those that refuse come before the refusal; where none does, what ends the call is told alone.
            told = len(planned.findings) if recipe is not None else 0
            show(planned.findings[:told])
            result = pipeline.build(planned, output=output, refuse=recipe is not None, digests=NO_DIGESTS)
            show(result.build.findings[told:])
            if planned.resolved.signers:
                _make_executable(output)
            printed = "".join(_printed(call, output))
    except FukiError as error:
        in_callers_terms(error, call, caller, recipe)
        raise

    return Built(tuple(artifact.path for artifact in result.artifacts), printed)


def _make_executable(output: Path) -> None:
    os.umask(umask := os.umask(0))
    output.chmod(_EXECUTABLE & ~umask)


def _printed(call: UkifyCall, output: Path) -> Iterator[str]:
    if call.switch("measure"):
        yield measured_text(call, output)
    if call.switch("policy_digest"):
        yield policies_text(output)
