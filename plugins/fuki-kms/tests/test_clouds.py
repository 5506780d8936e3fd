"""What holds for keys of every cloud; what only one of them has is in a module of its own."""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence

import certifi
import pytest
from fuki_build.formats.asn1 import x509
from fuki_build.hooks import SigningContext
from kms_fakes import aws, azure, gcp
from kms_fakes.clouds import CLOUDS, Cloud
from kms_fakes.internet import Internet, Request, Response
from kms_fakes.keys import private_key, public_key

DIGESTS = {name: hashlib.new(name, b"an image").digest() for name in ("sha256", "sha384", "sha512")}


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest, context: SigningContext) -> Cloud:
    kind = CLOUDS[request.param]
    return kind(request.getfixturevalue(kind.fixture), context)


def for_each(names: str, cases: Mapping[str, Sequence[object]]) -> pytest.MarkDecorator:
    """Cases of each cloud, for the fixture `cloud` and arguments of these names; a case of several is a tuple."""
    rows = [
        pytest.param(cloud, *(case if isinstance(case, tuple) else (case,)))
        for cloud, rows in cases.items()
        for case in rows
    ]
    return pytest.mark.parametrize(f"cloud, {names}", rows, indirect=["cloud"])


def quoting(name: str, status: int = 400) -> Callable[[Request], Response]:
    """An error of AWS that quotes the request's authorization, as the real service's does for some."""
    return lambda request: aws.error(name, f"refused: Authorization={request.headers['authorization']}", status)


class TestSigning:
    @for_each(
        "name, kind, algorithm",
        {
            "aws": [
                ("rsa", "RSA", "sha256"),
                ("rsa", "RSA", "sha384"),
                ("rsa", "RSA", "sha512"),
                ("p256", "P-256", "sha256"),
                ("p384", "P-384", "sha384"),
            ],
            "azure": [
                ("rsa", "RSA", "sha256"),
                ("rsa", "RSA", "sha384"),
                ("rsa-hsm", "RSA", "sha512"),
                ("p256", "P-256", "sha256"),
                ("p384", "P-384", "sha384"),
            ],
            "gcp": [
                ("rsa", "RSA", "sha256"),
                ("rsa-sha512", "RSA", "sha512"),
                ("p256", "P-256", "sha256"),
                ("p384", "P-384", "sha384"),
            ],
        },
    )
    def test_a_digest_is_signed_by_the_key_whose_public_key_is_told(self, cloud, name, kind, algorithm):
        key = cloud.open(name)
        signature = key.sign(DIGESTS[algorithm], algorithm)
        assert key.public_key == public_key(private_key(kind))
        assert x509.verifies(key.public_key, signature, DIGESTS[algorithm], algorithm)

    def test_a_job_signs_with_its_own_token(self, cloud, internet, monkeypatch, tmp_path):
        cloud.give_a_job_s_token(internet, monkeypatch, tmp_path)
        assert cloud.open("rsa").sign(DIGESTS["sha256"], "sha256")

    def test_the_certificates_are_those_of_the_recipe(self, cloud, internet, tmp_path):
        certificate = internet.authority.certificate.read_bytes()
        (tmp_path / "db.crt").write_bytes(certificate)
        assert cloud.open("rsa", certificate="db.crt").certificates == x509.decode_certificates(certificate)

    def test_only_the_digest_leaves_the_machine(self, cloud, internet):
        cloud.open("rsa").sign(DIGESTS["sha256"], "sha256")
        *_, sign = internet.asked(cloud.host)
        assert set(sign.json) == cloud.signing_fields

    @for_each("host, path_end", {"azure": [(azure.LOGIN, "/token")], "gcp": [(gcp.TOKENS, "")]})
    def test_keys_share_one_login(self, cloud, internet, host, path_end):
        cloud.open("rsa").sign(DIGESTS["sha256"], "sha256")
        cloud.open("p256").sign(DIGESTS["sha256"], "sha256")
        assert len([request for request in internet.asked(host) if request.path.endswith(path_end)]) == 1


