"""The data of logged events, decoded (TCG, "PC Client Platform Firmware Profile" 1.06, 10.4)."""

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from uuid import UUID

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.hashes import SIZES, new_hash
from fuki_build.formats.reader import unpack
from fuki_build.formats.tcg.event_log import LoggedEvent
from fuki_build.formats.uefi import device_path

_MAX_TEXT = 4096
"""Longest text shown of one event, in characters."""
_VARIABLE = Struct("<16sQQ")  # vendor, characters of the name, bytes of the value
_IMAGE = Struct("<QQQQ")  # address, size, link time address, size of the device path
_TAG = Struct("<II")
_BLOB = Struct("<QQ")
_GPT_HEADER_SIZE = 92
_GPT_ENTRY = Struct("<16s16sQQQ72s")  # type, id, first and last block, attributes, name

TAGS: Mapping[int, str] = {
    0x8F3B22EC: "Linux: initrd",
    0x8F3B22ED: "Linux: load options",
    0xF5BC582A: "systemd-boot: loader.conf",
    0x6C46F751: "systemd-stub: devicetree addon",
    0x49DFFE0F: "systemd-stub: initrd addon",
    0xDAC08E1A: "systemd-stub: microcode addon",
    0x13AED6DB: "systemd-stub: profile",
    0xD5CB7CBC: "systemd-stub: SMBIOS type 1",
    0xE0D47BC8: "systemd-stub: SMBIOS type 2",
    0xC0B3BD23: "systemd-stub: SMBIOS type 11",
}
"""Tags of EV_EVENT_TAG (Linux' efistub.h; systemd's tpm2-pcr.h)."""


class MeasuredVariable(msgspec.Struct, frozen=True):
    """An EFI variable as it was measured."""

    vendor: UUID
    name: str
    value: bytes


def variable(data: bytes) -> MeasuredVariable:
    """A UEFI_VARIABLE_DATA. Raises `FormatError`."""
    vendor, characters, size = unpack(_VARIABLE, data, 0, "an EFI variable")

    end = _VARIABLE.size + 2 * characters
    if end + size > len(data):
        raise FormatError(f"an EFI variable claims {characters} characters and {size} bytes")

    name = data[_VARIABLE.size : end].decode("utf-16-le", "replace")
    return MeasuredVariable(UUID(bytes_le=vendor), name, data[end : end + size])


