"""Reference values of two images together, in the formats in which verifiers take those of one."""

from collections.abc import Sequence

import msgspec

from fuki_build.builtin.predictions import RvpsOptions, encode_keylime, encode_rvps
from fuki_build.errors import located
from fuki_build.formats.documents import encode_json
from fuki_build.measure.views import PredictionsView


def reference_values(name: str, views: Sequence[PredictionsView]) -> bytes:
    """The values of all images as `predictions` (a list of them), `keylime` or `rvps`. Raises `RecipeError`."""
    with located("--bank"):
        if name == "keylime":
            return encode_keylime(views)
        if name == "rvps":
            return encode_rvps(views, RvpsOptions().prefixes)
        return encode_json([msgspec.to_builtins(view) for view in views])
