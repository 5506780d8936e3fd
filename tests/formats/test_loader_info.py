from collections.abc import Callable
from pathlib import Path

import pytest

from fuki_build.formats.pe import pe
from fuki_build.formats.uki import loader_info

Part = Callable[[str], Path]


@pytest.mark.parametrize(
    ("name", "program", "major"),
    [
        ("stub-x64", "systemd-stub", 262),
        ("stub-aa64", "systemd-stub", 262),
        ("stub-257-x64", "systemd-stub", 257),
    ],
)
def test_a_real_stub_says_its_program_and_version(part: Part, name: str, program: str, major: int):
    data = part(name).read_bytes()
    (section,) = (s for s in pe.decode(data[: pe.HEAD_SIZE], len(data)).sections if s.name == ".sdmagic")
    info = loader_info.decode(data[section.raw_offset : section.raw_offset + section.raw_size])
    assert info is not None
    assert (info.program, info.numbers[0]) == (program, major)
    assert f"#### LoaderInfo: {info.program} {info.version} ####".encode() in data


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("262.1-1", (262, 1)),
        ("257.13-1~deb13u1", (257, 13)),
        ("262~rc1-1", (262, 0)),
        ("261", (261, 0)),
        ("v262", (0, 0)),
        ("9999999999.1", (999999, 0)),
    ],
)
def test_the_numbers_of_a_version(version: str, numbers: tuple[int, int]):
    assert loader_info.LoaderInfo("systemd-stub", version).numbers == numbers


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#### LoaderInfo: refind 0.14 ####",
        b"#### LoaderInfo: systemd-stub ####",
        b"#### LoaderInfo: systemd-stub 262.1-1",
        b"#### LoaderInfo: systemd-stub " + b"9" * 65 + b" ####",
        bytes(2000) + b"#### LoaderInfo: systemd-stub 262.1 ####",
    ],
)
def test_other_texts_are_not_systemds(data: bytes):
    assert loader_info.decode(data) is None
