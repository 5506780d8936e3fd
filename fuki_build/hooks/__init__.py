"""What a plugin sees: hook specifications and the records that pass through them.

A plugin is a distribution with an entry point in the group `fuki`; the entry point's name is the plugin's.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from fuki_build.formats.documents import Document, View, decode_document, encode_json
from fuki_build.hooks.enrollers import Enroller, SecureBootKeys
from fuki_build.hooks.hand_overs import HandOver
from fuki_build.hooks.launch import (
    DirectBoot,
    LaunchDigest,
    LaunchDocument,
    LaunchModel,
    LaunchNote,
    LaunchParameters,
    LaunchPrediction,
    LaunchRecord,
    LaunchRow,
    LaunchSearch,
    LaunchSite,
    LaunchStep,
    NearLaunch,
    RuntimeRegister,
    Svsm,
    from_document,
    to_document,
)
from fuki_build.hooks.options import Options
from fuki_build.hooks.predictions import PredictionOptions, PredictionOutput
from fuki_build.hooks.records import (
    Artifact,
    Build,
    BuiltImage,
    CheckSubject,
    Expectation,
    Finding,
    FirmwareFile,
    FirmwareSource,
    OutputContext,
    OutputFormat,
    PlannedFile,
    Platform,
    PreviewContext,
    Problem,
    Problems,
    Rule,
    Severity,
    SourceContext,
)
from fuki_build.hooks.secrets import SECRET_SOURCES
from fuki_build.hooks.signers import (
    CertificateOptions,
    FileSigner,
    KeyPreview,
    KeySigner,
    SigningContext,
    SigningKey,
    named_certificates,
)
from fuki_build.hooks.specs import hookimpl
from fuki_build.hooks.tables import TablePlatform
from fuki_build.image.digest_plan import ALL_DIGESTS, DESCRIBED_DIGESTS, NO_DIGESTS, DigestNeeds

if TYPE_CHECKING:
    from fuki_build.hooks.predicted import (
        COMMAND_LINE_SOURCE,
        CONSTANT_SOURCE,
        PCR_KERNEL_BOOT,
        PCR_KERNEL_INITRD,
        Event,
        Prediction,
        PredictionsView,
    )

__all__ = [
    "ALL_DIGESTS",
    "COMMAND_LINE_SOURCE",
    "CONSTANT_SOURCE",
    "DESCRIBED_DIGESTS",
    "NO_DIGESTS",
    "PCR_KERNEL_BOOT",
    "PCR_KERNEL_INITRD",
    "SECRET_SOURCES",
    "Artifact",
    "Build",
    "BuiltImage",
    "CertificateOptions",
    "CheckSubject",
    "DigestNeeds",
    "DirectBoot",
    "Document",
    "Enroller",
    "Event",
    "Expectation",
    "FileSigner",
    "Finding",
    "FirmwareFile",
    "FirmwareSource",
    "HandOver",
    "KeyPreview",
    "KeySigner",
    "LaunchDigest",
    "LaunchDocument",
    "LaunchModel",
    "LaunchNote",
    "LaunchParameters",
    "LaunchPrediction",
    "LaunchRecord",
    "LaunchRow",
    "LaunchSearch",
    "LaunchSite",
    "LaunchStep",
    "NearLaunch",
    "Options",
    "OutputContext",
    "OutputFormat",
    "PlannedFile",
    "Platform",
    "Prediction",
    "PredictionOptions",
    "PredictionOutput",
    "PredictionsView",
    "PreviewContext",
    "Problem",
    "Problems",
    "Rule",
    "RuntimeRegister",
    "SecureBootKeys",
    "Severity",
    "SigningContext",
    "SigningKey",
    "SourceContext",
    "Svsm",
    "TablePlatform",
    "View",
    "decode_document",
    "encode_json",
    "from_document",
    "hookimpl",
    "named_certificates",
    "to_document",
]

_PREDICTED = frozenset(
    (
        "COMMAND_LINE_SOURCE",
        "CONSTANT_SOURCE",
        "PCR_KERNEL_BOOT",
        "PCR_KERNEL_INITRD",
        "Event",
        "Prediction",
        "PredictionsView",
    )
)
"""What is loaded on first use, as most commands predict nothing."""


def __getattr__(name: str) -> object:
    if name in _PREDICTED:
        return getattr(import_module("fuki_build.hooks.predicted"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