class TestKeys:
    @for_each(
        "name, algorithm, hint",
        {
            "aws": [("p256", "sha384", ""), ("p384", "sha256", "")],
            "azure": [("p256", "sha384", ""), ("p384", "sha256", "")],
            "gcp": [
                ("rsa", "sha384", "it signs sha256"),
                ("rsa-sha512", "sha256", "it signs sha512"),
                ("p256", "sha512", "it signs sha256"),
                ("p384", "sha256", "it signs sha384"),
            ],
        },
    )
    def test_a_digest_that_the_key_does_not_sign_is_not_sent(self, cloud, internet, refused, name, algorithm, hint):
        key = cloud.open(name)
        internet.requests.clear()
        error = refused(key.sign, DIGESTS[algorithm], algorithm)
        assert error.message == f"the key {cloud.named(name)} does not sign {algorithm} digests"
        assert not hint or error.hint == hint
        assert not internet.requests

    @for_each(
        "name",
        {
            "aws": ["rsa-encrypt", "symmetric", "p521", "p256k1"],
            "azure": ["wrapper", "p521"],
            "gcp": ["rsa-pss", "rsa-decrypt", "p256k1", "symmetric"],
        },
    )
    def test_a_key_that_is_for_something_else_is_refused(self, cloud, refused, name):
        error = refused(cloud.open, name)
        assert error.message == f"the key {cloud.named(name)} is not one to sign images with"
        assert error.where == "key"

    @for_each(
        "name",
        {
            "aws": ["alias/nope", aws.arn("key/1234abcd-12ab-34cd-56ef-000000000099"), "nope"],
            "azure": [azure.identifier("nope", ""), azure.identifier("rsa", "00000000000000000000000000000000")],
            "gcp": [gcp.version("nope")],
        },
    )
    def test_an_absent_key_is_told(self, cloud, refused, name):
        error = refused(cloud.open_named, name)
        assert error.message == f"{cloud.service} has no key {name}"
        assert error.where == "key"

    @for_each(
        "disabled",
        {
            "azure": [lambda vault: setattr(vault.keys["rsa"], "enabled", False)],
            "gcp": [
                lambda kms, state=state: setattr(kms.versions[gcp.version("rsa")], "state", state)
                for state in ("DISABLED", "DESTROY_SCHEDULED", "PENDING_GENERATION")
            ],
        },
    )
    def test_a_key_that_is_not_enabled_is_told(self, cloud, refused, disabled):
        disabled(cloud.fake)
        error = refused(cloud.open, "rsa")
        assert error.message == f"the key {cloud.named('rsa')} is not enabled in {cloud.service}"


FORBIDDEN = f"Caller is not authorized to perform action on resource. {azure.TOKEN}"


def deny_at_google(cloud: Cloud, internet: Internet) -> None:  # noqa: ARG001 - others answer in the service's place
    cloud.fake.versions[gcp.version("rsa")].denied = True


