"""Packages that bring an image onto machines: the outputs `deb` and `rpm`."""

from collections.abc import Sequence

from fuki_build.hooks import OutputFormat, hookimpl

from fuki_packages.deb import DebOutput
from fuki_packages.rpm import RpmOutput

__all__ = ["DebOutput", "RpmOutput", "fuki_outputs"]


@hookimpl
def fuki_outputs() -> Sequence[type[OutputFormat]]:
    return [DebOutput, RpmOutput]
