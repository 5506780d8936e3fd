"""The model of vm-launch-update: each expectation is read in the device's source, or its specification."""

import pytest
from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm
from hypothesis import given
from hypothesis import strategies as st

from fuki_qemu.host.launch_update import Control, LaunchUpdate, Status, UpdateFields, decode, encode

ADDRESS = 0x123456
"""Not at a page's start: the device does not ask for that."""
IGVM, HOST, DISABLE = Control.IGVM, Control.HOST_IGVM, Control.DISABLE
PLATFORM = igvm.SupportedPlatform(
    mask=1, highest_vtl=2, platform=igvm.IgvmPlatform.NATIVE, version=1, shared_gpa_boundary=0
)


def file(name: str) -> bytes:
    return igvm.encode([PLATFORM], name.encode())


HOSTS, OWN, OTHER = file("the host's"), file("own"), file("other")


class Guest:
    """A guest that has one image in memory at `ADDRESS`, and does to the device what the hand-over program does."""

    def __init__(self, host_file: bytes | None = HOSTS) -> None:
        self.device = LaunchUpdate(host_file)
        self.image = OWN

    def read_memory(self, address: int, size: int) -> bytes | None:
        at = address - ADDRESS
        return self.image[at : at + size] if at >= 0 and at + size <= len(self.image) else None

    def write(self, control: int, image: bytes | None = None, **fields: int) -> UpdateFields:
        """Select and write; what the device answers, without selecting again."""
        self.device.select()
        if image is not None:
            self.image = image
            fields = {"image_address": ADDRESS, "image_size": len(image), **fields}
        return decode(self.device.write(encode(UpdateFields(control=control, **fields)), self.read_memory))

    def read(self) -> UpdateFields:
        return decode(self.device.select())


def test_the_file_has_56_bytes_in_the_specifications_order():
    fields = UpdateFields(
        version=1, status=2, capabilities=3, control=4, image_address=5, image_size=6, opaque_address=7, opaque_size=8
    )
    data = encode(fields)
    assert len(data) == 56
    assert data[:8] == bytes([1, 0, 2, 0, 0, 0, 0, 0])
    assert [int.from_bytes(data[at : at + 8], "little") for at in range(8, 56, 8)] == [3, 4, 5, 6, 7, 8]
    assert decode(data) == fields


@given(st.binary(max_size=80))
def test_only_56_bytes_are_a_file(data: bytes):
    if len(data) == 56:
        decode(data)
    else:
        with pytest.raises(FormatError):
            decode(data)


def test_a_device_that_nobody_wrote_to_starts_the_hosts_file_at_each_reset():
    guest = Guest()
    assert guest.read() == UpdateFields(
        version=1,
        status=Status.DONE,
        capabilities=Control.IGVM,
        control=0,
        image_address=0,
        image_size=0,
        opaque_address=0,
        opaque_size=0,
    )
    assert [guest.device.reset() for _ in range(3)] == [HOSTS] * 3


def test_mode_a_replaces_for_good_and_may_be_replaced_again():
    guest = Guest()
    answer = guest.write(IGVM, OWN)
    assert (answer.status, answer.image_address, answer.image_size) == (Status.DONE, 0, 0)
    assert [guest.device.reset() for _ in range(3)] == [OWN] * 3
    assert guest.write(IGVM, OTHER).status == Status.DONE
    assert guest.device.reset() == OTHER


def test_mode_b_replaces_for_good_and_locks_in_a_second_write():
    guest = Guest()
    guest.write(IGVM, OWN)
    guest.write(DISABLE)
    assert [guest.device.reset() for _ in range(2)] == [OWN] * 2
    assert guest.read().control == DISABLE
    guest.write(IGVM, OTHER)
    assert guest.device.reset() == OWN


def test_mode_c_replaces_for_one_reset():
    guest = Guest()
    guest.write(IGVM | HOST, OWN)
    assert [guest.device.reset() for _ in range(4)] == [OWN, HOSTS, HOSTS, HOSTS]


def test_reading_the_answer_drops_the_way_back_so_the_same_is_written_again():
    guest = Guest()
    guest.write(IGVM | HOST, OWN)
    assert guest.read().control == 0
    assert [guest.device.reset() for _ in range(2)] == [OWN, OWN]

    again = Guest()
    again.write(IGVM | HOST, OWN)
    again.read()
    again.write(IGVM | HOST, OWN)
    assert [again.device.reset() for _ in range(2)] == [OWN, HOSTS]