class TestErrors:
    @for_each(
        "deny, role",
        {
            "aws": [(lambda _, internet: internet.fail(aws.HOST, quoting("AccessDeniedException")), "")],
            "azure": [
                (
                    lambda _, internet, inner=inner: internet.fail(
                        azure.VAULT, azure.error(403, "Forbidden", FORBIDDEN, inner)
                    ),
                    "Key Vault Crypto User",
                )
                for inner in ("AccessDenied", "ForbiddenByFirewall", "ForbiddenByPolicy", "ForbiddenByRbac")
            ],
            "gcp": [(deny_at_google, "roles/cloudkms.signerVerifier")],
        },
    )
    def test_a_denied_permission_is_told_with_the_role_that_has_it(self, cloud, internet, refused, deny, role):
        cloud.log_in(internet)
        deny(cloud, internet)
        error = refused(cloud.open, "rsa")
        assert error.message == f"{cloud.service} denies the use of the key {cloud.named('rsa')}"
        assert role in error.hint

    @for_each(
        "fault, code",
        {
            "aws": [(quoting("ValidationException"), "ValidationException")],
            "azure": [(azure.error(400, "BadParameter", f"Bearer {azure.TOKEN}"), "BadParameter")],
            "gcp": [
                (gcp.error(status, f"Bearer {gcp.TOKEN}"), status)
                for status in ("FAILED_PRECONDITION", "INVALID_ARGUMENT")
            ],
        },
    )
    def test_an_error_without_a_name_in_fuki_is_told_by_its_code(self, cloud, internet, refused, fault, code):
        cloud.log_in(internet)
        internet.fail(cloud.host, fault)
        assert refused(cloud.open, "rsa").message == f"{cloud.service} refuses the request: {code}"

    @for_each(
        "faults",
        {
            "aws": [
                lambda _, name=name: [quoting(name)]
                for name in ("ExpiredTokenException", "IncompleteSignatureException", "InvalidSignatureException")
            ],
            "azure": [lambda vault: [lambda _: vault.challenge(f"AKV10032: {azure.TOKEN}")] * 3],
            "gcp": [lambda _: [gcp.error("UNAUTHENTICATED", f"Bearer {gcp.TOKEN} is not valid")] * 5],
        },
    )
    def test_credentials_that_the_service_does_not_accept_are_told(self, cloud, internet, refused, faults):
        internet.fail(cloud.host, *faults(cloud.fake))
        assert refused(cloud.open, "rsa").message == f"the credentials for {cloud.service} are not accepted"

    def test_without_credentials_the_ways_to_give_them_are_told(self, cloud, monkeypatch, refused):
        cloud.take_credentials(monkeypatch)
        error = refused(cloud.open, "rsa")
        assert error.message == f"there are no usable credentials for {cloud.service}"
        assert cloud.credentials_hint in error.hint


class TestServicesInTrouble:
    @for_each(
        "fault",
        {
            "aws": [aws.error("ThrottlingException", "Rate exceeded")],
            "azure": [azure.error(429, "Throttled", "Too many requests were made.", Retry_After="3600")],
            "gcp": [gcp.error("RESOURCE_EXHAUSTED", f"Bearer {gcp.TOKEN}")],
        },
    )
    def test_a_busy_service_is_asked_three_times(self, cloud, internet, refused, fault):
        cloud.log_in(internet)
        internet.fail(cloud.host, *[fault] * 3)
        assert refused(cloud.open, "rsa").message == f"{cloud.service} gets too many requests"
        assert len(internet.asked(cloud.host)) == 3

    @for_each(
        "fault",
        {
            "aws": [
                *(
                    quoting(name, 500)
                    for name in ("DependencyTimeoutException", "KeyUnavailableException", "KMSInternalException")
                ),
                Response(502, b"<html>Bad gateway</html>"),  # of a proxy
            ],
            "azure": [azure.error(500, "InternalServerError", "oops")],
            "gcp": [gcp.error(status, f"Bearer {gcp.TOKEN}") for status in ("UNAVAILABLE", "INTERNAL")],
        },
    )
    def test_a_failure_of_the_service_is_told_after_three_times(self, cloud, internet, refused, fault):
        cloud.log_in(internet)
        internet.fail(cloud.host, *[fault] * 3)
        assert refused(cloud.open, "rsa").message == f"{cloud.service} has a failure of its own"
        assert len(internet.asked(cloud.host)) == 3

    @for_each(
        "faults",
        {
            "aws": [[aws.error("KMSInternalException", "oops", 500), aws.error("ThrottlingException", "Rate")]],
            "azure": [[azure.error(503, "ServiceUnavailable", "later", Retry_After="1")]],
            "gcp": [[gcp.error("UNAVAILABLE", "later"), gcp.error("RESOURCE_EXHAUSTED", "later")]],
        },
    )
    def test_a_service_that_recovers_signs(self, cloud, internet, faults):
        key = cloud.open("rsa")
        internet.fail(cloud.host, *faults)
        assert key.sign(DIGESTS["sha256"], "sha256")

    def test_a_service_that_cannot_be_reached_is_told(self, cloud, internet, refused):
        del internet.hosts[cloud.host]
        assert refused(cloud.open, "rsa").message == f"{cloud.service} cannot be reached"

    def test_a_service_that_does_not_answer_in_time_is_told(self, cloud, internet, monkeypatch, refused):
        ended = threading.Event()
        request = cloud.first_request()
        monkeypatch.setattr(cloud.read_timeout, 0.2)
        internet.fail(cloud.host, *[lambda _: ended.wait(30) and Response(500)] * 3)
        try:
            error = refused(request)
        finally:
            ended.set()
        assert error.message == f"{cloud.service} does not answer in time"

    def test_an_authority_that_nobody_trusts_is_told(self, cloud, monkeypatch, refused):
        monkeypatch.setenv(cloud.authorities, certifi.where())
        error = refused(cloud.open, "rsa")
        assert error.message == f"the certificate of {cloud.service} is not trusted"
        assert cloud.authorities in error.hint


