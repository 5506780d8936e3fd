"""What holds for keys of every cloud; what only one of them has is in a module of its own."""

from fuki_build.formats.asn1 import x509
from kms_fakes import aws, azure, gcp
from kms_fakes.cases import DIGESTS, for_each
from kms_fakes.keys import private_key, public_key


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
