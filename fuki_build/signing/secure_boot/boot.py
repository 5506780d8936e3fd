"""Boots with Secure Boot: what in db vouches for what starts, among what is measured."""

from msgspec.structs import replace

from fuki_build.hardware.machine import Machine
from fuki_build.image.assemble import assemble
from fuki_build.image.layout import Layout
from fuki_build.measure.boot import Boot
from fuki_build.measure.boot_options import boot_digests
from fuki_build.measure.pcr7 import SecureBootState
from fuki_build.measure.predict import Prediction, cases, predict
from fuki_build.measure.section_digests import SectionDigests


def with_authorities(boot: Boot, contents: SectionDigests) -> Boot:
    """The boot with what in db vouches for the image and everything that starts beside it."""
    if boot.policy is None or boot.policy.state is not SecureBootState.ON:
        return boot
    from fuki_build.signing.secure_boot.authority import authority  # noqa: PLC0415 - cryptography is slow to load

    db = boot.policy.variables.get("db", b"")
    programs = [(loader.name, loader.layout, loader.assembly) for loader in boot.loaders]
    programs.append(("the image", contents.layout, contents.assembly))
    programs += [(addon.name, addon.layout, addon.assembly) for addon in boot.loaded_addons]
    authorities = {name: authority(layout, assembly, db) for name, layout, assembly in programs}
    return replace(boot, policy=replace(boot.policy, authorities=authorities))


def predict_boot(
    layout: Layout, machine: Machine, profile: int | None, boot: Boot, banks: tuple[str, ...]
) -> Prediction:
    """What one machine measures when it boots one profile of an image. Raises `FukiError`."""
    contents = SectionDigests(layout, assemble(layout, digests=boot_digests(banks, boot.policy)), banks)
    (prediction,) = predict(contents, cases(layout, [machine], [profile]), with_authorities(boot, contents))
    return prediction
