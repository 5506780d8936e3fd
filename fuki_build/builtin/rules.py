"""The core's rules."""

from collections.abc import Sequence

from fuki_build.checks import RULES
from fuki_build.hooks import Rule, hookimpl


@hookimpl
def fuki_checks() -> Sequence[Rule]:
    return RULES
