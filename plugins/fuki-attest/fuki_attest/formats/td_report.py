"""What Intel TDX tells of a guest: the body of a quote, and the bare report that only the same machine can check.

Sources: Intel, "TDX DCAP Quoting Library API" A.3: TD report bodies of versions 1.0 and 1.5; Intel, "TDX Module Base
Architecture Specification" and "ABI Reference": TDREPORT_STRUCT, REPORTMACSTRUCT, TEE_TCB_INFO, TDINFO_STRUCT.
"""

from struct import Struct

import msgspec
from fuki_build.errors import FormatError

REPORT_SIZE = 1024
BODY_SIZE, BODY_15_SIZE = 584, 648
TDX_TYPE = 0x81
"""The type of a report, and of the TEE in a quote, that stands for TDX."""

_BODY = Struct("<16s48s48s8sQQ48s48s48s48s48s48s48s48s64s")
_BODY_15 = Struct("<16s48s")  # the second TCB, MRSERVICETD
_MAC = Struct("<BBBB12x16s48s48s64s32x32s")  # type …, CPU SVN, hashes of the parts, report data, MAC
_TCB = Struct("<Q16s48s48sQ16s95x17x")
_INFO = Struct("<QQ48s48s48s48s48s48s48s48s48s64x")
_VALID = 0x1FF


class TdBody(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of a guest, and those of what it rests on. `tee_tcb_svn_2` and `mr_service_td` are of 1.5."""

    tee_tcb_svn: bytes
    mr_seam: bytes
    mr_signer_seam: bytes
    seam_attributes: int
    td_attributes: int
    xfam: int
    mr_td: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmrs: tuple[bytes, ...]
    report_data: bytes
    tee_tcb_svn_2: bytes | None = None
    mr_service_td: bytes | None = None


class TdReport(msgspec.Struct, frozen=True, kw_only=True):
    """A TDREPORT. Its MAC's key never leaves the processor: nobody elsewhere can tell whether it is genuine."""

    subtype: int
    version: int
    cpu_svn: bytes
    tcb_hash: bytes
    info_hash: bytes
    mac: bytes
    tcb_info: bytes
    td_info: bytes
    body: TdBody


def decode_body(data: bytes) -> TdBody:
    """A body of version 1.0 or 1.5, by its size. Raises `FormatError`."""
    if len(data) not in (BODY_SIZE, BODY_15_SIZE):
        raise FormatError(f"the body of a TD report has {BODY_SIZE} or {BODY_15_SIZE} bytes, not {len(data)}")
    fields = _BODY.unpack_from(data)
    second_tcb, service_td = _BODY_15.unpack_from(data, BODY_SIZE) if len(data) == BODY_15_SIZE else (None, None)

    return TdBody(
        tee_tcb_svn=fields[0],
        mr_seam=fields[1],
        mr_signer_seam=fields[2],
        seam_attributes=int.from_bytes(fields[3], "little"),
        td_attributes=fields[4],
        xfam=fields[5],
        mr_td=fields[6],
        mr_config_id=fields[7],
        mr_owner=fields[8],
        mr_owner_config=fields[9],
        rtmrs=fields[10:14],
        report_data=fields[14],
        tee_tcb_svn_2=second_tcb,
        mr_service_td=service_td,
    )


def decode_report(data: bytes) -> TdReport:
    """A bare report of 1024 bytes. Raises `FormatError`, also for reserved bytes in use."""
    if len(data) != REPORT_SIZE:
        raise FormatError(f"a TD report has {REPORT_SIZE} bytes, not {len(data)}")

    kind, subtype, version, reserved, *mac = _MAC.unpack_from(data)
    if kind != TDX_TYPE:
        raise FormatError(f"the report is of type {kind:#x}, and {TDX_TYPE:#x} is that of TDX")

    tcb = _TCB.unpack_from(data, _MAC.size)
    info = _INFO.unpack_from(data, _MAC.size + _TCB.size)
    packed = _MAC.pack(kind, subtype, version, reserved, *mac) + _TCB.pack(*tcb) + _INFO.pack(*info)
    if reserved or packed != data:
        raise FormatError("the TD report has reserved bytes that are not zero")

    tcb_end = _MAC.size + _TCB.size - 17
    return TdReport(
        subtype=subtype,
        version=version,
        cpu_svn=mac[0],
        tcb_hash=mac[1],
        info_hash=mac[2],
        mac=mac[4],
        tcb_info=data[_MAC.size : tcb_end],
        td_info=data[tcb_end + 17 :],
        body=TdBody(
            tee_tcb_svn=tcb[1],
            mr_seam=tcb[2],
            mr_signer_seam=tcb[3],
            seam_attributes=tcb[4],
            td_attributes=info[0],
            xfam=info[1],
            mr_td=info[2],
            mr_config_id=info[3],
            mr_owner=info[4],
            mr_owner_config=info[5],
            rtmrs=info[6:10],
            report_data=mac[3],
            tee_tcb_svn_2=tcb[5] if version else None,
            mr_service_td=info[10] if version else None,
        ),
    )
