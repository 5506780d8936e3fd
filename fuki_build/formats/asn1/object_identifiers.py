"""Object identifiers of signatures in EFI images, as dotted text: of PKCS #7 and #9, X.509, and Authenticode."""

SIGNED_DATA = "1.2.840.113549.1.7.2"
INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
PE_IMAGE_DATA = "1.3.6.1.4.1.311.2.1.15"
OPUS_INFO = "1.3.6.1.4.1.311.2.1.12"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
NESTED_SIGNATURE = "1.3.6.1.4.1.311.2.4.1"
TIMESTAMP_TOKEN = "1.3.6.1.4.1.311.3.3.1"  # noqa: S105 - an object identifier
RSA = "1.2.840.113549.1.1.1"
ECDSA = {
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}
DIGESTS = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
"""Object identifiers by hashlib's names."""
