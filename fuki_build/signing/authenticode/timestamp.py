"""Timestamps of signatures, from an authority that speaks RFC 3161 over HTTP."""

from fuki_build.errors import SigningError

_GRANTED = (0, 1)


def request(url: str, signature: bytes) -> bytes:
    """A TimeStampToken over a signature, in DER. Raises `SigningError` when the authority does not give the right one.

    Whether the authority's certificate is trusted is for those to judge who verify.
    """
    try:
        from rfc3161_client import (  # noqa: PLC0415 - an optional extra
            HashAlgorithm,
            TimestampRequestBuilder,
            decode_timestamp_response,
        )
    except ImportError:
        hint = "install it with: pip install 'fuki-build[timestamp]'"
        raise SigningError("timestamps need rfc3161-client", where="timestamp", hint=hint) from None

    asked = (
        TimestampRequestBuilder()
        .data(signature)
        .hash_algorithm(HashAlgorithm.SHA256)
        .cert_request(cert_request=True)
        .build()
    )

    try:
        answer = decode_timestamp_response(_post(url, asked.as_bytes()))
        granted = answer.status in _GRANTED
        about = answer.tst_info if granted else None
    except ValueError as error:
        raise SigningError(f"{url} did not answer with a timestamp", where="timestamp") from error

    if about is None:
        reason = ", ".join(answer.status_string) or f"status {answer.status}"
        raise SigningError(f"{url} refused to give a timestamp: {reason}", where="timestamp")

    # The nonce shows that the answer is to this request, and not an older one repeated.
    if about.message_imprint.message != asked.message_imprint.message or about.nonce != asked.nonce:
        raise SigningError(f"{url} gave a timestamp for something else", where="timestamp")
    return answer.time_stamp_token()


def _post(url: str, body: bytes) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise SigningError("a timestamp authority's address starts with http:// or https://", where="timestamp")
    from fuki_build import network  # noqa: PLC0415 - slow to load

    if not url.startswith(("http://", "https://")):
        raise SigningError("a timestamp authority's address starts with http:// or https://", where="timestamp")
    try:
        return network.post(url, body, {"Content-Type": "application/timestamp-query"})
    except OSError as error:
        raise SigningError(f"cannot get a timestamp from {url}: {error}", where="timestamp") from error
