"""TDX: MRTD against a second reading of Intel's specification, written apart; no other implementation runs here.

No published MRTD is known of firmware that can be obtained here, so that no value comes from hardware.
"""

import hashlib
from struct import pack, pack_into, unpack_from

import parts
import pytest
from fuki_build.formats.confidential import igvm
from fuki_build.hooks import DirectBoot, LaunchParameters, LaunchPrediction, RuntimeRegister
from fuki_build.testing import igvm as written

from fuki_coco.tdx import Tdx

BUILDS = ("ovmf-generic", "ovmf-amdsev", "ovmf-inteltdx", "ovmf-2025", "ovmf-2022")


def predict(firmware: bytes, parameters: LaunchParameters | None = None) -> LaunchPrediction:
    prediction = Tdx().predict(firmware, parameters or LaunchParameters())
    assert prediction is not None
    return prediction


def mrtd_by_the_book(firmware: bytes, *, two_pass: bool) -> str:
    """TDH.MEM.PAGE.ADD and TDH.MR.EXTEND of every TDVF section, as the module specification words them."""
    table = firmware.index(b"TDVF")
    (count,) = unpack_from("<I", firmware, table + 12)

    operations: list[list[tuple[str, int, bytes]]] = []
    for number in range(count):
        offset, _, address, size, _, attributes = unpack_from("<IIQQII", firmware, table + 16 + 32 * number)
        if attributes & 2:
            continue

        section = []
        for page in range(0, size, 4096):
            section.append(("add", address + page, b""))
            if attributes & 1:
                chunks = range(page, page + 4096, 256)
                section += [("extend", address + at, firmware[offset + at : offset + at + 256]) for at in chunks]

        if two_pass:
            section.sort(key=lambda operation: operation[0] == "extend")  # stable: adds first, each kind in order
        operations.append(section)

    digest = hashlib.sha384()
    for section in operations:
        for name, address, content in section:
            buffer = bytearray(128)
            word = b"MEM.PAGE.ADD" if name == "add" else b"MR.EXTEND"
            buffer[: len(word)] = word
            buffer[16:24] = address.to_bytes(8, "little")
            digest.update(buffer + content)
    return digest.hexdigest()


@pytest.mark.parametrize("build", BUILDS)
def test_mrtd_follows_the_specification_in_both_orders(build: str):
    firmware = parts.get(build).read_bytes()
    digests = {digest.variant: digest.digest for digest in predict(firmware).digests}
    assert digests == {
        "single-pass": mrtd_by_the_book(firmware, two_pass=False),
        "two-pass": mrtd_by_the_book(firmware, two_pass=True),
    }


def test_mrtd_depends_on_no_parameter():
    firmware = parts.get("ovmf-inteltdx").read_bytes()
    one = predict(firmware)
    other = predict(
        firmware, LaunchParameters(vmms=("qemu", "gce"), vcpus=(1, 64), cpu_models=("EPYC",), guest_features=(1, 0x21))
    )
    assert one == other


def test_gce_has_one_order():
    prediction = predict(parts.get("ovmf-inteltdx").read_bytes(), LaunchParameters(vmms=("gce",)))
    assert [digest.variant for digest in prediction.digests] == ["single-pass"]


def test_hypervisors_without_tdx_are_named():
    prediction = predict(parts.get("ovmf-inteltdx").read_bytes(), LaunchParameters(vmms=("ec2",)))
    assert (prediction.digests, prediction.notes[0].message) == ((), "ec2 launches no guests under Intel TDX")
    prediction = predict(parts.get("ovmf-inteltdx").read_bytes(), LaunchParameters(vmms=("ec2", "qemu")))
    assert len(prediction.digests) == 2


def test_the_variables_are_not_in_mrtd_but_the_code_is():
    firmware = bytearray(parts.get("ovmf-generic").read_bytes())
    before = predict(bytes(firmware)).digests
    firmware[0x1000] ^= 0xFF  # in the variable store
    assert predict(bytes(firmware)).digests == before
    firmware[0x100000] ^= 0xFF
    assert predict(bytes(firmware)).digests != before


def test_rtmr1_of_a_kernel_that_the_hypervisor_boots_is_a_replay_of_edk2_s_events():
    kernel = hashlib.sha384(b"kernel").digest()
    boot = DirectBoot(name="main", kernel=b"", initrd=b"", cmdline=b"", authenticode=kernel)
    prediction = predict(parts.get("ovmf-inteltdx").read_bytes(), LaunchParameters(boots=(boot,)))
    register = bytes(48)
    # TdTcg2Dxe, in order: the image, EV_EFI_ACTION, EV_SEPARATOR, and two EV_EFI_ACTIONs of ExitBootServices.
    events = ["Calling EFI Application from Boot Option", "\0\0\0\0"]
    events += ["Exit Boot Services Invocation", "Exit Boot Services Returned with Success"]
    for digest in (kernel, *(hashlib.sha384(event.encode()).digest() for event in events)):
        register = hashlib.sha384(register + digest).digest()
    assert [(d.register, d.boot, d.digest) for d in prediction.digests if d.boot] == [("RTMR1", "main", register.hex())]


