"""What a guest prints does a terminal no harm, and has bounds."""

import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from fuki_qemu import guest
from fuki_qemu.console import ConsoleRecord, TerminalFilter, plain
from fuki_qemu.guest import Ending, Screen

HARMFUL = {
    "title": b"\x1b]0;owned\x07",
    "clipboard": b"\x1b]52;c;cm0gLXJmIH4K\x1b\\",
    "device control": b'\x1bP$q"p\x1b\\',
    "program command": b"\x1b_Gf=100;AAAA\x1b\\",
    "privacy message": b"\x1b^text\x1b\\",
    "8-bit string": "\x9d0;owned\x9c".encode(),
    "who are you": b"\x1b[c",
    "where is the cursor": b"\x1b[6n",
    "window": b"\x1b[21t",
    "reset": b"\x1bc",
    "alternate screen": b"\x1b[?1049h",
    "mouse": b"\x1b[?1003h",
    "repeat": b"\x1b[999999999b",
    "character set": b"\x1b(0",
    "answerback": b"\x05",
    "shift out": b"\x0e",
    "endless parameters": b"\x1b[" + b"1;" * 500 + b"c",
}


@pytest.mark.parametrize("name", HARMFUL)
def test_what_speaks_to_the_terminal_itself_is_left_out(name: str):
    data = b"before " + HARMFUL[name] + b"after"
    whole = TerminalFilter().feed(data)
    assert whole.startswith("before ")
    assert whole.endswith("after")
    assert "\x1b" not in whole
    assert all(character.isprintable() for character in whole)
    pieces = TerminalFilter()
    assert "".join(pieces.feed(bytes([byte])) for byte in data) == whole


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J\x1b[01;01H\x1b[0m\x1b[35m\x1b[40mBdsDxe: starting\r\n",  # edk2's, as it comes
        "\x1b[?25l\x1b[K\x1b[3D\x1b[?25h",
        "\tä€😀\b \r\n",
    ],
)
def test_what_moves_the_cursor_and_colours_comes_through(text: str):
    assert TerminalFilter().feed(text.encode()) == text
    pieces = TerminalFilter()
    assert "".join(pieces.feed(bytes([byte])) for byte in text.encode()) == text


def test_a_string_without_an_end_takes_no_more_than_its_line():
    shown = TerminalFilter()
    assert shown.feed(b"a\x1b]0;" + b"x" * 100_000) == "a"
    assert shown.feed(b"yyy\nnext") == "\nnext"


def test_text_alone_is_kept_for_errors():
    data = b"\x1b[2Jone\r\n" + b"".join(HARMFUL.values()) + b"two\x9b\xff"
    assert plain(b"\x1b[2J\x1b[01;01Hone\r\n\x1b]0;x\x07two") == "one\ntwo"
    assert "\x1b" not in plain(data)


def test_of_an_endless_console_start_and_end_are_kept():
    kept = ConsoleRecord.of(1000)
    for number in range(10_000):
        kept.add(b"%06d\n" % number)
        assert len(kept.head) + len(kept.tail) <= 4000
    content = kept.content()
    head, line, tail = content.partition(b"\n[fuki: 68000 bytes are left out here]\n")
    assert line
    assert head.startswith(b"000000\n")
    assert tail.endswith(b"009999\n")
    assert (len(head), len(tail)) == (1000, 1000)


def test_a_short_console_is_kept_as_it_is():
    kept = ConsoleRecord.of(10)
    kept.add(b"0123456789")
    kept.add(b"abcdefghij")
    assert kept.content() == b"0123456789abcdefghij"


def outcome(tmp_path: Path, script: str, screen: Screen = Screen.NONE, tpm: socket.socket | None = None):
    return guest.run([sys.executable, "-c", script], tmp_path / "console", 60, tpm=tpm, screen=screen)


def test_a_guest_that_prints_without_end_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guest, "_MAX_CONSOLE", 100_000)
    script = "import os\nfor _ in range(400): os.write(1, b'x' * 9999 + b'\\n')\nos.write(1, b'last')"
    assert outcome(tmp_path, script).ending is Ending.ENDED
    assert (tmp_path / "console").stat().st_size < 201_000
    assert guest.read_console(tmp_path / "console").endswith("last")


def test_a_guest_that_makes_a_file_grow_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guest, "_LARGEST_FILE", 1_000_000)
    report = tmp_path / "report"
    script = f"f = open({str(report)!r}, 'wb', 0)\nwhile True: f.write(bytes(100_000))"
    with pytest.raises(guest.FukiError, match="QEMU failed: "):
        outcome(tmp_path, script)
    assert report.stat().st_size < 2_000_000


def test_standard_streams_may_be_closed(tmp_path: Path):
    script = f"""
        from pathlib import Path
        from fuki_qemu.guest import Screen, run
        run(["echo", "text"], Path({str(tmp_path)!r}, "console"), 60, tpm=None, screen=Screen.FILTERED)
    """
    command = f'exec "{sys.executable}" -c "$1" <&- >&-'
    subprocess.run(["sh", "-c", command, "sh", dedent(script)], check=True)
    assert (tmp_path / "console").read_bytes() == b"text\n"


@pytest.mark.parametrize(("screen", "shown"), [(Screen.FILTERED, b"ab"), (Screen.RAW, b"a\x1b]0;x\x07b")])
def test_the_terminal_gets_what_was_asked_for(screen: Screen, shown: bytes, tmp_path: Path, capfdbinary):
    outcome(tmp_path, "import os\nos.write(1, b'a\\x1b]0;x\\x07b')", screen)
    assert capfdbinary.readouterr().out == shown
    assert (tmp_path / "console").read_bytes() == b"a\x1b]0;x\x07b"


@pytest.mark.parametrize(
    "said",
    [
        b'BdsDxe: failed to load Boot0002 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x1,0x0): Access Denied\r\n',
        "Verification failed: (0x1A) Security Violation│".encode(),
    ],
)
def test_no_half_of_a_refusal_is_taken_for_it(said: bytes):
    """As OVMF 2022.11 and shim 15.8 print it; the console brings a few bytes at a time."""
    console = ConsoleRecord.of(4096)
    reasons = []
    for byte in said:
        console.add(bytes([byte]))
        reasons.append(guest.refusal_of(console, 0))
    (reason,) = {reason for reason in reasons if reason is not None}
    assert reason.endswith(("Access Denied", "Security Violation"))
