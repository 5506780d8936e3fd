import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import load_der_public_key
from fuki_build.hooks import SigningContext, SigningKey

from fuki_pkcs11 import Pkcs11Signer

HASHES = {"sha256": SHA256(), "sha384": SHA384(), "sha512": SHA512()}
USER, CONTEXT_SPECIFIC = "C_Login 0x1", "C_Login 0x2"
OpenKey = Callable[..., SigningKey]


def digest(algorithm: str = "sha256") -> bytes:
    return hashlib.new(algorithm, b"an image").digest()


def verify(public_key: bytes, signature: bytes, algorithm: str) -> None:
    """Raises `InvalidSignature`."""
    key = load_der_public_key(public_key)
    prehashed = Prehashed(HASHES[algorithm])
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, digest(algorithm), padding.PKCS1v15(), prehashed)
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, digest(algorithm), ec.ECDSA(prehashed))


@pytest.mark.parametrize("algorithm", HASHES)
@pytest.mark.parametrize("name", ["rsa2048", "rsa3072", "rsa4096", "p256", "p384"])
def test_a_key_signs_digests_of_every_size(hsm, open_key: OpenKey, name: str, algorithm: str):
    signature = open_key(f"object={name}").sign(digest(algorithm), algorithm)
    verify(hsm.public_key(name), signature, algorithm)


