"""`fuki attest show` and `verify` on evidence of real machines, and on evidence that the tests made."""

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from fuki_build.errors import FukiError
from fuki_build.testing import invoke
from fuki_build.testing.documents import complaints
from hypothesis import given, settings
from hypothesis import strategies as st

from fuki_attest import evidence
from fuki_attest import options as parsing
from fuki_attest.verify import run, steps

VERBS = ("--plugin", "attest", "attest")


def shown(directory, *files):
    return json.loads(invoke(directory, *VERBS, "show", *files, "--json").out)


def verified(directory, *arguments, code=0):
    done = invoke(directory, *VERBS, "verify", *arguments, "--json")
    assert done.code == code, done
    return {f"{step['claim']} against {step['against']}": step for step in json.loads(done.out)["steps"]}


def failing(directory, *arguments):
    verdicts = verified(directory, *arguments, code=3)
    return {claim for claim, step in verdicts.items() if step["verdict"] == "does not hold"}


def test_fields_are_what_the_makers_say(tmp_path, case):
    pieces = shown(tmp_path, *case.files)["evidence"]
    told = {field["name"]: field["value"] for piece in reversed(pieces) for field in piece["fields"]}
    assert {name: told.get(name) for name in case.fields} == case.fields


def test_what_is_told_fits_its_schema(tmp_path, case):
    document = shown(tmp_path, *case.files)
    assert not complaints(document, "attest show", "attest")
    verdict = json.loads(invoke(tmp_path, *VERBS, "verify", *case.files, *case.options, "--json").out)
    assert not complaints(verdict, "attest verify", "attest")


def test_good_evidence_holds_in_any_order(tmp_path, case):
    for files in (case.files, tuple(reversed(case.files))):
        verdicts = verified(tmp_path, *files, *case.options)
        assert not [claim for claim, step in verdicts.items() if step["verdict"] == "does not hold"]
        assert any(step["verdict"] == "holds" and "signature" in claim for claim, step in verdicts.items())


def test_without_its_roots_nothing_holds(tmp_path, case, intel):
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots/other.pem").write_bytes(intel.authority.certificate.public_bytes(Encoding.PEM))
    options = [*case.options]
    if "--roots" in options:
        del options[options.index("--roots") : options.index("--roots") + 2]
    assert any("chain of" in claim for claim in failing(tmp_path, *case.files, *options, "--roots", tmp_path / "roots"))


def test_no_byte_that_is_signed_can_be_another(tmp_path_factory, case):
    """A property of every signed part: whichever byte is changed, it no longer holds, or is no evidence any more."""
    directory = tmp_path_factory.mktemp("changed")
    for original, start, end in case.signed:
        hold_unchangeable(case, original, start, end, directory / original.name)


def hold_unchangeable(case, original, start, end, changed):
    data = original.read_bytes()
    files = [changed if file == original else file for file in case.files]

    @settings(max_examples=60, deadline=None)
    @given(st.integers(start, (end or len(data)) - 1), st.integers(1, 255))
    def check(at, flip):
        changed.write_bytes(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
        assert not holds(files, case.options)

    check()


def holds(files, options):
    """Whether evidence holds; read and verified in this process."""
    asked = dict(zip(options[::2], options[1::2], strict=False)) if "--allow-debug" not in options else {}
    policy = steps.AppraisalPolicy(
        at=parsing.read_time(asked.get("--at")),
        roots=parsing.read_roots(Path(asked["--roots"])) if "--roots" in asked else (),
        nonce=parsing.read_nonce(asked.get("--nonce"), None),
        allow_debug="--allow-debug" in options,
    )
    try:
        return not steps.unanswered(run.verify(evidence.read(files), policy))
    except FukiError:
        return False


@pytest.mark.parametrize("at", ["2020-01-01", "2060-01-01"])
def test_at_another_time_certificates_are_not_valid(tmp_path, case, at):
    options = [option for option in case.options if option != "--at"]
    options = [option for option in options if not option.startswith("20")]
    assert any("validity" in claim for claim in failing(tmp_path, *case.files, *options, "--at", at))


def test_another_challenge_is_not_answered(tmp_path, case):
    options = [*case.options]
    for name in ("--nonce", "--nonce-file"):
        if name in options:
            del options[options.index(name) : options.index(name) + 2]
    verdicts = verified(tmp_path, *case.files, *options, "--nonce", "ff" * 8, code=3)
    unanswered = {claim for claim, step in verdicts.items() if step["verdict"] != "holds" and step["asked"]}
    assert unanswered == {"it answers the challenge against the nonce"}


@pytest.mark.parametrize("size", [256, 384, 512])
def test_a_bare_signature_is_one_whatever_it_begins_with(size: int):
    """An RSA signature is a number: all first bytes occur, also those that JSON, DER and others begin with."""
    rest = hashlib.shake_256(b"signature").digest(size - 1)
    for first in range(256):
        (item,) = evidence.recognise(bytes([first]) + rest, "signature")
        assert item.kind is evidence.EvidenceKind.TPM_SIGNATURE, first
