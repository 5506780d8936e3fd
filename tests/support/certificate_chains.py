"""Chains of certificates: as they should be, and as OpenSSL refuses them; each with names of its own."""

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fuki_build.formats.asn1 import der
from fuki_build.testing.secure_boot import EXPIRED, NOT_YET_VALID, NOW_VALID, Identity, PrivateKey, make_key

CA = x509.BasicConstraints(ca=True, path_length=None)
NO_CA = x509.BasicConstraints(ca=False, path_length=None)
ROOT, MIDDLE, LEAF, STRANGER = range(1, 5)
"""Few keys serve all: what tells certificates apart is their names."""
_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


class Spec(NamedTuple):
    """What a certificate says; each extension goes with whether it is critical."""

    constraints: x509.BasicConstraints | None = None
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    valid: tuple[datetime, datetime] = NOW_VALID
    sha1: bool = False
    pss: bool = False


_AUTHORITY, _SIGNER = Spec(CA), Spec(NO_CA)


class Chain(NamedTuple):
    """Who signs, what the signature carries, and what is trusted and revoked, there also by hash."""

    signer: Identity
    carried: tuple[Identity, ...]
    db: tuple[Identity, ...] = ()
    dbx: tuple[Identity, ...] = ()
    dbx_hashes: tuple[Identity, ...] = ()


class _Family(NamedTuple):
    root: Identity
    middle: Identity
    leaf: Identity


@cache
def key_of(number: int) -> PrivateKey:
    return make_key("p256" if number > STRANGER else "rsa2048")


def data_of(identity: Identity) -> bytes:
    return identity.certificate.public_bytes(Encoding.DER)


