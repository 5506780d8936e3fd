"""Signers are found by their place in the recipe, or not at all: nothing is left unsigned without an error."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fuki_build.builtin.signers import LocalSigner
from fuki_build.hooks import FileSigner, KeySigner
from fuki_build.hooks.host import Contribution, PluginInfo
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.signing.pcr_policy.section import PolicyKey, PolicyRequest, PolicyReservation, deferred_sections
from fuki_build.signing.request import Signer, Signers, SignRequest
from tests.support.images import layout_of

BACKEND: Contribution[type[KeySigner] | type[FileSigner]] = Contribution(
    LocalSigner, PluginInfo("builtin.signers", "fuki-build", "1"), "signing backend"
)


def request_at(where: str) -> SignRequest:
    return SignRequest(backend=BACKEND, options=None, where=where)


def test_a_copy_of_a_request_has_the_same_signer():
    signer = Signer(request_at("fuki.sign[0]"), None)

    assert Signers([signer]).of(request_at("fuki.sign[0]")) is signer


def test_a_request_that_was_not_opened_is_an_error():
    signers = Signers([Signer(request_at("fuki.sign[0]"), None)])

    with pytest.raises(LookupError):
        signers.of(request_at("fuki.sign[1]"))


def test_two_signers_at_one_place_are_an_error():
    signer = Signer(request_at("fuki.sign"), None)

    with pytest.raises(ValueError, match=r"fuki\.sign"):
        Signers([signer, signer])


@pytest.fixture(scope="module")
def public_key() -> bytes:
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class TestPolicies:
    @pytest.fixture
    def reservation(self, public_key: bytes) -> PolicyReservation:
        request = PolicyRequest(signer=request_at("fuki.pcr-policy[0]"), phases=(("enter-initrd",),), banks=("sha256",))
        return PolicyReservation(None, 4096, (PolicyKey(request, public_key),))

    def test_a_key_that_is_not_open_leaves_no_unsigned_policy(self, reservation):
        layout = layout_of([(".linux", b"kernel", None), (".pcrsig", b" " * 4096, None)])

        (make,) = deferred_sections(layout, [reservation], Signers(), {}).values()

        with pytest.raises(LookupError):
            make(assemble(layout, digests=measured_in(("sha256",))))

    def test_a_section_that_the_image_lacks_is_an_error(self, reservation):
        with pytest.raises(ValueError, match="not enough values"):
            deferred_sections(layout_of([(".linux", b"kernel", None)]), [reservation], None, {})
