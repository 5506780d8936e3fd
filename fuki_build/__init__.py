"""fuki: Unified Kernel Images that carry the guest's own firmware.

This façade is what a library user may import; everything else may change between versions.
Names are loaded on first use, so that `import fuki_build` stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuki_build.errors import FukiError
    from fuki_build.hardware.machine import Machine
    from fuki_build.image.inspect import inspect
    from fuki_build.image.layout import Layout
    from fuki_build.image.output_file import OutputFile
    from fuki_build.pipeline import build, plan, signing_key
    from fuki_build.recipe.load import load_recipe

__version__ = "0.1.0"

_HOMES = {
    "FukiError": "fuki_build.errors",
    "Layout": "fuki_build.image.layout",
    "Machine": "fuki_build.hardware.machine",
    "OutputFile": "fuki_build.image.output_file",
    "build": "fuki_build.pipeline",
    "inspect": "fuki_build.image.inspect",
    "load_recipe": "fuki_build.recipe.load",
    "plan": "fuki_build.pipeline",
    "signing_key": "fuki_build.pipeline",
}

__all__ = [
    "FukiError",
    "Layout",
    "Machine",
    "OutputFile",
    "__version__",
    "build",
    "inspect",
    "load_recipe",
    "plan",
    "signing_key",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
