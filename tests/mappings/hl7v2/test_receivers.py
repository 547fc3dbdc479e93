"""Decision D34: receiver profiles."""

import pytest

from mappings.hl7v2 import RECEIVERS, receiver
from mappings.issues import SiteError
from mappings.profile import Receiver, parse_receiver, switches


def test_generic_sends_text_lines_only_with_the_uid_in_zds() -> None:
    assert receiver("generic") == Receiver("generic")


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_profile_is_named_as_its_file(name: str) -> None:
    assert receiver(name).name == name


def test_a_profile_that_does_not_exist_is_refused_by_name_of_those_that_do() -> None:
    with pytest.raises(SiteError, match="generic"):
        receiver("../generic")


def test_a_switch_that_is_left_out_is_as_in_generic() -> None:
    assert parse_receiver('name = "generic"') == receiver("generic")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('name = "x"\nuidd = "zds"', "receiver.uidd"),
        ('name = "x"\nuid = "obx"', "receiver.uid"),
        ('name = "x"\nvitals = true', "receiver.vitals"),
        ('uid = "zds"', "receiver.name"),
        ("name =", "receiver"),
    ],
)
def test_a_wrong_profile_is_refused_with_the_key_and_a_remedy(text: str, key: str) -> None:
    with pytest.raises(SiteError) as caught:
        parse_receiver(text)
    assert caught.value.key == key
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        (key, value)
        for key, one in switches().items()
        if "keys" not in one.metadata
        for value in one.metadata.get("values", ())
    ],
)
def test_every_value_of_every_switch_can_be_written(switch: str, value: str) -> None:
    assert getattr(parse_receiver(f'name = "x"\n{switch} = "{value}"'), switch) == value
