"""Rules that layouts are held against, one module per family."""

from fuki_build.checks import (
    addon,
    command_line,
    content,
    devicetree,
    firmware,
    hand_over,
    hwids,
    igvm,
    kernel,
    matching,
    readers,
    signatures,
    size_limits,
    structure,
    stub,
)
from fuki_build.hooks.rules import Rule

FAMILIES = (
    content,
    kernel,
    command_line,
    devicetree,
    firmware,
    hand_over,
    hwids,
    igvm,
    matching,
    addon,
    structure,
    readers,
    size_limits,
    signatures,
    stub,
)
RULES: tuple[Rule, ...] = tuple(rule for family in FAMILIES for rule in family.RULES)
