"""What a plugin sees: hook specifications and the records that pass through them.

A plugin is a distribution with an entry point in the group `fuki`; the entry point's name is the plugin's.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from fuki_build.errors import HookDeprecationWarning
from fuki_build.formats.documents import Document, View, decode_document, encode_json
from fuki_build.hardware.machine import Machine
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
from fuki_build.hooks.launches import LaunchFormat, LaunchOptions
from fuki_build.hooks.options import Options
from fuki_build.hooks.outputs import (
    Artifact,
    Build,
    BuiltImage,
    OutputContext,
    OutputFormat,
    PlannedFile,
    PreviewContext,
)
from fuki_build.hooks.platforms import Platform
from fuki_build.hooks.prediction_options import PredictionOptions, RegisterOptions
from fuki_build.hooks.predictions import PredictionOutput
from fuki_build.hooks.rules import CheckSubject, Expectation, Finding, Problem, Problems, Rule, Severity
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
from fuki_build.hooks.sources import FirmwareFile, FirmwareSource, SourceContext
from fuki_build.hooks.specs import hookimpl
from fuki_build.hooks.tables import TablePlatform
from fuki_build.hooks.versions import HOOK_API
from fuki_build.image.assembly import Assembly
from fuki_build.image.blob import Blob
from fuki_build.image.content_cache import ContentWriter
from fuki_build.image.digest_plan import ALL_DIGESTS, DESCRIBED_DIGESTS, NO_DIGESTS, DigestNeeds
from fuki_build.image.firmware import FirmwareImage, Slice
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import Profile
from fuki_build.image.section import Section
from fuki_build.image.stub import StubVersion

if TYPE_CHECKING:
    from fuki_build.hooks.predicted import (
        COMMAND_LINE_SOURCE,
        CONSTANT_SOURCE,
        PCR_KERNEL_BOOT,
        PCR_KERNEL_INITRD,
        PCR_PLATFORM_CODE,
        PCR_SECURE_BOOT_POLICY,
        Event,
        Prediction,
        PredictionsView,
    )

__all__ = [
    "ALL_DIGESTS",
    "COMMAND_LINE_SOURCE",
    "CONSTANT_SOURCE",
    "DESCRIBED_DIGESTS",
    "HOOK_API",
    "NO_DIGESTS",
    "PCR_KERNEL_BOOT",
    "PCR_KERNEL_INITRD",
    "PCR_PLATFORM_CODE",
    "PCR_SECURE_BOOT_POLICY",
    "SECRET_SOURCES",
    "Artifact",
    "Assembly",
    "Blob",
    "Build",
    "BuiltImage",
    "CertificateOptions",
    "CheckSubject",
    "ContentWriter",
    "DigestNeeds",
    "DirectBoot",
    "Document",
    "Enroller",
    "Event",
    "Expectation",
    "FileSigner",
    "Finding",
    "FirmwareFile",
    "FirmwareImage",
    "FirmwareSource",
    "HandOver",
    "HookDeprecationWarning",
    "ImageKind",
    "KeyPreview",
    "KeySigner",
    "LaunchDigest",
    "LaunchDocument",
    "LaunchFormat",
    "LaunchModel",
    "LaunchNote",
    "LaunchOptions",
    "LaunchParameters",
    "LaunchPrediction",
    "LaunchRecord",
    "LaunchRow",
    "LaunchSearch",
    "LaunchSite",
    "LaunchStep",
    "Layout",
    "Machine",
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
    "Profile",
    "RegisterOptions",
    "Rule",
    "RuntimeRegister",
    "Section",
    "SecureBootKeys",
    "Severity",
    "SigningContext",
    "SigningKey",
    "Slice",
    "SourceContext",
    "StubVersion",
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
        "PCR_PLATFORM_CODE",
        "PCR_SECURE_BOOT_POLICY",
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
