"""What every cloud refuses, fails to do or answers wrongly is told as its own, without secrets."""

import threading

import certifi
from kms_fakes import aws, azure, gcp
from kms_fakes.cases import DIGESTS, for_each
from kms_fakes.clouds import Cloud
from kms_fakes.internet import Internet, Response
from kms_fakes.keys import private_key

FORBIDDEN = f"Caller is not authorized to perform action on resource. {azure.TOKEN}"


def deny_at_google(cloud: Cloud, internet: Internet) -> None:  # noqa: ARG001 - others answer in the service's place
    cloud.fake.versions[gcp.version("rsa")].denied = True


class TestErrors:
    @for_each(
        "deny, role",
        {
            "aws": [(lambda _, internet: internet.fail(aws.HOST, aws.quoting("AccessDeniedException")), "")],
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
            "aws": [(aws.quoting("ValidationException"), "ValidationException")],
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
                lambda _, name=name: [aws.quoting(name)]
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
                    aws.quoting(name, 500)
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
