"""Evidence that anyone may have made: an error or a verdict, and never more than that."""

import attest_makers as makers
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fuki_build.errors import FormatError, FukiError
from hypothesis import given, settings
from hypothesis import strategies as st

from fuki_attest import evidence, show
from fuki_attest.formats import certificate_table, snp_report, td_quote, tpm_quote
from fuki_attest.pieces import Evidence
from fuki_attest.verify import run, trust
from fuki_attest.verify.steps import AppraisalPolicy, StepVerdict

POLICY = AppraisalPolicy(at=makers.NOW, nonce=b"challenge")


def samples(amd, intel):
    claims = makers.claims_of(rsa.generate_private_key(65537, 2048).public_key())
    yield amd.report()
    yield makers.pem(amd.vcek, amd.ask.certificate)
    yield intel.quote()
    yield makers.td_report()
    yield makers.hcl_report(amd.report(), claims)
    yield makers.tpm_quote({7: bytes(32)})
    yield from intel.collateral().values()


def test_damaged_evidence_ends_in_a_verdict_or_an_error(amd, intel):
    """Whatever bytes are changed, removed or put in: no other exception, and nothing that is trusted by it."""
    originals = list(samples(amd, intel))

    @settings(max_examples=400, deadline=None)
    @given(st.sampled_from(originals), st.integers(0, 8192), st.integers(0, 64), st.binary(max_size=32))
    def check(data, at, removed, added):
        at %= len(data)
        damaged = data[:at] + added + data[at + removed :]
        try:
            given_evidence = Evidence(tuple(evidence.recognise(damaged, "file")))
            show.document(given_evidence)
            steps = run.verify(given_evidence, POLICY)
        except FukiError:
            return
        # Without the roots of who made them, none of these can hold as a whole.
        assert any(step.verdict is not StepVerdict.HOLDS for step in steps)

    check()


@given(st.binary(max_size=2048))
def test_any_bytes_are_refused_or_recognised(data):
    try:
        items = evidence.recognise(data, "file")
    except FormatError:
        return
    assert items


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (certificate_table.decode, b"\1" * 24 * 100),
        (certificate_table.decode, b"\1" * 16 + b"\xff" * 8 + bytes(24)),
        (td_quote.decode, b"\4\0\2\0\x81\0\0\0" + bytes(40 + 584) + b"\xff\xff\xff\xff"),
        (tpm_quote.decode, b"\xffTCG\x80\x18\xff\xff"),
        (tpm_quote.decode, b"\xffTCG\x80\x18" + bytes(4 + 25) + b"\xff\xff\xff\xff"),
        (tpm_quote.decode_bincode, b"\xff" * 64),
        (snp_report.decode, b"\2" + bytes(10_000_000)),
    ],
)
def test_sizes_are_not_believed(decode, data):
    with pytest.raises(FormatError):
        decode(data)


def test_a_chain_without_an_end_is_cut():
    """Two authorities that vouch for each other."""
    first = makers.Authority("first", rsa.generate_private_key(65537, 2048))
    second = makers.Authority("second", rsa.generate_private_key(65537, 2048), first)
    back = makers.certificate("first", first.key, second)
    chain = trust.chain_of(back, [second.certificate, back, first.certificate])
    assert len(chain) <= 6


def test_the_roots_are_the_pinned_ones():
    """Each pinned root is in the package, signed by itself."""
    packaged = {trust.certificate.fingerprint(one): one for one in trust.packaged()}
    assert set(trust.PINNED) <= set(packaged)
    for fingerprint in trust.PINNED:
        packaged[fingerprint].verify_directly_issued_by(packaged[fingerprint])
