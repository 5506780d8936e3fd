"""fuki verify says of every variant what OVMF says; sbverify and osslsigncode agree, or it is known why not."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import parts
import pytest
from signing_programs import install_programs

from fuki_build.signing.authenticode.signature import SignatureVerdict
from tests.support import signature_verdicts
from tests.support.signature_variants import variants
from tests.support.signature_verdicts import DIFFERENCES, Verdicts, disagreeing, page

PAGE = parts.CHECKOUT / "docs" / "signature-verdicts.md"
WRITE = "FUKI_WRITE_VERDICTS"
"""Set in the environment to write the page; `make verdict-table` does."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Verdicts]:
    """What all say of all; one guest answers for OVMF."""
    directory = tmp_path_factory.mktemp("verdicts")
    programs = directory / "programs"
    programs.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(install_programs(programs)), prepend=os.pathsep)
        return signature_verdicts.verdicts(directory, variants(directory))


def test_there_are_some_hundred_variants_of_which_firmware_starts_half(found):
    assert len({one.variant.name for one in found}) == len(found) > 150
    assert len(found) / 3 < sum(one.ovmf for one in found) < len(found) * 2 / 3


def test_nothing_is_valid_that_firmware_refuses(found):
    assert [one.variant.name for one in found if one.fuki == SignatureVerdict.VALID and not one.ovmf] == []


def test_every_difference_from_firmware_has_a_reason(found):
    unknown = [(one.variant.name, program) for one in found for program, why in disagreeing(one).items() if not why]
    assert unknown == []


def test_every_reason_is_needed(found):
    used = {(program, why) for one in found for program, why in disagreeing(one).items()}
    assert {(difference.program, difference.reason) for difference in DIFFERENCES} == used


def test_the_page_tells_what_was_seen(found):
    if os.environ.get(WRITE):
        PAGE.write_text(page(found))
    assert _table(PAGE) == re.findall(r"^\|.*", page(found), re.MULTILINE)


def _table(path: Path) -> list[str]:
    return re.findall(r"^\|.*", path.read_text(), re.MULTILINE)
