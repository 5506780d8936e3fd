"""Rules that layouts are held against, one module per family."""

from fuki_build.checks import content, firmware, hwids, matching, room, stub
from fuki_build.hooks.records import Rule

RULES: tuple[Rule, ...] = (*content.RULES, *firmware.RULES, *hwids.RULES, *matching.RULES, *room.RULES, *stub.RULES)