HOTEL = Response(200, b"<html>Log in to the hotel</html>")


def signed_as(value: str) -> Response:
    return Response.of_json(200, {"kid": azure.identifier("p256"), "value": value})


class TestDamage:
    @for_each(
        "answer",
        {
            "aws": [HOTEL, Response.of_json(200, {}), Response.of_json(200, [])],
            "azure": [
                HOTEL,
                Response.of_json(200, {}),
                Response.of_json(200, {"key": {"kty": "RSA", "key_ops": ["sign"]}}),
                Response.of_json(200, {"key": {"kid": azure.identifier("rsa"), "kty": "RSA", "key_ops": ["sign"]}}),
            ],
            "gcp": [HOTEL, Response(302, b"", {"Location": "https://evil/"})],
        },
    )
    def test_an_answer_that_is_none_of_the_service_s_is_told(self, cloud, internet, refused, answer):
        cloud.log_in(internet)
        internet.fail(cloud.host, answer)
        assert refused(cloud.open, "rsa").message == f"{cloud.service} gave an answer that cannot be right"

    @for_each(
        "answer",
        {
            "aws": [
                Response.of_json(200, fields)
                for fields in ({}, {"Signature": "!"}, {"Signature": ""}, {"Signature": "AAAA"})
            ],
            "azure": [signed_as(value) for value in ("", "AAAA", "AAAAA", "!")],
        },
    )
    def test_what_is_no_signature_is_refused(self, cloud, internet, refused, answer):
        key = cloud.open("p256")
        internet.fail(cloud.host, answer)
        error = refused(key.sign, DIGESTS["sha256"], "sha256")
        assert error.message == f"{cloud.service} gave an answer that cannot be right"

    @for_each(
        "name, exchange",
        {
            "aws": [("rsa", lambda kms: setattr(kms["alias/rsa"], "private", kms["alias/p256"].private))],
            "azure": [("p256", lambda vault: setattr(vault.keys["p256"], "private", private_key("P-384")))],
        },
    )
    def test_a_signature_that_the_key_did_not_make_is_refused(self, cloud, refused, name, exchange):
        key = cloud.open(name)
        exchange(cloud.fake)
        error = refused(key.sign, DIGESTS["sha256"], "sha256")
        assert error.message == f"{cloud.service} gave an answer that cannot be right"


class TestEndpoints:
    @for_each(
        "option, url",
        {
            "aws": [("endpoint_url", "https://kms.example.com")],
            "gcp": [("endpoint", "https://cloudkms.europe-west3.rep.googleapis.com/")],
        },
    )
    def test_another_is_spoken_to_if_one_is_given(self, cloud, internet, option, url):
        internet.hosts[url.split("/")[2]] = internet.hosts.pop(cloud.host)
        assert cloud.open("rsa", **{option: url}).public_key
        assert not internet.asked(cloud.host)

    @for_each(
        "option, url",
        {
            "aws": [
                ("endpoint_url", url)
                for url in (
                    "http://kms.example.com",
                    "https://user:word@kms.example.com",
                    "kms.example.com",
                    "https://a/b?c",
                )
            ],
            "gcp": [
                ("endpoint", url)
                for url in ("http://example.com", "https://user:word@example.com", "cloudkms.googleapis.com")
            ],
        },
    )
    def test_one_that_would_give_credentials_away_is_refused(self, cloud, internet, refused, option, url):
        error = refused(lambda: cloud.open("rsa", **{option: url}), code=2)
        assert error.where == option.replace("_", "-")
        assert "word" not in str(error)
        assert not internet.requests