def test_mode_d_is_locked_until_the_hosts_file_is_back():
    """The specification says that it stays locked; the source opens it."""
    guest = Guest()
    guest.write(IGVM, OWN)
    guest.write(DISABLE | HOST)
    assert guest.device.reset() == OWN
    assert guest.read().control == DISABLE
    assert guest.write(IGVM, OTHER).image_address == ADDRESS
    assert guest.device.reset() == HOSTS
    assert guest.read().control == 0
    assert guest.write(IGVM, OTHER).image_address == 0


def test_a_lock_in_the_same_write_as_an_image_never_loads_it():
    guest = Guest()
    answer = guest.write(IGVM | DISABLE, OWN)
    assert (answer.status, answer.image_address, answer.image_size) == (Status.DONE, ADDRESS, len(OWN))
    assert guest.device.reset() == HOSTS
    assert guest.device.is_locked


def test_a_locked_device_answers_done_and_keeps_the_addresses():
    guest = Guest()
    guest.write(DISABLE)
    answer = guest.write(IGVM, OWN)
    assert (answer.status, answer.image_address) == (Status.DONE, ADDRESS)


def test_a_locked_device_still_goes_back_to_the_host_after_a_reset_with_the_hosts_bit():
    guest = Guest()
    guest.write(IGVM, OWN)
    guest.write(DISABLE)
    guest.write(HOST)
    assert [guest.device.reset() for _ in range(2)] == [OWN, HOSTS]


def test_the_hosts_bit_without_an_image_goes_back_at_the_next_reset():
    guest = Guest()
    guest.write(IGVM, OWN)
    assert guest.device.reset() == OWN
    assert guest.write(HOST).status == Status.DONE
    assert [guest.device.reset() for _ in range(2)] == [HOSTS, HOSTS]


def test_a_host_that_starts_guests_from_no_file_takes_none():
    guest = Guest(None)
    answer = guest.write(IGVM, OWN)
    assert (answer.status, answer.image_address) == (Status.NOT_STARTED_FROM_IGVM, ADDRESS)
    assert guest.device.reset() is None


def broken(image: bytes) -> bytes:
    return image[:20] + bytes(byte ^ 0xFF for byte in image[20:24]) + image[24:]


@pytest.mark.parametrize(
    ("image", "fields"),
    [
        (broken(OWN), {}),
        (b"no IGVM file at all", {}),
        (OWN[:30], {}),
        (OWN, {"image_address": 1 << 40}),
        (OWN, {"image_address": (1 << 64) - 1}),
        (OWN, {"image_size": len(OWN) + 1}),
        (OWN, {"image_size": 1 << 63}),
        (OWN, {"image_size": 0}),
        (OWN, {"image_address": 0}),
    ],
    ids=["checksum", "format", "short", "no memory", "last byte", "beyond memory", "huge", "no size", "no address"],
)
def test_an_image_that_cannot_be_loaded_changes_nothing(image: bytes, fields: dict[str, int]):
    guest = Guest()
    answer = guest.write(IGVM | HOST, image, **fields)
    assert answer.status == Status.LOAD_FAILED
    assert (answer.image_address, answer.image_size) != (0, 0)
    assert [guest.device.reset() for _ in range(3)] == [HOSTS] * 3


def test_the_igvm_bit_without_any_image_fails():
    assert Guest().write(IGVM).status == Status.LOAD_FAILED


def test_an_image_in_another_format_fails():
    answer = Guest().write(0, OWN)
    assert (answer.status, answer.image_address) == (Status.LOAD_FAILED, ADDRESS)


def test_an_image_of_more_than_64_mib_is_taken_as_any():
    """The source has no limit to an image but the guest's memory."""
    large = igvm.encode([PLATFORM], bytes(65 << 20))
    guest = Guest()
    assert guest.write(IGVM, large).status == Status.DONE
    assert guest.device.reset() == large


def test_opaque_fields_survive_selection_resets_and_the_hosts_return():
    guest = Guest()
    guest.write(IGVM | HOST, OWN, opaque_address=0x5000, opaque_size=7)
    for _ in range(3):
        guest.device.reset()
        assert guest.read()[-2:] == (0x5000, 7)


@given(
    st.lists(
        st.one_of(
            st.just("reset"),
            st.just("read"),
            st.tuples(st.integers(0, (1 << 64) - 1), st.sampled_from([None, OWN, OTHER, broken(OWN)])),
        )
    )
)
def test_whatever_a_guest_does_the_next_start_is_from_a_file_that_can_be_parsed(
    steps: list[str | tuple[int, bytes | None]],
):
    guest = Guest()
    for step in steps:
        if step == "reset":
            assert guest.device.reset() in (HOSTS, OWN, OTHER)
        elif step == "read":
            assert guest.read().version == 1
        elif isinstance(step, tuple):
            guest.write(*step)
