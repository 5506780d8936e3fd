import json

from fuki_acme.seal import AcmeSeal

from fuki_build.hooks import LaunchParameters
from fuki_build.testing import invoke, recipe, succeed

FIRMWARE = '[[fuki.firmware]]\npath = "firmware.fd"\nid = "guest"\nplatforms = ["acme"]'

SEALS = {
    1: "07431feee9bc13efe006e5401d0a65694ee5f8c4ef1eec89ec973807df1aff84874b7ab2dcaff57ef8d151d8c0869b14",
    2: "f7acc452e07fd8c857dd6108e3d290dd97dcbb8d4d48c6d4427b7a419f283cb83f2c4f1836fa5c5942e34c9d994baed7",
}
"""Of 4097 bytes 'A', as a shell computes it: `sha384sum` of each page, and of each register with the next digest."""


def test_the_seal_is_what_others_compute():
    digests = AcmeSeal().predict(b"A" * 4097, LaunchParameters(vcpus=(1, 2))).digests
    assert {digest.vcpus: digest.digest for digest in digests} == SEALS


def test_an_image_seals_as_the_firmware_in_it_does(directory):
    (directory / "fuki.toml").write_text(recipe(FIRMWARE, plugins=["acme"], uname="6.12.0"))
    succeed(directory, "build", "-o", "image.efi")

    def seals(file):
        shown = succeed(directory, "--plugin", "acme", "launch", "--vcpus", "1,2", "--json", file).out
        return [(row["vcpus"], row["digest"]) for row in json.loads(shown)["launches"]]

    assert seals("image.efi") == seals("firmware.fd")


def test_a_difference_is_explained_by_its_step(directory):
    outcome = invoke(directory, "--plugin", "acme", "launch", "--diff", "--vcpus", "1,2", "firmware.fd")
    assert outcome.code == 3
    assert "vCPUs" in outcome.out
