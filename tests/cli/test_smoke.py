def test_the_version_is_printed(fuki):
    assert fuki("--version").stdout.startswith("fuki, version ")


def test_a_recipe_builds_an_image(fuki, workshop):
    fuki("build")
    assert (workshop / "acme_41.3.efi").stat().st_size > 11_000_000
