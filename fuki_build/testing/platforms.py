"""The test kit for platforms: a cloud plugin is held against hardware ids that someone else computed.

>>> from fuki_build.builtin.platforms import Qemu
>>> q35, i440fx = "817fca52-ae83-52f5-8642-9497f79d49d0", "a141acf9-eb8a-52b7-b7c8-e94b402a1590"
>>> assert_platform(Qemu(), {"QEMU q35": {9: q35}, "QEMU i440fx": {9: i440fx}}, selectors=["q35", "i440fx"])
>>> listed_ids("qemu:q35")
{'817fca52-ae83-52f5-8642-9497f79d49d0': 'QEMU q35'}
"""

import doctest
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from uuid import UUID

from fuki_build.errors import FukiError
from fuki_build.hardware.chid import FIELDS, STUB_ORDER, Dialect, chid, identity
from fuki_build.hardware.machine import STRINGS, Machine
from fuki_build.hooks.host import loaded_machines
from fuki_build.hooks.platforms import Platform
from fuki_build.pipeline import new_host
from fuki_build.recipe.machines import Declared, choose_devices, platform_machines

__all__ = ["assert_platform", "indistinguishable", "listed_ids"]

_NO_SELECTOR = "no machine has this name"


def assert_platform(
    platform: Platform,
    expected: Mapping[str, Mapping[int, str]],
    *,
    selectors: Collection[str] = (),
    alike: Collection[str] = (),
) -> None:
    """Hold a platform against `expected`: CHIDs in systemd-stub's dialect by machine name (or pattern) and type.

    Take the ids from elsewhere, not from fuki. Every machine needs the id of the platform's first CHID type, which is
    the one that it is normally listed under. Besides, what every platform promises is checked: names and CHID types,
    clean strings, machines that differ (those named in `alike` need not), `selectors` that select some of the
    machines, a `FukiError` with a hint for an unknown one, and the examples in the class's docstring.

    Raises `AssertionError`, which lists all that is wrong.
    """
    machines = list(platform.machines())
    problems = [
        *_facts(platform),
        *_machines(platform, machines),
        *_twins(machines, alike),
        *_ids(platform, machines, expected),
        *_selectors(platform, machines, selectors),
        *_examples(platform),
    ]

    if problems:
        lines = "\n".join(f"- {problem}" for problem in problems)
        raise AssertionError(f"platform {platform.name!r} is not as it should be:\n{lines}")


def indistinguishable(one: Platform, other: Platform) -> list[tuple[str, str]]:
    """Names of the machines of two platforms that the stub cannot tell apart, in pairs."""
    named: dict[frozenset[tuple[int, UUID]], list[str]] = {}
    for machine in other.machines():
        named.setdefault(identity(machine), []).append(machine.name)
    return [(machine.name, name) for machine in one.machines() for name in named.get(identity(machine), ())]


def listed_ids(*platforms: str, plugins: Sequence[str] = ()) -> dict[str, str]:
    """The hardware ids, and the names beside them, that a firmware of `platforms = […]` gets in `.hwids`.

    `platforms` are written as in a recipe (`aws:m6a.*`); `plugins` are loaded by their names, and must be installed.
    Machines of all loaded platforms count when the widest unambiguous type is chosen. Raises `FukiError`.
    """
    host = new_host(plugins)
    declared = []
    for text in platforms:
        machines = platform_machines(text, host, text)
        platform = host.platform(text.partition(":")[0]).thing
        types = tuple(platform.chid_types)
        declared += [
            Declared(
                machine=machine,
                group=platform.title,
                fwid="firmware",
                profile=None,
                types=types,
                forced=False,
                where=text,
            )
            for machine in machines
        ]

    devices = choose_devices(declared, loaded_machines(host))
    return {str(value): device.name for device in devices for value in device.chids}


