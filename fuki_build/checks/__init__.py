"""Rules that layouts are held against, one module per family."""

from fuki_build.checks import content, firmware, hand_over, hwids, igvm, matching, room, signatures, stub
from fuki_build.hooks.records import Rule

FAMILIES = (content, firmware, hand_over, hwids, igvm, matching, room, signatures, stub)
RULES: tuple[Rule, ...] = tuple(rule for family in FAMILIES for rule in family.RULES)
