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
from fuki_build.report.facts import MachineFacts, MatchFacts, ReceivedFacts


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
_Target = tuple[str | None, int, bool, int | None]
_Kind = tuple[str, _Target | None, _Target | None, tuple[int, ...]]
"""What tells the machines of one row from those of another: platform, firmware, devicetree, profiles."""


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

    rows: dict[_Kind, dict[str, MachineFacts]] = {}
    for group in groups:
        for machine in group.machines:
            outcomes: dict[_Outcome, list[int]] = {}
            for profiles in tried:
                hits = selector.firmware(machine, profiles[0]), selector.devicetree(machine, profiles[0])
                same = outcomes.setdefault((view_hit(hits[0]), view_hit(hits[1])), [])
                same += [profile for profile in profiles if profile is not None]
            for (firmware, devicetree), same in outcomes.items():
                kind = group.name, _target(firmware), _target(devicetree), tuple(sorted(same))
                facts = MachineFacts(name=machine.name, firmware=firmware, devicetree=devicetree)
                rows.setdefault(kind, {}).setdefault(machine.name, facts)

    facts_of_rows = [_match(kind, list(machines.values())) for kind, machines in rows.items()]
    return tuple(sorted(facts_of_rows, key=lambda row: row.firmware is None and row.devicetree is None))


def _target(hit: HitView | None) -> _Target | None:
    """What a record selects and how, without the machine's own id and name."""
    return None if hit is None else (hit.fwid or hit.compatible, hit.type, hit.present, hit.profile)


def _match(kind: _Kind, machines: Sequence[MachineFacts]) -> MatchFacts:
    first = machines[0]
    hits = {(machine.firmware, machine.devicetree) for machine in machines}
    return MatchFacts(
        platform=kind[0],
        machines=tuple(machines),
        profiles=kind[3],
        firmware=first.firmware,
        devicetree=first.devicetree,
        alike=len(hits) == 1,
    )


def received(matches: Sequence[MatchFacts]) -> tuple[ReceivedFacts, ...]:
    """Which machines get which firmware in which profiles; those that get none of the image last."""
    rows: dict[tuple[str | None, bool, tuple[int, ...]], dict[str, dict[str, None]]] = {}
    for match in matches:
        firmware = match.firmware
        key = (firmware.fwid if firmware else None, firmware.present if firmware else True, match.profiles)
        names = rows.setdefault(key, {}).setdefault(match.platform, {})
        names |= dict.fromkeys(machine.name for machine in match.machines)

    facts = [
        ReceivedFacts(
            fwid=fwid,
            present=present,
            profiles=profiles,
            machines={platform: tuple(names) for platform, names in platforms.items()},
        )
        for (fwid, present, profiles), platforms in rows.items()
    ]
    return tuple(sorted(facts, key=lambda row: row.fwid is None))
