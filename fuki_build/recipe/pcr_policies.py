"""`[[fuki.pcr-policy]]`: whose policies go into an image, and the public key that goes with them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fuki_build.errors import FormatError, RecipeError, did_you_mean, raised_as
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.signers import SigningContext
from fuki_build.image.blob import Blob
from fuki_build.image.image import Image
from fuki_build.image.section import IMAGE_ORDER, Section
from fuki_build.measure.registers import check_banks, split_phases
from fuki_build.recipe.model import PcrPolicyTable, Recipe
from fuki_build.recipe.plugin_tables import read_plugin_table
from fuki_build.signing.request import SignRequest

if TYPE_CHECKING:
    from fuki_build.signing.pcr_policy.section import PolicyKey, PolicyReservation

_PUBLIC_KEY = ".pcrpkey"


def resolve_policies(
    recipe: Recipe, profiles: Sequence[str], host: PluginHost, context: SigningContext
) -> tuple["PolicyKey", ...]:
    """The keys of all policies, with what they are for; `profiles` are the ids in the image, by number.

    Raises `RecipeError` at its place, and `SigningError`.
    """
    return tuple(
        _resolve(data, profiles, host, context, f"fuki.pcr-policy[{index}]")
        for index, data in enumerate(recipe.pcr_policy)
    )


def _resolve(
    data: dict[str, Any], profiles: Sequence[str], host: PluginHost, context: SigningContext, where: str
) -> "PolicyKey":
    from fuki_build.signing.pcr_policy.section import PolicyRequest, public_key  # noqa: PLC0415 - cryptography is slow to load

    signer = read_plugin_table(data, "backend", PcrPolicyTable, host.signer, where)
    table = signer.table
    request = PolicyRequest(
        signer=SignRequest(backend=signer.contribution, options=signer.options, where=where),
        phases=tuple(split_phases(path, f"{where}.phases[{i}]") for i, path in enumerate(table.phases)),
        banks=check_banks(table.banks, f"{where}.banks"),
        profiles=_profiles(table, profiles, where),
        reference=table.reference,
        all_selections=table.all_selections,
    )
    for key, values in (("phases", request.phases), ("banks", request.banks)):
        if not values:
            raise RecipeError(
                f"there are no {key} to sign for", where=f"{where}.{key}", hint="leave it out for the usual"
            )
    return public_key(request, _given(table, context, where), context)


def _profiles(table: PcrPolicyTable, ids: Sequence[str], where: str) -> tuple[int, ...] | None:
    for index, name in enumerate(table.profiles):
        if name not in ids:
            hint = did_you_mean(name, ids) or f"there are: {', '.join(ids) or 'none'}"
            raise RecipeError(f"there is no profile {name!r}", where=f"{where}.profiles[{index}]", hint=hint)
    return tuple(ids.index(name) for name in table.profiles) or None


def _given(table: PcrPolicyTable, context: SigningContext, where: str) -> bytes | None:
    if table.public_key is None:
        return None
    from fuki_build.formats.asn1 import x509  # noqa: PLC0415 - cryptography is slow to load

    with raised_as(RecipeError, f"{where}.public-key", of=FormatError):
        return x509.read_public_key(context.read(table.public_key, "public key", f"{where}.public-key"))


def reserve_policies(
    image: Image, keys: Sequence["PolicyKey"], *, with_messages: bool
) -> tuple[Image, tuple["PolicyReservation", ...]]:
    """The image with a section for the policies of each profile, and for what they sign. Raises `FukiError`."""
    if not keys:
        return image, ()
    from fuki_build.signing.pcr_policy.section import reserve  # noqa: PLC0415 - cryptography is slow to load

    return reserve(image, keys, with_messages=with_messages)


def with_public_key(sections: Sequence[Section], keys: Sequence["PolicyKey"]) -> list[Section]:
    """The base's sections with `.pcrpkey`, unless the recipe gives one or there are policies of several keys.

    Secrets are sealed to that key when nothing else is said (systemd-cryptenroll(1)), so it must be clear which it is.
    """
    public = {key.public_key for key in keys}
    if len(public) != 1 or any(section.name == _PUBLIC_KEY for section in sections):
        return list(sections)
    from fuki_build.formats.asn1 import x509  # noqa: PLC0415 - cryptography is slow to load

    own = Section(
        name=_PUBLIC_KEY, content=Blob.of_bytes(x509.encode_public_key(public.pop())), source="fuki.pcr-policy"
    )
    behind = set(IMAGE_ORDER[IMAGE_ORDER.index(_PUBLIC_KEY) + 1 :])
    at = next((i for i, section in enumerate(sections) if section.name in behind), len(sections))
    return [*sections[:at], own, *sections[at:]]
