"""Options of verbs that predict launches: how confidential guests are started."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import click

from fuki_build.hooks.launch import DirectBootMode
from fuki_build.recipe.model import LaunchTable

F = TypeVar("F", bound=Callable[..., Any])


def _words(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Options that may be repeated, and may have several values behind commas."""
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())


def _numbers(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    try:
        return tuple(int(word, 0) for word in _words(context, parameter, values))
    except ValueError:
        raise click.BadParameter(f"{','.join(values)!r} is not made of numbers", context, parameter) from None


def launched_platform_option(verb: F) -> F:
    """`--platform`, the platforms by whose ways guests are launched."""
    return click.option(
        "--platform", metavar="NAME", multiple=True, callback=_words, help="As a platform launches its machines."
    )(verb)


def launch_options(verb: F) -> F:
    """How guests are launched, as one argument `launched`: a `LaunchTable`."""

    @wraps(verb)
    def with_launches(*arguments: Any, **given: Any) -> Any:  # noqa: ANN401 - what click passes
        launched = LaunchTable(**{name: given.pop(name) for name in _NAMES})
        return verb(*arguments, launched=launched, **given)

    decorated = cast("F", with_launches)
    for option in reversed(_LAUNCHED):
        decorated = option(decorated)
    return decorated


_NAMES = ("technology", "vmm", "vcpus", "vcpu_model", "guest_features", "direct_boot")
_LAUNCHED = (
    click.option("--technology", metavar="NAME", multiple=True, callback=_words, help="sev, sev-es, sev-snp, tdx …"),
    click.option("--vmm", metavar="NAME", multiple=True, callback=_words, help="Hypervisor: qemu, ec2, gce, hyperv."),
    click.option("--vcpus", metavar="N,…", multiple=True, callback=_numbers, help="Numbers of vCPUs."),
    click.option(
        "--vcpu-model", metavar="NAME,…", multiple=True, callback=_words, help="QEMU's CPU models, or CPU signatures."
    ),
    click.option("--guest-features", metavar="N,…", multiple=True, callback=_numbers, help="By default 0x1."),
    click.option(
        "--direct-boot",
        type=click.Choice([mode.value for mode in DirectBootMode]),
        default=DirectBootMode.NONE.value,
        callback=lambda _context, _parameter, mode: DirectBootMode(mode),
        help="What of a UKI the hypervisor boots itself.",
    ),
)
