"""What confidential guests measure at launch when they start with the firmware of two images."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import located
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.launch import DirectBootMode, LaunchDigest
from fuki_build.image.section import Section
from fuki_build.launch.boots import LaunchFirmware, ProfileBoot, image_boot, section_boots, subjects
from fuki_build.launch.predict import predict
from fuki_build.recipe.launch import LaunchRequest
from fuki_build.report.differences.compared import Compared, Place, ProfilePairs
from fuki_build.report.differences.views import LaunchDifference

_Key = tuple[Place, str, LaunchDigest]
"""The slice and fwid of firmware, and a measurement without its value."""


class ComparedLaunches(Struct, frozen=True):
    """The launches that are asked about, and the host with the models that know them."""

    host: PluginHost
    requests: Sequence[LaunchRequest]


def launch_differences(
    old: Compared, new: Compared, pairs: ProfilePairs, launches: ComparedLaunches
) -> Iterator[LaunchDifference]:
    """Measurements that are others, or of firmware that only one image has. Raises `FukiError` as `predict` does."""
    before, after = _digests(old, pairs, launches, old=True), _digests(new, pairs, launches, old=False)
    for key in dict.fromkeys((*after, *before)):
        if before.get(key) != after.get(key):
            (profile, _), fwid, digest = key
            yield LaunchDifference(
                fwid=fwid,
                profile=profile,
                technology=digest.technology,
                register=digest.register,
                case=_words(digest),
                old=before.get(key),
                new=after.get(key),
            )


def _digests(side: Compared, pairs: ProfilePairs, launches: ComparedLaunches, *, old: bool) -> Mapping[_Key, str]:
    """The measurements of an image's firmware; of several with one fwid in a slice, of the first."""
    firmware: dict[tuple[Place, str], LaunchFirmware] = {}
    for subject in subjects(side.layout):
        firmware.setdefault((pairs.place(subject.profile, old=old), subject.name), subject)

    digests: dict[_Key, str] = {}
    for request in launches.requests if firmware else ():
        boots = _boots(side, request.direct_boot)
        for (place, fwid), subject in firmware.items():
            with located(side.layout.where or side.layout.name):
                (record,) = predict(launches.host, request, [subject], boots)
            for digest in record.prediction.digests:
                digests[place, fwid, replace(digest, digest="")] = digest.digest
    return digests


def _boots(side: Compared, mode: DirectBootMode) -> Sequence[ProfileBoot]:
    """What the hypervisor boots beside the firmware, by digests that the one read has given where it has."""

    def sha256(section: Section) -> bytes:
        return bytes.fromhex(side.report.image.sections[section.index].sha256 or "")

    if mode is DirectBootMode.SECTIONS:
        return list(section_boots(side.layout, sha256))
    if mode is DirectBootMode.IMAGE and side.layout.file is not None:
        return [image_boot(side.layout.file)]
    return []


def _words(digest: LaunchDigest) -> str:
    """What tells this measurement from others of the firmware."""
    words = [digest.vmm, digest.cpu_model, digest.boot, digest.variant]
    if digest.vcpus is not None:
        words.append(f"{digest.vcpus} vCPU{'s' * (digest.vcpus != 1)}")
    if digest.guest_features is not None:
        words.append(f"features {digest.guest_features:#x}")
    return ", ".join(filter(None, words))
