"""Which machines of which platform select what, those that select the same together."""

from collections.abc import Sequence

from msgspec import Struct

from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost
from fuki_build.image.firmware import slices
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout
from fuki_build.image.selection import Selector
from fuki_build.image.selection_view import HitView, view_hit
from fuki_build.report.facts import MatchFacts


class Group(Struct, frozen=True):
    """A platform's machines, and the plugin that knows them."""

    name: str
    plugin: str
    machines: Sequence[Machine]


def platform_groups(host: PluginHost) -> list[Group]:
    """The machines of every loaded platform."""
    groups = []
    for platform in host.all("fuki_platforms"):
        with platform.running():
            groups.append(Group(platform.thing.title, platform.plugin.name, list(platform.thing.machines())))
    return groups


_Outcome = tuple[HitView | None, HitView | None]


def match_machines(layout: Layout, groups: Sequence[Group]) -> tuple[MatchFacts, ...]:
    """What the machines select in each profile, those with firmware first."""
    if layout.kind is not ImageKind.UKI:
        return ()
    parts = slices(layout.plain_sections)
    selector = Selector(parts, layout.model)

    # Profiles without a table of their own all select what the base does.
    own: list[int | None] = [part.profile for part in parts if part.table and part.profile is not None]
    alike = [profile for profile in layout.profiles or (None,) if profile not in own]
    tried: list[list[int | None]] = [*([alike] if alike else []), *([profile] for profile in own)]

    names_by_outcome: dict[tuple[str, _Outcome, tuple[int, ...]], list[str]] = {}
    for group in groups:
        for machine in group.machines:
            outcomes: dict[_Outcome, list[int]] = {}
            for profiles in tried:
                hits = selector.firmware(machine, profiles[0]), selector.devicetree(machine, profiles[0])
                same = outcomes.setdefault((view_hit(hits[0]), view_hit(hits[1])), [])
                same += [profile for profile in profiles if profile is not None]
            for outcome, same in outcomes.items():
                names_by_outcome.setdefault((group.name, outcome, tuple(sorted(same))), []).append(machine.name)

    rows = [
        MatchFacts(
            platform=platform,
            machines=tuple(dict.fromkeys(names)),
            profiles=profiles,
            firmware=firmware,
            devicetree=devicetree,
        )
        for (platform, (firmware, devicetree), profiles), names in names_by_outcome.items()
    ]
    return tuple(sorted(rows, key=lambda row: row.firmware is None and row.devicetree is None))
