"""CPU models by QEMU's names, and their signatures, which appear in a guest's initial registers.

Source: builtin_x86_defs in QEMU's target/i386/cpu.c; AMD, "CPUID Specification" (25481), Fn0000_0001_EAX.
"""

from fuki_build.errors import RecipeError, did_you_mean

GENERATIONS = ("EPYC", "EPYC-Rome", "EPYC-Milan", "EPYC-Genoa", "EPYC-Turin")
"""One name for each signature, in the processors' chronological order."""


def signature(family: int, model: int, stepping: int) -> int:
    """CPUID's signature of a processor; families above 15 are split into base and extended family."""
    base, extension = min(family, 0xF), max(family - 0xF, 0)
    return extension << 20 | model >> 4 << 16 | base << 8 | (model & 0xF) << 4 | stepping


_BY_NAME = {
    "EPYC": signature(23, 1, 2),
    "EPYC-Rome": signature(23, 49, 0),
    "EPYC-Milan": signature(25, 1, 1),
    "EPYC-Genoa": signature(25, 17, 0),
    "EPYC-Turin": signature(26, 0, 0),
}
_OTHERS = ("EPYC-IBPB",)
_VERSIONS = {"EPYC": 5, "EPYC-Rome": 5, "EPYC-Milan": 3, "EPYC-Genoa": 2, "EPYC-Turin": 1}
"""The number of versions of each model in QEMU (10.1 and later), all with one signature."""


def _names() -> dict[str, int]:
    names = dict(_BY_NAME)
    for name, count in _VERSIONS.items():
        names |= {f"{name}-v{version}": _BY_NAME[name] for version in range(1, count + 1)}
    return names | dict.fromkeys(_OTHERS, _BY_NAME["EPYC"])


NAMES = _names()


def find_signature(model: str) -> int:
    """The signature of a CPU model, given by name or as a number. Raises `RecipeError` for an unknown one."""
    if model in NAMES:
        return NAMES[model]
    try:
        number = int(model, 0)
    except ValueError:
        hint = did_you_mean(model, NAMES) or f"there are: {', '.join(GENERATIONS)}; or a CPU signature such as 0xa00f11"
        raise RecipeError(f"there is no CPU model {model!r}", hint=hint) from None
    if not 0 <= number < 1 << 32:
        raise RecipeError(f"{model} is no CPU signature: these have 32 bits")
    return number