def encode_variable(measured: MeasuredVariable) -> bytes:
    """A UEFI_VARIABLE_DATA, whose digest is measured for a variable; the name has no NUL."""
    name = measured.name.encode("utf-16-le")
    return _VARIABLE.pack(measured.vendor.bytes_le, len(name) // 2, len(measured.value)) + name + measured.value


def image_path(data: bytes) -> str:
    """The device path of a UEFI_IMAGE_LOAD_EVENT. Raises `FormatError`."""
    *_, size = unpack(_IMAGE, data, 0, "an image load event")
    if size > len(data) - _IMAGE.size:
        raise FormatError(f"an image load event claims a device path of {size} bytes")
    return device_path.decode(data[_IMAGE.size : _IMAGE.size + size])


def tagged(data: bytes) -> tuple[int, bytes]:
    """Tag and content of an EV_EVENT_TAG. Raises `FormatError`."""
    tag, size = unpack(_TAG, data, 0, "a tagged event")
    if size > len(data) - _TAG.size:
        raise FormatError(f"a tagged event claims {size} bytes")
    return tag, data[_TAG.size : _TAG.size + size]


def text(data: bytes) -> str:
    """Text in the encoding that it appears to have: UTF-16 as EFI programs write it, or ASCII."""
    limited = data[: 2 * _MAX_TEXT]
    if len(limited) >= 2 and not any(limited[1:64:2]) and any(limited[:64:2]):
        return limited.decode("utf-16-le", "replace").rstrip("\0")
    return limited[:_MAX_TEXT].rstrip(b"\0").decode("utf-8", "backslashreplace")


def describe(event: LoggedEvent) -> str:
    """One line on an event, as far as its data tells; in hex where the data is damaged or of an unknown kind."""
    words = _WORDS.get(event.type_name, _hexadecimal)
    try:
        return words(event.data)
    except FormatError:
        return f"damaged: {_hexadecimal(event.data)}"


def digest_is_of_data(event: LoggedEvent) -> bool | None:
    """Whether the digests match the event's data; None where the data is not what is measured."""
    known = {bank: digest for bank, digest in event.digests.items() if bank in SIZES}
    measured = _measured(event) if known else ()
    if not measured:
        return None
    return any(all(new_hash(bank, data).digest() == digest for bank, digest in known.items()) for data in measured)


def _measured(event: LoggedEvent) -> Sequence[bytes]:
    """The byte strings that the digest may cover, where the data contains them (table 14)."""
    if event.type_name in _MEASURED_WHOLE:
        return [event.data]
    if event.type_name == "EV_EFI_VARIABLE_BOOT":
        try:
            # The specification measures the value alone; some firmware measures name and value, as for other variables.
            return [variable(event.data).value, event.data]
        except FormatError:
            return ()
    return ()


_MEASURED_WHOLE = frozenset(
    (
        "EV_ACTION",
        "EV_EFI_ACTION",
        "EV_EFI_GPT_EVENT",
        "EV_EFI_VARIABLE_AUTHORITY",
        "EV_EFI_VARIABLE_BOOT2",
        "EV_EFI_VARIABLE_DRIVER_CONFIG",
        "EV_S_CRTM_VERSION",
        "EV_SEPARATOR",
    )
)


def _hexadecimal(data: bytes) -> str:
    return data[:48].hex() + ("…" if len(data) > 48 else "")


def _variable_words(data: bytes) -> str:
    measured = variable(data)
    value = f" = {measured.value.hex()}" if 0 < len(measured.value) <= 8 else f", {len(measured.value)} bytes"
    return f"{measured.name}{value}"


def _tag_words(data: bytes) -> str:
    tag, content = tagged(data)
    return f"{TAGS.get(tag, f'tag {tag:#010x}')}: {text(content)}"


def _blob_words(data: bytes) -> str:
    base, size = unpack(_BLOB, data, 0, "a firmware blob")
    return f"{size} bytes at {base:#x}"


def _blob2_words(data: bytes) -> str:
    (length,) = unpack(Struct("<B"), data, 0, "a firmware blob's name")
    return f"{text(data[1 : 1 + length])}, {_blob_words(data[1 + length :])}"


def _separator_words(data: bytes) -> str:
    return {bytes(4): "00000000", b"\xff" * 4: "ffffffff", b"\x01\0\0\0": "error"}.get(data, text(data))


def _handoff2_words(data: bytes) -> str:
    """The name of a description of tables; the log does not contain the tables themselves."""
    (length,) = unpack(Struct("<B"), data, 0, "a description of tables")
    return text(data[1 : 1 + length])


def _post_words(data: bytes) -> str:
    """A text, or the location of the measured code."""
    return _blob_words(data) if len(data) == _BLOB.size and not data.isascii() else text(data)


def _nonhost_words(data: bytes) -> str:
    """A text with a NUL, such as a cloud's, and the bytes that follow it in hex."""
    words, _, rest = data.partition(b"\0")
    if not words or not (words.isascii() and words.decode("ascii").isprintable()):
        return _hexadecimal(data)
    return f"{text(words)}: {_hexadecimal(rest)}" if any(rest) else text(words)


def _version_words(data: bytes) -> str:
    return str(UUID(bytes_le=data)) if len(data) == 16 else text(data)


def _gpt_words(data: bytes) -> str:
    (count,) = unpack(Struct("<Q"), data, _GPT_HEADER_SIZE, "a partition table")
    names = []
    for index in range(min(count, 16)):
        *_, name = unpack(_GPT_ENTRY, data, _GPT_HEADER_SIZE + 8 + index * _GPT_ENTRY.size, "a partition")
        names.append(name.decode("utf-16-le", "replace").rstrip("\0"))
    return f"{count} partitions: {', '.join(names)}"


def _no_action_words(data: bytes) -> str:
    signature = data[:16].rstrip(b"\0")
    if signature == b"StartupLocality":
        return f"StartupLocality {data[16] if len(data) > 16 else '?'}"
    return signature.decode("ascii", "backslashreplace")


_WORDS: dict[str, Callable[[bytes], str]] = {
    "EV_ACTION": text,
    "EV_EFI_ACTION": text,
    "EV_EFI_BOOT_SERVICES_APPLICATION": image_path,
    "EV_EFI_BOOT_SERVICES_DRIVER": image_path,
    "EV_EFI_GPT_EVENT": _gpt_words,
    "EV_EFI_GPT_EVENT2": _gpt_words,
    "EV_EFI_HANDOFF_TABLES2": _handoff2_words,
    "EV_EFI_HCRTM_EVENT": text,
    "EV_EFI_PLATFORM_FIRMWARE_BLOB": _blob_words,
    "EV_EFI_PLATFORM_FIRMWARE_BLOB2": _blob2_words,
    "EV_EFI_RUNTIME_SERVICES_DRIVER": image_path,
    "EV_EFI_VARIABLE_AUTHORITY": _variable_words,
    "EV_EFI_VARIABLE_BOOT": _variable_words,
    "EV_EFI_VARIABLE_BOOT2": _variable_words,
    "EV_EFI_VARIABLE_DRIVER_CONFIG": _variable_words,
    "EV_EVENT_TAG": _tag_words,
    "EV_IPL": text,
    "EV_NONHOST_INFO": _nonhost_words,
    "EV_NO_ACTION": _no_action_words,
    "EV_PLATFORM_CONFIG_FLAGS": text,
    "EV_POST_CODE": _post_words,
    "EV_S_CRTM_CONTENTS": text,
    "EV_S_CRTM_VERSION": _version_words,
    "EV_SEPARATOR": _separator_words,
}
