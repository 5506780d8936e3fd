import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats import pkcs11_uri
from fuki_build.formats.pkcs11_uri import ObjectType, Pkcs11Uri

# Characters that a path's value may have as they are (RFC 7512, 2.3: pk11-pchar).
PLAIN = string.ascii_letters + string.digits + "-._~:[]@!$'()*+,=&"


def known(*names: str) -> st.SearchStrategy[str]:
    return st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True).filter(lambda name: name.lower() not in names)


def vendor(names: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[tuple[str, bytes], ...]]:
    return st.lists(st.tuples(names, st.binary(max_size=20)), max_size=3).map(tuple)


TEXT = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
URIS = st.builds(
    Pkcs11Uri,
    **dict.fromkeys(("token", "manufacturer", "serial", "model", "object", "slot_description"), TEXT),
    **dict.fromkeys(("slot_manufacturer", "library_manufacturer", "library_description"), TEXT),
    **dict.fromkeys(("module_path", "module_name", "pin_source"), TEXT),
    library_version=st.none() | st.tuples(st.integers(0, 255), st.integers(0, 255)),
    slot_id=st.none() | st.integers(0, 2**64 - 1),
    type=st.none() | st.sampled_from(ObjectType),
    id=st.none() | st.binary(max_size=40),
    vendor=vendor(known(*pkcs11_uri.PATH, "pin-value")),
    vendor_query=vendor(known(*pkcs11_uri.QUERY, "pin-value")),
)


@given(URIS)
def test_what_is_encoded_is_decoded_to_the_same(uri: Pkcs11Uri):
    assert pkcs11_uri.decode(pkcs11_uri.encode(uri)) == uri


@given(st.text(PLAIN))
def test_no_character_that_the_grammar_allows_needs_encoding(value: str):
    assert pkcs11_uri.decode(f"pkcs11:token={value}").token == value
    assert pkcs11_uri.encode(Pkcs11Uri(token=value)) == f"pkcs11:token={value}"


@given(st.binary())
def test_an_id_is_any_bytes(data: bytes):
    assert pkcs11_uri.decode("pkcs11:id=" + "".join(f"%{byte:02x}" for byte in data)).id == data


@given(st.text())
def test_any_other_text_is_decoded_or_refused(text: str):
    for uri in (text, f"pkcs11:{text}", f"pkcs11:token={text}", f"pkcs11:?{text}"):
        try:
            attributes = pkcs11_uri.decode(uri)
        except FormatError:
            continue
        assert pkcs11_uri.decode(pkcs11_uri.encode(attributes)) == attributes


@given(st.text(st.characters(codec="ascii"), min_size=4), st.sampled_from(["?", "?module-name=a&", ";", ""]))
def test_a_pin_in_a_uri_is_refused_and_not_repeated(pin: str, before: str):
    secret = f"PIN{pin}"
    with pytest.raises(FormatError) as caught:
        pkcs11_uri.decode(f"pkcs11:{'object=db' if before else ''}{before}pin-value={secret}")
    assert secret not in str(caught.value)


# RFC 7512, section 3, without the two that hold a PIN.
EXAMPLES: dict[str, dict[str, Any]] = {
    "pkcs11:": {},
    "pkcs11:object=my-pubkey;type=public": {"object": "my-pubkey", "type": ObjectType.PUBLIC},
    "pkcs11:object=my-key;type=private?pin-source=file:/etc/token": {
        "object": "my-key",
        "type": ObjectType.PRIVATE,
        "pin_source": "file:/etc/token",
    },
    "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;"
    "object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin": {
        "token": "The Software PKCS#11 Softtoken",
        "manufacturer": "Snake Oil, Inc.",
        "model": "1.0",
        "object": "my-certificate",
        "type": ObjectType.CERTIFICATE,
        "id": bytes.fromhex("69953e5cf4bdec91"),
        "serial": "",
        "pin_source": "file:/etc/token_pin",
    },
    "pkcs11:object=my-sign-key;type=private?module-name=mypkcs11": {
        "object": "my-sign-key",
        "type": ObjectType.PRIVATE,
        "module_name": "mypkcs11",
    },
    "pkcs11:object=my-sign-key;type=private?module-path=/mnt/libmypkcs11.so.1": {
        "object": "my-sign-key",
        "type": ObjectType.PRIVATE,
        "module_path": "/mnt/libmypkcs11.so.1",
    },
    "pkcs11:slot-description=Sun%20Metaslot": {"slot_description": "Sun Metaslot"},
    "pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-description=Soft%20Token%20Library;library-version=1.23": {
        "library_manufacturer": "Snake Oil, Inc.",
        "library_description": "Soft Token Library",
        "library_version": (1, 23),
    },
    "pkcs11:token=My%20token%25%20created%20by%20Joe;library-version=3;id=%01%02%03%Ba%dd%Ca%fe%04%05%06": {
        "token": "My token% created by Joe",
        "library_version": (3, 0),
        "id": bytes.fromhex("010203baddcafe040506"),
    },
    "pkcs11:token=A%20name%20with%20a%20substring%20%25%3B;object=my-certificate;type=cert": {
        "token": "A name with a substring %;",
        "object": "my-certificate",
        "type": ObjectType.CERTIFICATE,
    },
    "pkcs11:token=Name%20with%20a%20small%20A%20with%20acute:%20%C3%A1;object=my-certificate;type=cert": {
        "token": "Name with a small A with acute: \u00e1",
        "object": "my-certificate",
        "type": ObjectType.CERTIFICATE,
    },
    "pkcs11:token=my-token;object=my-certificate;type=cert;vendor-aaa=value-a"
    "?pin-source=file:/etc/token_pin&vendor-bbb=value-b": {
        "token": "my-token",
        "object": "my-certificate",
        "type": ObjectType.CERTIFICATE,
        "vendor": (("vendor-aaa", b"value-a"),),
        "pin_source": "file:/etc/token_pin",
        "vendor_query": (("vendor-bbb", b"value-b"),),
    },
}


