"""What checks and outputs of plugins see of an image: sections with their texts, profiles, digests."""

import hashlib

import parts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.hooks import NO_DIGESTS, BuiltImage, CheckSubject, DigestNeeds, Section
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.testing import install_plugin
from tests.conftest import RECIPE
from tests.support.images import layout_of, write

CONTENTS = [
    (".osrel", b'ID=acme\nPRETTY_NAME="Acme 41"\n', None),
    (".cmdline", b" root=LABEL=root ro\n\0behind", None),
    (".linux", b"kernel", None),
    (".profile", b"ID=main\nTITLE=Main\n", 0),
    (".profile", b"ID=debug\n", 1),
    (".cmdline", b"debug", 1),
]


def section(content: bytes, name: str = ".cmdline", profile: int | None = None) -> Section:
    return Section(name=name, content=Blob.of_bytes(content), source="", profile=profile)


@pytest.fixture
def subject() -> CheckSubject:
    return CheckSubject(layout_of(CONTENTS))


def test_sections_are_given_by_name_in_the_file_s_order_with_their_profiles(subject):
    assert [(one.name, one.profile) for one in subject.sections(".cmdline", ".profile")] == [
        (".cmdline", None),
        (".profile", 0),
        (".profile", 1),
        (".cmdline", 1),
    ]


def test_without_a_name_all_are_given_the_stub_s_own_too(subject):
    names = [one.name for one in subject.sections()]
    assert ".text" in names
    assert names[-len(CONTENTS) :] == [name for name, _, _ in CONTENTS]


def test_a_text_is_what_the_stub_takes(subject):
    assert [one.text() for one in subject.sections(".cmdline")] == ["root=LABEL=root ro", "debug"]


def test_a_place_tells_a_profile_s_section_from_the_base_s(subject):
    assert [one.place for one in subject.sections(".cmdline")] == [".cmdline", "@1 .cmdline"]


def test_assignments_are_those_of_os_release(subject):
    (release,) = subject.sections(".osrel")
    assert release.assignments() == {"ID": "acme", "PRETTY_NAME": "Acme 41"}


def test_profiles_have_numbers_ids_and_titles(subject):
    assert [(one.number, one.id, one.title) for one in subject.profiles] == [(0, "main", "Main"), (1, "debug", None)]


def test_what_is_too_long_is_refused_with_its_place():
    with pytest.raises(FormatError, match=r"@3 \.cmdline has 65537 bytes, more than the 65536"):
        section(b"a" * 65537, profile=3).text()
    with pytest.raises(FormatError, match="more than the 4"):
        section(b"abcde").text(4)
    with pytest.raises(FormatError, match=r"\.osrel"):
        section(b"a" * 65537, ".osrel").assignments()


@given(st.binary(max_size=300))
def test_whatever_a_section_holds_its_text_is_one(content: bytes):
    text = section(content).text()
    assert "\0" not in text
    assert text.encode().decode() == text


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=100))
def test_a_text_that_is_one_stays_as_it_is_but_for_blanks_at_its_ends(text: str):
    blanks = "".join(map(chr, range(0x21)))
    assert section(f" {text}\n".encode()).text() == text.strip(blanks)


@pytest.fixture
def built() -> BuiltImage:
    layout = layout_of(CONTENTS)
    needs = DigestNeeds(sections=frozenset(("sha256", "sha384")), image=frozenset(("sha256",)))
    return BuiltImage(layout, assemble(layout, digests=needs), None)


def test_a_built_image_tells_digests_of_sections(built):
    first, second = built.sections(".cmdline")
    assert built.section_digest(first) == hashlib.sha256(CONTENTS[1][1]).hexdigest()
    assert built.section_digest(second, "sha384") == hashlib.sha384(b"debug").hexdigest()
    assert [profile.id for profile in built.profiles] == ["main", "debug"]


def test_a_built_image_tells_its_own_digest(built):
    assert built.image_digest() == built.assembly.authenticode


def test_what_nobody_asked_for_is_no_digest(built):
    with pytest.raises(LookupError, match="sections"):
        built.section_digest(built.sections(".linux")[0], "sha512")
    layout = layout_of(CONTENTS)
    with pytest.raises(LookupError, match="image"):
        BuiltImage(layout, assemble(layout, digests=NO_DIGESTS), None).image_digest()


CHECK = """
from fuki_build.hooks import Problem, Rule, Severity, hookimpl


def short(subject):
    for section in subject.sections(".osrel"):
        if "PRETTY_NAME" not in section.assignments():
            yield Problem("it has no PRETTY_NAME", where=section.place)


@hookimpl
def fuki_checks():
    rule = Rule(id="acme-name", severity=Severity.WARNING, summary="A name", explanation="For menus.", check=short)
    return [rule]
"""


def test_a_check_of_a_plugin_reads_an_image_without_private_rooms(fuki, workshop, tmp_path):
    path = install_plugin(tmp_path / "site", "acme", CHECK)
    text = RECIPE.replace('os-release = "os-release"', 'os-release = { text = "ID=x\\n" }')
    (workshop / "fuki.toml").write_text(text)
    fuki("build", "-o", "image.efi")
    assert (
        "warning: .osrel: it has no PRETTY_NAME [acme-name]"
        in fuki("--plugin", "acme", "check", "image.efi", PYTHONPATH=path).stderr
    )


def test_a_check_that_an_image_is_too_large_for_ends_in_one_clear_error(fuki, workshop, tmp_path):
    path = install_plugin(tmp_path / "site", "acme", CHECK)
    write(workshop / "long.efi", layout_of([(".linux", b"kernel", None), (".osrel", b"A=b\n" * 20000, None)]))
    done = fuki("--plugin", "acme", "check", "long.efi", code=1, PYTHONPATH=path)
    assert done.stderr.count("error:") == 1
    assert ".osrel has 80000 bytes" in done.stderr


def test_the_parts_of_the_test_kit_are_efi_programs_for_others_too(tmp_path):
    import pefile

    from fuki_build.testing.parts import write_parts

    write_parts(tmp_path)
    for name in ("stub", "vmlinuz"):
        real = pefile.PE(parts.get("stub-x64"), fast_load=True)
        image = pefile.PE(tmp_path / name)
        # It finds so many zeros odd, as in all programs that are small.
        assert [warning for warning in image.get_warnings() if not warning.startswith("Byte 0x00")] == []
        assert image.FILE_HEADER.Machine == real.FILE_HEADER.Machine
        assert image.OPTIONAL_HEADER.Subsystem == real.OPTIONAL_HEADER.Subsystem
        assert image.get_data(image.OPTIONAL_HEADER.AddressOfEntryPoint, 1) == b"\xf4"