def certify(subject: str, key: int, issuer: Identity | None = None, spec: Spec = _SIGNER) -> Identity:
    """A certificate with the extensions of `spec` and no others."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key_of(key).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(spec.valid[0])
        .not_valid_after(spec.valid[1])
    )

    if spec.constraints is not None:
        builder = builder.add_extension(spec.constraints, critical=True)

    for extension, critical in spec.extensions:
        builder = builder.add_extension(extension, critical=critical)

    signer = issuer.key if issuer else key_of(key)
    scheme = padding.PSS(padding.MGF1(SHA256()), 32) if spec.pss else None
    identity = Identity(key_of(key), builder.sign(signer, SHA256(), rsa_padding=scheme))
    return _again_with_sha1(identity, signer) if spec.sha1 else identity


def _again_with_sha1(identity: Identity, signer: PrivateKey) -> Identity:
    """cryptography does not sign certificates with SHA-1 any more."""
    sha256, sha1 = (bytes.fromhex(f"06092a864886f70d0101{number}") for number in ("0b", "05"))
    tbs = identity.certificate.tbs_certificate_bytes.replace(sha256, sha1)
    signature = signer.sign(tbs, padding.PKCS1v15(), SHA1())  # type: ignore[call-arg, arg-type]  # noqa: S303
    algorithm = der.wrap(der.SEQUENCE, sha1 + b"\x05\0")
    whole = der.wrap(der.SEQUENCE, tbs + algorithm + der.wrap(0x03, b"\0" + signature))
    return Identity(identity.key, x509.load_der_x509_certificate(whole))


def _family(name: str, root: Spec = _AUTHORITY, middle: Spec = _AUTHORITY, leaf: Spec = _SIGNER) -> _Family:
    top = certify(f"{name} R", ROOT, spec=root)
    between = certify(f"{name} I", MIDDLE, top, middle)
    return _Family(top, between, certify(f"{name} L", LEAF, between, leaf))


def chains() -> dict[str, Chain]:
    """All of them by name."""
    return dict([*_trusted(), *_revoked(), *_strange(), *_of_several_issuers()])


def _trusted() -> Iterator[tuple[str, Chain]]:
    own = certify("self", LEAF)
    yield "self-signed in db", Chain(own, (own,), db=(own,))
    family = _family("root")
    yield "root in db", Chain(family.leaf, (family.leaf, family.middle), db=(family.root,))
    family = _family("partial")
    yield "intermediate in db", Chain(family.leaf, (family.leaf,), db=(family.middle,))
    family = _family("leaf only")
    yield "leaf in db", Chain(family.leaf, (family.leaf,), db=(family.leaf,))
    family = _family("incomplete")
    yield "intermediate missing", Chain(family.leaf, (family.leaf,), db=(family.root,))
    family = _family("first")
    yield "issuer carried first", Chain(family.leaf, (family.middle, family.leaf), db=(family.root,))
    family = _family("nobody")

    yield "not in db", Chain(family.leaf, (family.leaf, family.middle, family.root))


def _revoked() -> Iterator[tuple[str, Chain]]:
    for role in ("leaf", "middle"):
        family = _family(f"{role} revoked")
        chain = Chain(family.leaf, (family.leaf, family.middle), db=(family.root,), dbx=(getattr(family, role),))
        yield f"{'intermediate' if role == 'middle' else role} in dbx", chain

    root = certify("root revoked R", ROOT, spec=_AUTHORITY)
    own = certify("root revoked L", LEAF, root)
    yield "root in dbx, not carried", Chain(own, (own,), db=(own,), dbx=(root,))
    family = _family("reissued")
    again = certify("reissued I", MIDDLE, family.root, _AUTHORITY)
    yield "intermediate in dbx reissued", Chain(family.leaf, family[:0:-1], db=(family.root,), dbx=(again,))
    family = _family("other key")
    namesake = certify("other key I", STRANGER, family.root, _AUTHORITY)
    yield "namesake of the intermediate in dbx", Chain(family.leaf, family[:0:-1], db=(family.root,), dbx=(namesake,))

    for index, role in enumerate(("root", "intermediate", "leaf")):
        family = _family(f"hash of {role}")
        chain = Chain(family.leaf, family[:0:-1], db=(family.root,), dbx_hashes=(family[index],))
        yield f"hash of the {role} in dbx", chain


def _usage(*names: str) -> tuple[x509.ExtensionType, bool]:
    return x509.KeyUsage(**{name: name in names for name in _USAGES}), True


def _strange() -> Iterator[tuple[str, Chain]]:
    """Root in db, intermediate carried: what OpenSSL asks of each."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\0")
    nobody = x509.NameConstraints(None, [x509.DirectoryName(x509.Name([]))])

    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    signs = _usage("digital_signature")
    families = {
        "path length exceeded": {"root": Spec(x509.BasicConstraints(ca=True, path_length=0))},
        "intermediate without BasicConstraints": {"middle": Spec()},
        "intermediate that is no authority": {"middle": _SIGNER},
        "root without BasicConstraints": {"root": Spec()},
        "unknown critical extension of the leaf": {"leaf": Spec(NO_CA, ((unknown, True),))},
        "unknown extension of the leaf": {"leaf": Spec(NO_CA, ((unknown, False),))},
        "unknown critical extension of the intermediate": {"middle": Spec(CA, ((unknown, True),))},
        "unknown critical extension of the root": {"root": Spec(CA, ((unknown, True),))},
        "issuer without keyCertSign": {"middle": Spec(CA, (signs,))},
        "root without keyCertSign": {"root": Spec(CA, (signs,))},
        "name constraints violated": {"middle": Spec(CA, ((nobody, True),))},
        "leaf for servers": {"leaf": Spec(NO_CA, ((server, True),))},
        "leaf without digitalSignature": {"leaf": Spec(NO_CA, (_usage("key_encipherment"),))},
        "leaf expired": {"leaf": Spec(NO_CA, valid=EXPIRED)},
        "leaf not yet valid": {"leaf": Spec(NO_CA, valid=NOT_YET_VALID)},
        "intermediate expired": {"middle": Spec(CA, valid=EXPIRED)},
        "intermediate signed with SHA-1": {"middle": Spec(CA, sha1=True)},
        "intermediate signed with RSASSA-PSS": {"middle": Spec(CA, pss=True)},
        "leaf without extensions": {"leaf": Spec()},
    }

    for name, specs in families.items():
        family = _family(name, **specs)
        yield name, Chain(family.leaf, family[:0:-1], db=(family.root,))


def _of_several_issuers() -> Iterator[tuple[str, Chain]]:
    for words in ("wrong issuer first", "right issuer first"):
        family = _family(words)
        wrong = certify(f"{words} I", STRANGER, family.root, _AUTHORITY)
        issuers = (wrong, family.middle) if words.startswith("wrong") else (family.middle, wrong)
        yield f"two issuers of one name, {words}", Chain(family.leaf, (family.leaf, *issuers), db=(family.root,))
    wrong, right = (certify("twin R", key, spec=_AUTHORITY) for key in (STRANGER, ROOT))
    own = certify("twin L", LEAF, right)
    yield "two roots of one name in db", Chain(own, (own,), db=(wrong, right))

    # The intermediate has certificates of two roots, both are carried, and the second root is trusted.
    first, second = (certify(f"cross R{key}", key, spec=_AUTHORITY) for key in (ROOT, STRANGER))
    both = [certify("cross I", MIDDLE, root, _AUTHORITY) for root in (first, second)]
    own = certify("cross L", LEAF, both[0])
    yield "cross-signed, one root in db", Chain(own, (own, *both), db=(second,))

    family = _family("rogue")
    below = certify("rogue X", STRANGER, family.leaf)
    yield "issued by a leaf", Chain(below, (below, *family[:0:-1]), db=(family.root,))
    curve = certify("curve R", STRANGER + 1, spec=_AUTHORITY)
    own = certify("curve L", LEAF, curve)
    yield "root with an elliptic curve key", Chain(own, (own,), db=(curve,))
