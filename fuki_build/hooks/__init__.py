"""What a plugin sees: hook specifications and the records that pass through them.

A plugin is a distribution with an entry point in the group `fuki`; the entry point's name is the plugin's.
"""

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
    LaunchSite,
    LaunchStep,
    RuntimeRegister,
    Svsm,
    from_document,
    to_document,
)
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
    Platform,
    Problem,
    Problems,
    Rule,
    Severity,
    SourceContext,
)
from fuki_build.hooks.secrets import SECRET_SOURCES
from fuki_build.hooks.signers import CertificateOptions, FileSigner, KeySigner, SigningContext, SigningKey
from fuki_build.hooks.specs import hookimpl
from fuki_build.hooks.tables import TablePlatform

__all__ = [
    "SECRET_SOURCES",
    "Artifact",
    "Build",
    "BuiltImage",
    "CertificateOptions",
    "CheckSubject",
    "DirectBoot",
    "Document",
    "Enroller",
    "Expectation",
    "FileSigner",
    "Finding",
    "FirmwareFile",
    "FirmwareSource",
    "HandOver",
    "KeySigner",
    "LaunchDigest",
    "LaunchDocument",
    "LaunchModel",
    "LaunchNote",
    "LaunchParameters",
    "LaunchPrediction",
    "LaunchRecord",
    "LaunchSite",
    "LaunchStep",
    "OutputContext",
    "OutputFormat",
    "Platform",
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
    "to_document",
]