def _facts(platform: Platform) -> Iterator[str]:
    if not platform.name or any(character in ":/" or character.isspace() for character in platform.name):
        yield f"the name {platform.name!r} cannot be written in a recipe: no colons, slashes or spaces"
    if not platform.title or platform.title != platform.title.strip():
        yield f"the title {platform.title!r} is empty or has spaces around it"

    types = platform.chid_types
    if not types:
        yield "it has no CHID types, so no machine could be listed"
    if len(set(types)) != len(types):
        yield f"a CHID type is named twice in {types}"

    for index, kind in enumerate(types):
        if kind not in STUB_ORDER:
            yield f"the stub never tries CHID type {kind}"
            continue
        for wider in types[index + 1 :]:
            if wider in STUB_ORDER and set(FIELDS[wider]) < set(FIELDS[kind]):
                yield f"CHID type {wider} is wider than {kind}, and comes behind it"


def _machines(platform: Platform, machines: Sequence[Machine]) -> Iterator[str]:
    if not machines:
        yield "it has no machines"
    if list(platform.machines()) != machines:
        yield "it gives other machines when it is asked again"

    for name, count in Counter(machine.name for machine in machines).items():
        if count > 1:
            yield f"{count} machines have the name {name!r}"

    for machine in machines:
        if not machine.manufacturer and not machine.chids:
            yield f"{machine.name!r} has no manufacturer"
        for field in ("name", *STRINGS):
            text = getattr(machine, field)
            if text != text.strip():
                yield f"{machine.name!r} has spaces around its {field.replace('_', ' ')}: {text!r}"


def _twins(machines: Sequence[Machine], alike: Collection[str]) -> Iterator[str]:
    seen: dict[frozenset[tuple[int, UUID]], list[str]] = {}
    for machine in machines:
        seen.setdefault(identity(machine), []).append(machine.name)
    for names in seen.values():
        if len(names) > 1 and not set(names) <= set(alike):
            yield f"the stub cannot tell these apart: {', '.join(names)}"


def _ids(platform: Platform, machines: Sequence[Machine], expected: Mapping[str, Mapping[int, str]]) -> Iterator[str]:
    for pattern in expected:
        if not any(_fits(machine, pattern) for machine in machines):
            yield f"there is no machine {pattern!r}"

    for machine in machines:
        expected_ids: dict[int, str] = {}
        for pattern, ids in expected.items():
            expected_ids |= ids if _fits(machine, pattern) else {}

        for kind in platform.chid_types[:1]:
            if kind not in expected_ids:
                yield f"no id of type {kind} is expected of {machine.name!r}"

        for kind, text in expected_ids.items():
            actual = chid(machine, kind, Dialect.STUB) if kind in STUB_ORDER else None
            if kind not in STUB_ORDER:
                yield f"an id of type {kind} is expected of {machine.name!r}, and the stub never tries that type"
            elif str(actual) != text.lower():
                yield f"{machine.name!r} has {actual} of type {kind}, expected is {text}"


def _selectors(platform: Platform, machines: Sequence[Machine], selectors: Collection[str]) -> Iterator[str]:
    for selector in selectors:
        try:
            selected = platform.machines(selector)
        except FukiError as error:
            yield f"the selector {selector!r} is refused: {error.message}"
            continue
        if not selected or any(machine not in machines for machine in selected):
            yield f"the selector {selector!r} does not give some of the platform's machines"

    try:
        selected = platform.machines(_NO_SELECTOR)
    except FukiError as error:
        if not error.hint:
            yield "the error for an unknown selector has no hint"
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises is what is told
        yield f"an unknown selector raises {type(error).__name__}, which is not a FukiError"
    else:
        yield f"an unknown selector is no error, and gives {len(selected)} machines"


def _examples(platform: Platform) -> Iterator[str]:
    kind = type(platform)
    module = sys.modules[kind.__module__]
    runner = doctest.DocTestRunner(verbose=False)
    output: list[str] = []
    for test in doctest.DocTestFinder(recurse=False).find(kind, kind.__name__, module, globs=dict(vars(module))):
        runner.run(test, out=output.append)
    if not runner.tries:
        yield f"the docstring of {kind.__name__} has no example"
    if runner.failures:
        yield f"an example in the docstring of {kind.__name__} fails:\n{''.join(output)}"


def _fits(machine: Machine, pattern: str) -> bool:
    return machine.name == pattern or fnmatchcase(machine.name, pattern)
