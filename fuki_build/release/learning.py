"""Reference values of two images together, in the formats in which verifiers take those of one."""

from collections.abc import Sequence

import msgspec

from fuki_build.builtin.predictions import RvpsOptions, encode_keylime, encode_rvps
from fuki_build.errors import RecipeError, located
from fuki_build.formats.documents import encode_json
from fuki_build.hooks.launch import LaunchDocument
from fuki_build.measure.views import PredictionsView
from fuki_build.release.launches import both


def reference_values(name: str, views: Sequence[PredictionsView], launches: Sequence[LaunchDocument]) -> bytes:
    """The values of all images as `predictions` (a list of them), `launches`, `keylime` or `rvps`.

    Raises `RecipeError`.
    """
    if name == "launches":
        if not launches:
            hint = "give --technology, or --recipe with [[fuki.launch]] tables"
            raise RecipeError("no launches were asked for", where="--learn", hint=hint)
        return encode_json(both(launches))
    with located("--bank"):
        if name == "keylime":
            return encode_keylime(views)
        if name == "rvps":
            return encode_rvps(views, RvpsOptions().prefixes)
        return encode_json([msgspec.to_builtins(view) for view in views])
