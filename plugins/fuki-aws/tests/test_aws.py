"""The platform `aws`. Expected ids were collected with EC2's SMBIOS strings, and not computed by fuki."""

import pytest
from fuki_build import FukiError
from fuki_build.testing import assert_platform, listed_ids

import fuki_aws

ANY = "c7352a90-6932-5bb7-b916-d272f6e71955"
BASEBOARD = "12ad5008-312e-5fd0-b525-b8889480c115"


def products(selector: str | None = None) -> set[str]:
    return {machine.product for machine in fuki_aws.Ec2().machines(selector)}


def refusal(selector: str) -> FukiError:
    with pytest.raises(FukiError) as caught:
        fuki_aws.Ec2().machines(selector)
    return caught.value


def test_every_instance_type_has_the_ids_that_all_of_ec2_shares():
    ids = {11: ANY, 7: ANY, 10: BASEBOARD, 6: BASEBOARD}
    assert_platform(fuki_aws.Ec2(), {"*": ids}, selectors=["m6a.large", "m6a.*", "*.metal", "sev-snp"])


def test_all_of_ec2_is_listed_under_one_id():
    assert listed_ids("aws", plugins=["aws"]) == {ANY: "Amazon EC2"}


def test_a_family_is_listed_by_instance_type_and_not_under_the_id_of_all_of_ec2():
    listed = listed_ids("aws:m6a.*", plugins=["aws"])
    assert ANY not in listed
    assert {"Amazon EC2 m6a.large", "Amazon EC2 m6a.48xlarge"} <= set(listed.values())
    assert len(listed) == len(products("m6a.*"))


def test_a_pattern_selects_the_instance_types_that_fit_it():
    assert products("r6a.?xlarge") == {"r6a.2xlarge", "r6a.4xlarge", "r6a.8xlarge"}


def test_an_instance_type_by_its_name_is_one_machine():
    assert products("t3.micro") == {"t3.micro"}


def test_an_instance_type_by_its_name_is_found_without_a_look_at_all_others(monkeypatch: pytest.MonkeyPatch):
    compared: list[str] = []

    def counted(name: str, pattern: str) -> bool:
        compared.append(name)
        return name == pattern

    monkeypatch.setattr(fuki_aws, "fnmatchcase", counted)
    platform = fuki_aws.Ec2()
    assert [machine.product for machine in platform.machines("t3.micro")] == ["t3.micro"]
    assert compared == []


def test_sev_snp_selects_the_families_of_which_aws_documents_it_but_no_bare_metal():
    names = products("sev-snp")
    assert {name.partition(".")[0] for name in names} == {"c6a", "m6a", "r6a"}
    assert not any("metal" in name for name in names)


def test_families_on_xen_are_no_nitro_guests():
    assert not products() & {"t2.micro", "m4.large", "c4.large", "i3.large", "p3.2xlarge", "x1.32xlarge"}


def test_later_members_of_old_families_are():
    assert {"i3.metal", "i3en.large", "p3dn.24xlarge", "g4dn.xlarge", "x2idn.16xlarge", "t3.nano"} <= products()


def test_macs_have_strings_of_apple_and_are_left_out():
    assert not any(product.startswith("mac") for product in products())


def test_a_misspelt_instance_type_is_told_the_nearest():
    assert "did you mean 'm6a.large'?" in str(refusal("m6a.larg"))


def test_a_family_without_a_pattern_is_told_the_pattern():
    assert "aws:m6a.*" in str(refusal("m6a"))


def test_an_instance_type_that_is_newer_than_the_table_is_told_its_date():
    assert "2026-11-17" in str(refusal("z99.large"))


def test_sites_of_a_family_have_its_processor_and_the_vcpus_of_each_size():
    sites = {site.name: site for site in fuki_aws.Ec2().launch_sites("m6a.*")}
    assert {site.cpu_model for site in sites.values()} == {"EPYC-Milan"}
    # Amazon EC2, "Instance type specifications", M6a.
    counts = {"large": 2, "xlarge": 4, "2xlarge": 8, "24xlarge": 96, "48xlarge": 192}
    assert {size: sites[f"m6a.{size}"].vcpus for size in counts} == counts
    assert "m6a.metal" not in sites


def test_only_families_of_which_aws_documents_sev_snp_launch_it():
    confidential = {site.name.partition(".")[0] for site in fuki_aws.Ec2().launch_sites() if site.technologies}
    assert confidential == {"c6a", "m6a", "r6a"}
    (site,) = fuki_aws.Ec2().launch_sites("m7a.large")
    assert (site.technologies, site.cpu_model, site.vmm) == ((), "EPYC-Genoa", "ec2")


def test_machines_of_other_processors_have_no_sites():
    assert fuki_aws.Ec2().launch_sites("m6g.*") == []
