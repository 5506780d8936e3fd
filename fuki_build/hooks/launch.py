"""Launch measurements: what a confidential guest's hardware attests before the guest runs."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from msgspec import Meta, Struct

from fuki_build.formats.documents import Document, View


class DirectBootMode(StrEnum):
    """What of an image the hypervisor boots itself, instead of leaving that to the firmware."""

    NONE = "none"
    SECTIONS = "sections"
    IMAGE = "image"


class DirectBoot(Struct, frozen=True, kw_only=True):
    """What a hypervisor hands to the firmware when it boots a kernel itself; `name` tells such boots apart.

    SHA-256 digests, of the command line with its NUL. `authenticode` is the kernel's SHA-384 as an EFI image.
    """

    name: str
    kernel: bytes
    initrd: bytes
    cmdline: bytes
    authenticode: bytes | None = None


class Svsm(Struct, frozen=True):
    """A secure VM service module, and the size of the variable store that stands between it and the firmware."""

    image: bytes
    variables_size: int


class RuntimeRegister(Struct, frozen=True):
    """A register that grows while a guest boots an image, as it is when the kernel has taken over.

    `boot` tells how the image is started, and with several profiles which: `disk@1`. `digest` is SHA-384; None where
    `unknown` says why it cannot be told.
    """

    name: str
    boot: str
    digest: bytes | None
    unknown: str = ""


class LaunchParameters(Struct, frozen=True, kw_only=True):
    """What to predict for: every combination of these, as far as a technology tells them apart.

    `cpu_models` are names of QEMU, or CPU signatures as numbers; none means all that the model knows. In `boots`, None
    is a guest into which nothing is injected. `runtime` are registers that the image was predicted for; none where
    there is no image, or the model does not ask for them.
    """

    vmms: tuple[str, ...] = ("qemu",)
    vcpus: tuple[int, ...] = (1,)
    cpu_models: tuple[str, ...] = ()
    guest_features: tuple[int, ...] = (1,)
    boots: tuple[DirectBoot | None, ...] = (None,)
    svsm: Svsm | None = None
    runtime: tuple[RuntimeRegister, ...] = ()


class LaunchDigest(View, frozen=True, kw_only=True):
    """The predicted value of one register, in hex. What it does not depend on is None.

    `technology` is the model's name, `register` what the hardware's report calls it, `variant` what decides between
    several values where no parameter does, such as the order of MRTD.
    """

    technology: str
    register: str
    algorithm: str
    digest: str
    vmm: str | None = None
    vcpus: int | None = None
    cpu_model: str | None = None
    guest_features: int | None = None
    boot: str | None = None
    variant: str | None = None


class LaunchNote(Struct, frozen=True):
    """What could not be predicted, and why."""

    technology: str
    message: str


class LaunchPrediction(Struct, frozen=True):
    """All that one model says of one firmware image."""

    digests: tuple[LaunchDigest, ...] = ()
    notes: tuple[LaunchNote, ...] = ()


class LaunchStep(NamedTuple):
    """One thing that a launch measures, in order: a page, or a range of bytes.

    `part` says what it belongs to, `kind` how it is measured, `content` its digest in hex where its bytes count.
    """

    part: str
    kind: str
    address: int
    content: str = ""


class NearLaunch(Struct, frozen=True, kw_only=True):
    """A launch that gives a digest only after one change to it, which `change` says in words."""

    launch: LaunchDigest
    change: str


class LaunchSearch(Struct, frozen=True, kw_only=True):
    """What gives a digest: launches that do, those that do with one change, and how many of each were computed.

    `changed` counts launches with a change, `tried` those without.
    """

    found: tuple[LaunchDigest, ...] = ()
    near: tuple[NearLaunch, ...] = ()
    tried: int = 0
    changed: int = 0
    notes: tuple[LaunchNote, ...] = ()


class LaunchModel(ABC):
    """Predicts the launch measurements of one technology.

    >>> class Plain(LaunchModel):
    ...     name, title, vmms = "plain", "Plain", ("qemu",)
    ...     def predict(self, firmware, parameters):
    ...         digest = LaunchDigest(
    ...             technology=self.name, register="FIRMWARE", algorithm="none", digest=firmware.hex()
    ...         )
    ...         return LaunchPrediction(tuple(msgspec.structs.replace(digest, vcpus=n) for n in parameters.vcpus))
    ...     def steps(self, firmware, parameters):
    ...         yield LaunchStep("firmware", "bytes", 0, firmware.hex())
    >>> [digest.digest for digest in Plain().predict(b"AB", LaunchParameters(vcpus=(1, 2))).digests]
    ['4142', '4142']
    """

    name: ClassVar[str]
    title: ClassVar[str]
    vmms: ClassVar[tuple[str, ...]]
    """The hypervisors whose way of launching it knows."""
    runtime: ClassVar[bool] = False
    """Whether it tells registers that grow while a guest boots, which the core predicts for it."""
    usual_features: ClassVar[tuple[int, ...]] = (1,)
    """The guest features that are searched where nobody names any."""

    @abstractmethod
    def predict(self, firmware: bytes, parameters: LaunchParameters) -> LaunchPrediction | None:
        """The digests of guests that start with `firmware`; None if it is not made for this technology.

        Raises `FukiError` where firmware that is cannot be launched so: kernel hashes without a page for them.
        """

    @abstractmethod
    def steps(self, firmware: bytes, parameters: LaunchParameters) -> Iterator[LaunchStep]:
        """What the launch with the first of each of the parameters measures, in order: to explain a difference.

        The same steps give the same digest. Raises `FukiError` as `predict` does.
        """

    def search(self, firmware: bytes, parameters: LaunchParameters, digest: bytes) -> LaunchSearch | None:
        """Which of the launches that `predict` would tell of have this digest; None where it gives None.

        A model whose launches have much in common should compute that once. Of `boots`, those that the firmware cannot
        do are left out with a note. Raises `FukiError` as `predict` does otherwise.
        """
        prediction = self.predict(firmware, parameters)
        if prediction is None:
            return None
        matching = tuple(row for row in prediction.digests if row.digest == digest.hex())
        return LaunchSearch(found=matching, tried=len(prediction.digests), notes=prediction.notes)


class LaunchSite(Struct, frozen=True, kw_only=True):
    """How a platform launches one kind of its machines: all that its launch measurements depend on there.

    `name` is that of the machine, such as an instance type, `cpu_model` what QEMU calls its processor. `vcpus` is how
    many it has, None where that is the choice of the tenant. `note` says what is not confirmed.
    """

    name: str
    technologies: tuple[str, ...]
    vmm: str
    cpu_model: str | None = None
    vcpus: int | None = None
    note: str | None = None


class LaunchRecord(Struct, frozen=True, kw_only=True):
    """A prediction with the firmware that it is of: `firmware` is its fwid or file, `profile` its slice."""

    firmware: str
    profile: int | None
    sha256: str
    prediction: LaunchPrediction
    policy: int | None = None


class LaunchRow(View, frozen=True, kw_only=True):
    """A digest of a document of launches, with the firmware that it is of: the fields of both records."""

    firmware: str
    profile: int | None
    firmware_sha256: str
    policy: int | None = None
    technology: str
    register: str
    algorithm: str
    digest: Annotated[str, Meta(pattern="^([0-9a-f]{64}|[0-9a-f]{96})$")]
    vmm: str | None = None
    vcpus: int | None = None
    cpu_model: str | None = None
    guest_features: int | None = None
    boot: str | None = None
    variant: str | None = None


class LaunchNoteRow(View, frozen=True, kw_only=True):
    """What could not be predicted of a firmware, and why."""

    firmware: str
    profile: int | None
    technology: str
    message: str


class LaunchDocument(Document, frozen=True):
    """What `fuki launch --json` prints, and output formats write."""

    launches: tuple[LaunchRow, ...]
    notes: tuple[LaunchNoteRow, ...] = ()


def to_document(records: Sequence[LaunchRecord]) -> LaunchDocument:
    """Records as the JSON document of launches."""
    launches = tuple(
        LaunchRow(
            firmware=record.firmware,
            profile=record.profile,
            firmware_sha256=record.sha256,
            policy=record.policy,
            **msgspec.structs.asdict(digest),
        )
        for record in records
        for digest in record.prediction.digests
    )

    notes = tuple(
        LaunchNoteRow(
            firmware=record.firmware, profile=record.profile, technology=note.technology, message=note.message
        )
        for record in records
        for note in record.prediction.notes
    )
    return LaunchDocument(launches, notes)


def from_document(document: LaunchDocument) -> tuple[LaunchRecord, ...]:
    """The records of such a document, in its order and without its notes."""
    predictions: dict[_Firmware, list[LaunchDigest]] = {}
    for row in document.launches:
        firmware = _Firmware(row.firmware, row.profile, row.firmware_sha256, row.policy)
        digest = LaunchDigest(**{name: getattr(row, name) for name in LaunchDigest.__struct_fields__})
        predictions.setdefault(firmware, []).append(digest)
    return tuple(
        LaunchRecord(
            firmware=firmware.firmware,
            profile=firmware.profile,
            sha256=firmware.sha256,
            prediction=LaunchPrediction(tuple(digests)),
            policy=firmware.policy,
        )
        for firmware, digests in predictions.items()
    )


class _Firmware(NamedTuple):
    firmware: str
    profile: int | None
    sha256: str
    policy: int | None