def test_runtime_registers_are_told_as_the_core_predicts_them_and_reasons_once():
    registers = (
        RuntimeRegister("RTMR1", "image@0", bytes(48)),
        RuntimeRegister("RTMR2", "image@0", b"\1" * 48),
        RuntimeRegister("RTMR1", "image@1", bytes(48)),
        RuntimeRegister("RTMR2", "image@1", None, "no one knows"),
        RuntimeRegister("RTMR2", "image@2", None, "no one knows"),
    )

    boot = DirectBoot(name="image", kernel=b"", initrd=b"", cmdline=b"", authenticode=bytes(48))
    parameters = LaunchParameters(boots=(boot,), runtime=registers)
    prediction = predict(parts.get("ovmf-inteltdx").read_bytes(), parameters)

    assert [(d.register, d.boot, d.digest) for d in prediction.digests if d.boot] == [
        ("RTMR1", "image@0", "00" * 48), ("RTMR2", "image@0", "01" * 48), ("RTMR1", "image@1", "00" * 48),
    ]  # fmt: skip

    messages = [note.message for note in prediction.notes]
    assert [message.split()[0] for message in messages] == ["RTMR0", "RTMR2", "RTMR3"]
    assert messages[1] == "RTMR2 of image@1, image@2 cannot be told: no one knows"


def test_under_hyper_v_runtime_registers_are_not_told():
    register = RuntimeRegister("RTMR2", "disk", bytes(48))
    prediction = predict(
        parts.get("ovmf-inteltdx").read_bytes(), LaunchParameters(vmms=("hyperv",), runtime=(register,))
    )
    assert {digest.register for digest in prediction.digests} == {"MRTD"}
    assert any(
        "RTMR2 of disk cannot be told" in note.message and "paravisor" in note.message for note in prediction.notes
    )


def test_the_registers_that_files_do_not_decide_are_named():
    notes = [note.message.split()[0] for note in predict(parts.get("ovmf-generic").read_bytes()).notes]
    assert notes == ["RTMR0", "RTMR1", "RTMR2", "RTMR3"]


@pytest.mark.parametrize("part", ["ovmf-2022-code", "ovmf-vars", "aavmf"])
def test_other_firmware_is_not_made_for_tdx(part: str):
    assert Tdx().predict(parts.get(part).read_bytes(), LaunchParameters()) is None


def test_an_igvm_file_of_the_same_pages_has_the_same_mrtd():
    """The TDVF sections page by page in an IGVM file: Hyper-V's order is the single pass."""
    firmware = parts.get("ovmf-inteltdx").read_bytes()
    at = firmware.index(b"TDVF")
    (count,) = unpack_from("<I", firmware, at + 12)
    places = []
    for number in range(count):
        offset, _, address, size, _, attributes = unpack_from("<IIQQII", firmware, at + 16 + 32 * number)
        places += [(address + page, offset + page, attributes & 1) for page in range(0, size, 4096)]

    def headers(base: int) -> list[written.Header]:
        pages = [
            written.page(address, base + offset if extended else 0, flags=0 if extended else written.UNMEASURED)
            for address, offset, extended in places
        ]
        return [written.platform(1, written.TDX), *pages]

    file = written.build(headers(written.data_offset(headers(0))), firmware)
    (digest,) = predict(file).digests
    assert digest.digest == mrtd_by_the_book(firmware, two_pass=False)


def test_an_igvm_file_without_tdx_is_none():
    assert Tdx().predict(written.build([written.platform(1, written.SEV_SNP)]), LaunchParameters()) is None


def test_an_empty_measured_page_of_an_igvm_file_is_extended_as_zeros():
    empty = written.build([written.platform(1, written.TDX), written.page(0x1000, 0)])
    headers = [written.platform(1, written.TDX), written.page(0x1000, 0)]
    at = written.data_offset(headers)
    zeros = written.build([headers[0], written.page(0x1000, at)], bytes(igvm.PAGE))
    assert predict(empty).digests == predict(zeros).digests


def mrtd_of(*pages: tuple[int, bytes | None]) -> str:
    """Pages that are added one after the other, each with its content at once, None where that is not measured."""
    digest = hashlib.sha384()
    for address, content in pages:
        digest.update(pack("<16sQ104x", b"MEM.PAGE.ADD", address))
        for at in range(0, 4096, 256) if content is not None else ():
            digest.update(pack("<16sQ104x", b"MR.EXTEND", address + at) + (content or b"")[at : at + 256])
    return digest.hexdigest()


def test_parameters_of_an_igvm_file_are_added_and_not_measured():
    headers = [
        written.platform(1, written.TDX),
        written.area(0x2000),
        written.page(0x1000, 0),
        written.insert(0x6000),
        written.page(0x9000, 0, flags=written.SHARED),
        written.page(0xA000, 0, flags=written.UNMEASURED),
    ]
    (digest,) = predict(written.build(headers)).digests
    assert digest.digest == mrtd_of((0x1000, bytes(4096)), (0x6000, None), (0x7000, None), (0xA000, None))


def test_memory_beyond_the_content_of_a_measured_section_is_measured_as_zeros():
    """The design guide has the rest of the memory zeroed; what is measured is all of it."""
    firmware = bytearray(parts.get("ovmf-inteltdx").read_bytes())
    table = firmware.index(b"TDVF")
    (count,) = unpack_from("<I", firmware, table + 12)
    rows = [unpack_from("<IIQQII", firmware, table + 16 + 32 * number) for number in range(count)]
    number = next(number for number, row in enumerate(rows) if row[5] & 1)
    pack_into("<I", firmware, table + 16 + 32 * number + 4, rows[number][1] - 0x1800)

    pages: list[tuple[int, bytes | None]] = []
    for index, (offset, size, address, memory, _, attributes) in enumerate(rows):
        raw = bytes(firmware[offset : offset + size - (0x1800 if index == number else 0)]).ljust(memory, b"\0")
        measured = attributes & 1
        pages += [
            (address + at, raw[at : at + 4096] if measured else None)
            for at in range(0, memory, 4096)
            if not attributes & 2
        ]

    digests = {digest.variant: digest.digest for digest in predict(bytes(firmware)).digests}
    assert digests["single-pass"] == mrtd_of(*pages)