@pytest.mark.parametrize("uri", EXAMPLES)
def test_the_examples_of_the_rfc_are_read(uri: str):
    assert pkcs11_uri.decode(uri) == Pkcs11Uri(**EXAMPLES[uri])


def test_vendor_attributes_may_be_repeated():
    uri = pkcs11_uri.decode("pkcs11:a=1;a=2?b=1&b=%ff")
    assert uri.vendor == (("a", b"1"), ("a", b"2"))
    assert uri.vendor_query == (("b", b"1"), ("b", b"\xff"))


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        pytest.param("", "starts with 'pkcs11:'", id="nothing"),
        pytest.param("file:/keys/db.key", "starts with 'pkcs11:'", id="another scheme"),
        pytest.param("pkcs11:token", "attribute 1 of the PKCS #11 URI's path is not", id="no value"),
        pytest.param("pkcs11:token=a;", "attribute 2 of the PKCS #11 URI's path is not", id="an empty attribute"),
        pytest.param("pkcs11:?a=b&=c", "attribute 2 of the PKCS #11 URI's query is not", id="no name"),
        pytest.param("pkcs11:to ken=a", "is not of the form name=value", id="a space in a name"),
        pytest.param("pkcs11:token=a b", "must be percent-encoded", id="a space"),
        pytest.param("pkcs11:token=a/b", "must be percent-encoded", id="a slash in the path"),
        pytest.param("pkcs11:token=ä", "must be percent-encoded", id="no ASCII"),
        pytest.param("pkcs11:token=a#b", "must be percent-encoded", id="a fragment"),
        pytest.param("pkcs11:token=a\n", "must be percent-encoded", id="a line break"),
        pytest.param("pkcs11:token=%2", "must be percent-encoded", id="half an escape"),
        pytest.param("pkcs11:token=%zz", "must be percent-encoded", id="no hex in an escape"),
        pytest.param("pkcs11:token=%ff", "'token' in the PKCS #11 URI is not UTF-8 text", id="no UTF-8"),
        pytest.param("pkcs11:token=a;token=a", "has 'token' twice", id="the same twice"),
        pytest.param("pkcs11:?pin-source=a&pin-source=b", "has 'pin-source' twice", id="twice in the query"),
        pytest.param("pkcs11:type=key", "'type' in the PKCS #11 URI is not one of public, private", id="a type"),
        pytest.param("pkcs11:slot-id=-1", "'slot-id' in the PKCS #11 URI is not a number", id="a negative slot"),
        pytest.param("pkcs11:slot-id=0x1", "'slot-id' in the PKCS #11 URI is not a number", id="a slot in hex"),
        pytest.param(f"pkcs11:slot-id={2**64}", "is not a number", id="a slot beyond 64 bits"),
        pytest.param(f"pkcs11:slot-id={'1' * 10**6}", "is not a number", id="an endless slot"),
        pytest.param("pkcs11:library-version=1.256", "is not a version", id="a version beyond a byte"),
        pytest.param("pkcs11:library-version=1.", "is not a version", id="half a version"),
    ],
)
def test_what_the_grammar_does_not_allow_is_refused(uri: str, said: str):
    with pytest.raises(FormatError) as caught:
        pkcs11_uri.decode(uri)
    assert said in str(caught.value)