@pytest.mark.parametrize("name", ["rsa2048", "p256"])
def test_openssl_verifies_the_signature(hsm, open_key: OpenKey, tmp_path: Path, name: str):
    (tmp_path / "key.der").write_bytes(hsm.public_key(name))
    (tmp_path / "digest").write_bytes(digest())
    (tmp_path / "signature").write_bytes(open_key(f"object={name}").sign(digest(), "sha256"))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.der", "-keyform", "DER"]
    command += ["-in", "digest", "-sigfile", "signature", "-pkeyopt", "digest:sha256"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Signature Verified Successfully", done.stderr


def test_two_signatures_of_an_rsa_key_are_the_same(open_key: OpenKey):
    key = open_key()
    assert key.sign(digest(), "sha256") == key.sign(digest(), "sha256")


@pytest.mark.parametrize("name", ["rsa2048", "p384"])
def test_the_public_key_is_the_one_that_other_tools_read(hsm, open_key: OpenKey, name: str):
    assert open_key(f"object={name}").public_key == hsm.public_key(name)


@pytest.mark.parametrize("key", ["id=%04", "object=p256;id=%04;type=private", "id=%04;model=SoftHSM%20v2"])
def test_a_key_is_found_by_what_the_uri_says(hsm, open_key: OpenKey, key: str):
    assert open_key(key).public_key == hsm.public_key("p256")


def test_all_attributes_of_tokens_slots_and_modules_can_be_asked_for(hsm, open_key: OpenKey):
    listing = hsm.run("pkcs11-tool", "--module", hsm.module, "--list-slots").decode()
    serial = listing.split("serial num         :")[1].split()[0]
    slot = int(serial[-8:], 16) & 0x7FFFFFFF  # as SoftHSM makes slot ids
    uri = f"pkcs11:serial={serial};slot-id={slot};manufacturer=SoftHSM%20project;slot-manufacturer=SoftHSM%20project"
    uri += ";library-manufacturer=SoftHSM;library-description=Implementation%20of%20PKCS11;library-version=2.6"
    assert open_key(f"{uri};object=p256").public_key == hsm.public_key("p256")


def test_tokens_whose_labels_differ_are_told_apart(own_hsm, open_key: OpenKey):
    own_hsm.add_token("another")
    assert open_key("object=p256").public_key == own_hsm.public_key("p256")


@pytest.mark.parametrize("source", ["/{}", "file:{}", "file://{}", "file://localhost{}", "FILE:{}"])
def test_the_pin_may_come_from_the_uris_pin_source(open_key: OpenKey, hsm, tmp_path: Path, source: str):
    (tmp_path / "the pin").write_text(f"{hsm.pin}\n")
    path = str(tmp_path / "the%20pin")
    # What stands in a file URI is encoded on its own.
    named = source.format(path.removeprefix("/") if source == "/{}" else path.replace("%", "%25"))
    key = open_key(f"object=p256?pin-source={named}", pin=None)
    verify(key.public_key, key.sign(digest(), "sha256"), "sha256")


def test_the_pin_option_goes_before_the_uris_pin_source(open_key: OpenKey):
    assert open_key("object=p256?pin-source=/nowhere").public_key


def test_a_module_is_found_by_name(open_key: OpenKey, hsm):
    assert open_key("object=p256?module-name=softhsm2", module_path=None).public_key == hsm.public_key("p256")


def test_a_module_is_found_by_name_in_a_directory(open_key: OpenKey, hsm):
    directory = str(Path(hsm.module).parent)
    key = open_key(f"object=p256?module-name=libsofthsm2&module-path={directory}", module_path=None)
    assert key.public_key == hsm.public_key("p256")


def test_a_token_is_found_through_the_proxy_of_p11_kit(open_key: OpenKey, hsm):
    proxy = next(str(path) for path in Path("/usr/lib").glob("*/p11-kit-proxy.so"))
    key = open_key("object=p256", module_path=proxy)
    verify(hsm.public_key("p256"), key.sign(digest(), "sha256"), "sha256")


def test_the_module_path_may_be_relative_to_the_recipe(open_key: OpenKey, hsm, tmp_path: Path):
    (tmp_path / "module.so").symlink_to(hsm.module)
    assert open_key("object=p256", module_path="module.so").public_key == hsm.public_key("p256")


def test_the_certificate_is_found_on_the_token(hsm, open_key: OpenKey):
    expected = (hsm.directory / "certified.der").read_bytes()
    assert open_key("object=certified").certificates == [expected]


def test_intermediates_come_after_the_tokens_certificate(hsm, issuer, open_key: OpenKey, tmp_path: Path):
    (tmp_path / "issuer.der").write_bytes(issuer.certificate)
    certificates = open_key("object=certified", intermediates=("issuer.der",)).certificates
    assert certificates == [(hsm.directory / "certified.der").read_bytes(), issuer.certificate]


def test_a_certificate_of_the_same_label_is_found_for_a_key_without_id(
    own_hsm, issuer, open_key: OpenKey, tmp_path: Path
):
    (tmp_path / "p256.der").write_bytes(issuer.issue(load_der_public_key(own_hsm.public_key("p256")), "P-256"))
    own_hsm.store_certificate(tmp_path / "p256.der", "p256", "77")
    assert open_key("object=p256").certificates == [(tmp_path / "p256.der").read_bytes()]


def test_certificates_of_other_keys_under_the_keys_label_are_passed_over(
    own_hsm, issuer, open_key: OpenKey, tmp_path: Path
):
    (tmp_path / "other.der").write_bytes(issuer.certificate)
    own_hsm.store_certificate(tmp_path / "other.der", "p256", "77")
    assert open_key("object=p256").certificates == []


def test_a_certificate_file_goes_before_the_tokens(hsm, issuer, open_key: OpenKey, tmp_path: Path):
    other = issuer.issue(load_der_public_key(hsm.public_key("certified")), "Renewed")
    (tmp_path / "renewed.der").write_bytes(other)
    assert open_key("object=certified", certificate="renewed.der").certificates == [other]


def test_certificates_in_files_are_told_without_the_token(hsm, issuer, context: SigningContext):
    (context.directory / "c.der").write_bytes(issuer.certificate)
    options = hsm.options(certificate="c.der", module_path="/nowhere.so")
    assert Pkcs11Signer().certificates(options, context) == [issuer.certificate]
    assert len(Pkcs11Signer().certificates(hsm.options("object=certified"), context)) == 1


def test_a_key_without_certificate_can_sign_policies(open_key: OpenKey):
    key = open_key()
    assert key.certificates == []
    verify(key.public_key, key.sign(digest(), "sha256"), "sha256")


def test_a_public_key_that_the_token_does_not_tell_comes_from_the_certificate(
    hsm, shim, issuer, open_key: OpenKey, tmp_path: Path
):
    shim.behave("silent")
    (tmp_path / "p256.der").write_bytes(issuer.issue(load_der_public_key(hsm.public_key("p256")), "P-256"))
    key = open_key("object=p256", module_path=shim.module, certificate="p256.der")
    assert key.public_key == hsm.public_key("p256")
    verify(hsm.public_key("p256"), key.sign(digest(), "sha256"), "sha256")


def test_a_point_without_its_octet_string_is_understood(hsm, shim, open_key: OpenKey):
    shim.behave("bare")
    assert open_key("object=p384", module_path=shim.module).public_key == hsm.public_key("p384")


def test_one_login_serves_all_keys_of_a_command(hsm, shim, tmp_path: Path):
    with SigningContext(tmp_path, tmp_path) as context:
        for name in ("rsa2048", "p256", "certified", "rsa2048"):
            key = Pkcs11Signer().open(hsm.options(f"object={name}", module_path=shim.module), context)
            verify(key.public_key, key.sign(digest(), "sha256"), "sha256")
        assert shim.count("C_Login") == shim.count(USER) == 1
        assert shim.count("C_OpenSession") == 1
        assert shim.count("C_Logout") == 0
    assert [call.split()[0] for call in shim.calls[-3:]] == ["C_Logout", "C_CloseSession", "C_Finalize"]


def test_commands_after_each_other_log_in_each(hsm, shim, tmp_path: Path):
    for _ in range(2):
        with SigningContext(tmp_path, tmp_path) as context:
            Pkcs11Signer().open(hsm.options(module_path=shim.module), context)
    assert shim.count(USER) == shim.count("C_Finalize") == 2


def test_a_key_that_wants_the_pin_each_time_gets_it(hsm, shim, open_key: OpenKey):
    key = open_key("object=always", module_path=shim.module)
    for _ in range(2):
        verify(hsm.public_key("always"), key.sign(digest(), "sha256"), "sha256")
    assert shim.count(USER) == 1
    assert shim.count(CONTEXT_SPECIFIC) == 2


def test_a_keypad_takes_the_pin_without_fuki(hsm, shim, open_key: OpenKey, capsys: pytest.CaptureFixture[str]):
    shim.behave("keypad")
    key = open_key(module_path=shim.module, pin=None)
    assert capsys.readouterr().err == "token 'fuki test' waits for its PIN to be entered on the device\n"
    verify(hsm.public_key("rsa2048"), key.sign(digest(), "sha256"), "sha256")
    assert shim.count(USER) == 1


def test_a_pin_whose_source_is_named_goes_before_the_keypad(shim, open_key: OpenKey, monkeypatch: pytest.MonkeyPatch):
    shim.behave("keypad")
    monkeypatch.setenv("SHIM_TYPED", "nobody types")
    assert open_key("object=always", module_path=shim.module).sign(digest(), "sha256")


def test_a_token_without_login_asks_for_no_pin(hsm, shim, open_key: OpenKey):
    shim.behave("open")
    key = open_key(module_path=shim.module, pin="env:NOT_THERE")
    verify(hsm.public_key("rsa2048"), key.sign(digest(), "sha256"), "sha256")
    assert shim.count("C_Login") == 0


# CKA_PRIVATE_EXPONENT to CKA_COEFFICIENT, and CKA_VALUE, which is an elliptic curve's private key or a certificate.
PRIVATE_PARTS = {f"C_GetAttributeValue {attribute:#x}" for attribute in (*range(0x123, 0x129), 0x11)}


@pytest.mark.parametrize("name", ["rsa2048", "rsa3072", "rsa4096", "p256", "p384"])
def test_the_key_never_leaves_the_token(hsm, shim, open_key: OpenKey, name: str):
    open_key(f"object={name}", module_path=shim.module).sign(digest(), "sha256")
    assert shim.count("C_GetAttributeValue")
    assert not PRIVATE_PARTS & set(shim.calls)
    assert shim.count("C_WrapKey") == 0
    shown = hsm.tool("--list-objects", "--type", "privkey").decode().split("Private Key Object")
    (about,) = (text for text in shown if f"label:      {name}\n" in text)
    assert "sensitive, always sensitive, never extractable, local" in about


def test_what_goes_to_the_token_is_no_more_than_a_digest(shim, open_key: OpenKey):
    open_key("object=p256", module_path=shim.module).sign(digest("sha512"), "sha512")
    open_key(module_path=shim.module).sign(digest("sha512"), "sha512")
    # ECDSA takes as many bytes as its order has; RSA's are with the 19 before them.
    assert [call for call in shim.calls if call.startswith("C_Sign ")] == ["C_Sign 0x20", "C_Sign 0x53"]
