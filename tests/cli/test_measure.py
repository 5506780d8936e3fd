"""fuki measure and fuki replay from the command line."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fuki_build.formats.tcg import pcr_text
from fuki_build.testing import invoke, refused, succeed
from tests.support.images import layout_of, write

LOGS = Path(__file__).parents[1] / "data" / "event-logs"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    sections = [(".linux", b"kernel", None), (".cmdline", b"console=ttyS0", None), (".profile", b"ID=main\n", 0)]
    return write(tmp_path / "image.efi", layout_of([*sections, (".profile", b"ID=other\n", 1), (".cmdline", b"x", 1)]))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    for path in LOGS.glob("disk-262.*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "disk-262.log"


def test_every_profile_is_predicted_and_one_can_be_chosen(image):
    everything = succeed(image.parent, "measure", image, "--json").out
    assert [case["profile-id"] for case in json.loads(everything)["predictions"]] == ["main", "other"]
    (case,) = json.loads(succeed(image.parent, "measure", image, "--profile", "other", "--json").out)["predictions"]
    assert case["profile"] == 1


def test_registers_banks_and_phases_can_be_chosen(image):
    options = ("--pcr", "11", "--bank", "sha1", "--bank", "sha512", "--phase", "a:b", "--profile", "0", "--json")
    view = json.loads(succeed(image.parent, "measure", image, *options).out)
    assert (view["banks"], view["phases"]) == (["sha1", "sha512"], ["a:b"])
    registers = view["predictions"][0]["registers"]
    assert [(register["pcr"], register["phase"]) for register in registers] == [(11, None), (11, "a:b")]
    assert [len(value) for value in registers[1]["values"].values()] == [40, 128]


def test_register_7_without_variables_is_an_error_that_says_what_to_give(image):
    error = refused(image.parent, "measure", image, "--pcr", "7")
    assert "none were given" in error
    assert "--variables" in error


def test_registers_can_be_predicted_in_sm3(image):
    view = json.loads(succeed(image.parent, "measure", image, "--bank", "sm3", "--profile", "0", "--json").out)
    assert view["banks"] == ["sm3"]
    name = next(event for event in view["predictions"][0]["events"] if event["what"] == "name of .linux")
    command = ["openssl", "dgst", "-sm3", "-r"]
    openssl = subprocess.run(command, input=b".linux\0", capture_output=True, check=True, text=False)
    assert name["digests"]["sm3"] == openssl.stdout.split()[0].decode()


def test_values_are_shown_in_aligned_columns_and_reasons_in_one_line(image):
    lines = succeed(image.parent, "measure", image, "--profile", "0").out.splitlines()
    heading = next(line for line in lines if line.startswith("PCR "))
    at = heading.index("Value")
    values = [line for line in lines if line[at - 7 : at - 1] == "sha256"]
    assert len(values) == 2 + 5
    assert all(len(line) == at + 64 and line[at - 1] == " " for line in values)
    (reason,) = (line for line in lines if "cannot be told" in line)
    assert reason.index("cannot be told") == at
    assert not any(line.startswith(" " * at) for line in lines)


def test_rtmrs_are_told_with_their_bank(image):
    view = json.loads(succeed(image.parent, "measure", image, "--rtmr", "--direct", "--profile", "0", "--json").out)
    assert view["banks"] == ["sha384"]
    first, second = view["predictions"][0]["rtmrs"]
    assert (first["name"], len(first["value"]), first["unknown"]) == ("RTMR1", 96, "")
    assert {event["pcr"] for event in second["events"]} == {9, 11}
    shown = succeed(image.parent, "measure", image, "--rtmr", "--profile", "0").out
    assert "cannot be told: the partition table of the disk is not known" in shown


def test_a_damaged_disk_is_refused(image):
    (image.parent / "disk").write_bytes(bytes(512) + b"EFI PART" + bytes(1024))
    assert "disk: " in refused(image.parent, "measure", image, "--rtmr", "--disk", "disk", code=1)


def test_the_table_tells_events_and_values(image):
    out = succeed(image.parent, "measure", image, "--events", "--profile", "1").out
    assert "profile @1 (other), no firmware" in out
    assert "content of .cmdline" in out
    assert "enter-initrd:leave-initrd" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--bank", "md5"), "there is no bank 'md5'"),
        (("--profile", "none"), "there is no profile 'none'"),
        (("--phase", ":"), "has no word"),
        (("--pcr", "0"), "register 0 is made of the machine's firmware, and none was given"),
        (("--pcr", "1"), "register 1 is made of the machine's firmware, and none was given"),
        (("--pcr", "2"), "register 2 is not predicted"),
        (("--platform", "nowhere"), "there is no platform 'nowhere'"),
    ],
)
def test_what_there_is_not_is_a_mistake_of_usage(image, arguments, words):
    assert words in refused(image.parent, "measure", image, *arguments)


def test_what_is_no_uki_is_refused(tmp_path, part):
    assert "this is no UKI" in refused(tmp_path, "measure", part("stub-x64"), code=1)
    assert "not a PE image" in refused(tmp_path, "measure", Path(__file__), code=1)


def test_a_file_that_is_no_variable_store_is_refused(image):
    assert "no variable store" in refused(image.parent, "measure", image, "--variables", image, code=1)


def test_a_register_that_has_another_value_than_expected_ends_with_3(log):
    values = pcr_text.decode(log.with_suffix(".pcrs").read_text())
    good = f"4={values['sha256', 4].hex()}"
    out = succeed(log.parent, "replay", log, "--expect", good).out
    assert "PCR 4 of sha256 is as expected" in out
    done = invoke(log.parent, "replay", log, "--expect", good, "--expect", f"9={'00' * 32}")
    assert done.code == 3
    assert "PCR 9 of sha256 is cb51125d" in done.err


def test_all_registers_of_a_file_or_of_a_tpms_directory_are_compared(log):
    out = succeed(log.parent, "replay", log, "--expect", log.with_suffix(".pcrs")).out
    assert out.count("is as expected") == 20
    for (bank, register), value in pcr_text.decode(log.with_suffix(".pcrs").read_text()).items():
        place = log.parent / "tpm0" / f"pcr-{bank}"
        place.mkdir(parents=True, exist_ok=True)
        (place / str(register)).write_text(value.hex().upper() + "\n")
    assert succeed(log.parent, "replay", log, "--expect", log.parent / "tpm0").out.count("is as expected") == 20


def test_a_register_11_that_was_read_later_is_told_with_its_phases(log):
    """enter-initrd is what systemd-pcrphase extends, in a value that no firmware log explains."""
    import hashlib

    value = pcr_text.decode(log.with_suffix(".pcrs").read_text())["sha256", 11]
    later = hashlib.sha256(value + hashlib.sha256(b"enter-initrd").digest()).hexdigest()
    assert "as expected after enter-initrd" in succeed(log.parent, "replay", log, "--expect", f"11={later}").out


def test_an_image_that_does_not_explain_a_log_ends_with_3_and_reasons(log, image):
    done = invoke(log.parent, "replay", log, "--image", image)
    assert done.code == 3
    assert r"BOOTX64.EFI was started, and it is not this image" in done.out
    assert "PCR 11: .linux has other content than in the image" in done.out
    view = json.loads(invoke(log.parent, "replay", log, "--image", image, "--json").out)
    assert view["version"] == 1
    assert {event["verdict"] for event in view["events"]} >= {"unexpected", "firmware", "information"}


def test_what_is_no_log_is_refused(tmp_path):
    assert "not an event log" in refused(tmp_path, "replay", Path(__file__), code=1)
    assert "No such file" in refused(tmp_path, "replay", "nowhere", code=1)


@pytest.mark.parametrize("text", ["11=12", "nothing", "40=" + "00" * 32])
def test_an_expectation_that_is_none_is_a_mistake_of_usage(log, text):
    assert "--expect" in refused(log.parent, "replay", log, "--expect", text)
