"""Comparison of two descriptions of a person (D12); tests/identity measures its accuracy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.model import Snapshot
from mappings.patient.people import Person, are_two_people, differences, is_remarkable, likeness, person, speaks_against
from mappings.values.names import parse_name

BORN = "1985-07-20"


def named(name: str, order: str | None = None, born: str = BORN, sex: str = "") -> Person:
    return person(Snapshot(patient_name=name, date_of_birth=born, sex=sex), order)  # type: ignore[arg-type]


LIKENESS = [
    ("", "Jane Doe", "unsaid"),
    ("DOE^JANE", "Doe, Jane", "same"),
    ("DOE^JANE", "JANE^DOE", "same"),
    ("Doe", "Doe, Jane", "same"),
    ("Doe, J.", "Doe, Jane Marie", "same"),
    ("Doe, Jane M", "Doe, Jane Marie", "same"),
    ("Doe, Kath", "Doe, Katherine", "same"),
    ("Doe, Bob", "Doe, Robert", "same"),
    ("Doe, Liz", "Doe, Mary Elizabeth", "same"),
    ("O'Brien, Sean", "OBRIEN^SEAN", "same"),
    ("St. John, Eve", "SAINT JOHN^EVE", "same"),
    ("Mary Ann Hill", "HILL^MARYANN", "same"),
    ("Dr. Jane Doe", "DOE^JANE", "same"),
    ("Mr John Smith", "Mr Peter Miller", "other"),
    ("Smith Jr", "Mr Smith", "same"),
    ("GARCIA^MARIA^ANA", "GARCIA LOPEZ^MARIA", "same"),
    ("Doe, Micheal", "Doe, Michael", "same"),
    ("Doe, Mihcael", "Doe, Michael", "slip"),
    ("Smyth, John", "SMITH^JOHN", "slip"),
    ("Doe, Xochtil", "Doe, Xochitl", "slip"),
    ("Doe, Xxochitl", "Doe, Xochitl", "slip"),
    ("Doe, Xochixl", "Doe, Xochitl", "given"),
    ("Doe, Elizbethh", "Doe, Elizabeth", "slip"),
    ("Doe, Nichael", "Doe, Michael", "given"),
    ("Doe, Jaden", "Doe, Kaden", "given"),
    ("Doe, Mia", "Doe, Mila", "given"),
    ("Doe, Maria", "Doe, Mariana", "given"),
    ("Doe, Robertx", "Doe, Robexty", "given"),
    ("Doe, Ana", "Doe, Anb", "given"),
    ("Doe, Marcelx", "Doe, Marcelxa", "given"),
    ("Doe, John A", "Doe, Adam", "given"),
    ("Doe, Maria Jose", "Doe, Maria Fernanda", "given"),
    ("MILLER^ROBERT^^SR", "Robert Miller Jr.", "given"),
    ("DOE^JANE", "ROE^JANE", "family"),
    ("Doe, Jane", "Jane Roe", "family"),
    ("DOE^JANE^MARIE", "SMITH^JANE^DOE", "family"),
    ("Jane Q. Doe", "Roe, Jane", "family"),
    ("Jane Doe", "DOE^MARY", "given"),
    ("Jane Doe", "Jane Roe", "unclear"),
    ("Jane Marie Doe", "DOE^JANE^ANN", "unclear"),
    ("SMITH^JAMES", "JAMES^ROBERT", "unclear"),
    ("Jane Doe", "Robert Miller", "other"),
    ("J. Doe", "J. Roe", "other"),
    ("de la Cruz, Ana", "de la Fuente, Eva", "other"),
    ("SMITH^BABY BOY", "SMITH^LIAM", "newborn"),
    ("B/G SMITH", "Ava Smith", "newborn"),
    ("Infant of Jane Smith", "Jane Smith", "newborn"),
    ("SMITH^BABY BOY", "JONES^LIAM", "other"),
    ("SMITH^BABY BOY", "Babyboy Smith", "same"),
    ("TWIN A SMITH", "SMITH, TWIN B", "given"),
    ("SMITH, BB", "SMITH, BG", "given"),
    ("Infant of Jane Smith", "Infant of Mary Smith", "unclear"),
    ("BABY BOY", "BABY GIRL", "given"),
    ("DOE^TWIN I", "DOE^TWIN II", "given"),
    ("DOE^BABY GIRL I", "DOE^BABY GIRL II", "given"),
    ("DOE^BABY GIRL III", "BABY GIRL C DOE", "same"),
    ("DOE^TWIN IV", "DOE^TWIN 4", "same"),
    ("DOE^TWIN", "DOE^TWIN A", "given"),
    ("DOE^BABY GIRL", "DOE^BABY GIRL B", "given"),
    ("DOE^BABY GIRL", "DOE^BABY GIRL II", "given"),
    ("DOE^TWIN II", "DOE^ZOE", "newborn"),
    ("DOE^BABY BOY JR", "DOE^BABY BOY", "same"),
    ("DOE^BABY BOY JR", "DOE^BABY BOY SR", "given"),
    ("\u738b\u4f1f", "\u738b\u4f1f", "same"),
]


@pytest.mark.parametrize(("one", "other", "expected"), LIKENESS)
def test_how_two_names_stand_to_each_other_whichever_is_first(one: str, other: str, expected: str) -> None:
    assert likeness(named(one), named(other)) == likeness(named(other), named(one)) == expected


def test_what_is_too_long_for_a_name_is_compared_as_a_whole() -> None:
    one, other = (named(" ".join(f"x{number}" for number in range(start, 5_000))) for start in (0, 1))
    assert (likeness(one, one), likeness(one, other)) == ("same", "unclear")


def test_a_newborn_of_the_other_sex_is_another() -> None:
    child = named("SMITH^BABY GIRL")
    assert likeness(child, named("SMITH^LIAM", sex="male")) == "given"
    assert likeness(named("SMITH^LIAM", sex="male"), child) == "given"
    assert likeness(child, named("SMITH^AVA", sex="female")) == "newborn"


def test_the_order_of_names_at_the_facility_says_what_differs() -> None:
    assert likeness(named("Jane Doe", "given_family"), named("Jane Roe", "given_family")) == "family"
    assert likeness(named("Doe Jane", "family_given"), named("Doe Mary", "family_given")) == "given"


ACROSS = [
    (named("DOE^JANE"), named("DOE^JANE"), False),
    (named("DOE^JANE"), named("DOE^JANE", born="1986-07-20"), True),
    (named("DOE^JANE"), named("DOE^JANE", born="1985"), False),
    (named("DOE^JANE"), named("DOE^JANE", born="1986"), True),
    (named("DOE^JANE"), named("DOE^JANE", born="1900-01-01"), False),
    (named("DOE^JANE", born="1901-01-01"), named("DOE^JANE", born="1900-01-01"), False),
    (named("DOE^JANE", sex="female"), named("DOE^JANE", sex="male"), True),
    (named("DOE^JANE", sex="female"), named("DOE^JANE"), False),
    (named("DOE^JANE"), named("MILLER^ROBERT"), True),
    (named("DOE^JANE"), named(""), False),
    (named("DOE^JANE"), named("ROE^JANE"), False),
    (named("DOE^JANE"), named("ROE^JANE", born=""), True),
    (named("DOE^JANE", born="1985"), named("ROE^JANE", born="1985"), True),
    (named("DOE^JADEN"), named("DOE^KADEN"), True),
    (named("DOE^JADEN", born=""), named("DOE^KADEN"), True),
    (named("Jane Doe"), named("Jane Roe"), True),
    (named("SMITH^BABY BOY"), named("SMITH^LIAM"), False),
    (named("SMITH^BABY BOY"), named("SMITH^LIAM", born="1900-01-01"), True),
]


@pytest.mark.parametrize(("one", "other", "expected"), ACROSS)
def test_of_two_studies_with_one_number(one: Person, other: Person, expected: bool) -> None:
    assert are_two_people(one, other) is are_two_people(other, one) is expected


def test_who_counts_as_one_and_is_not_called_the_same_is_remarkable() -> None:
    for name in ("ROE^JANE", "DOE^JAEN"):
        assert is_remarkable(named("DOE^JANE"), named(name))
    assert not is_remarkable(named("DOE^JANE"), named("Jane Doe"))


def test_what_differs_is_named_by_field() -> None:
    one = named("DOE^JANE", sex="female")
    assert differences(one, one) == ()
    assert differences(one, named("DOE^MARY", born="1986-01-01", sex="male")) == ("given name", "birth date", "sex")
    assert differences(one, named("ROE^JANE")) == ("family name",)
    assert differences(one, named("Robert Miller")) == ("given name", "family name")
    assert differences(named("Jane Doe"), named("Jane Roe")) == ("name",)
    assert differences(one, named("", born="", sex="")) == ()


def test_without_a_number_names_count_only_where_a_birth_date_is_not_said() -> None:
    one = named("DOE^JANE", sex="female")
    assert not speaks_against(one, named("MILLER^ROBERT"))
    for unsaid in ("", "1900-01-01"):
        assert speaks_against(one, named("MILLER^ROBERT", born=unsaid))
    assert not speaks_against(one, named("ROE^JANE", born=""))
    assert speaks_against(one, named("DOE^JANE", born="1986-07-20"))
    assert speaks_against(one, named("DOE^JANE", sex="male"))


@pytest.mark.parametrize("unsaid", ["unknown", "U", "u", "UNK", None])
def test_a_sex_that_is_not_known_contradicts_none(unsaid: str | None) -> None:
    assert person(Snapshot(sex=unsaid)).sex == ""
    assert differences(person(Snapshot(sex=unsaid)), person(Snapshot(sex="female"))) == ()


def test_what_cannot_be_read_is_compared_as_it_came() -> None:
    one = person(Snapshot(date_of_birth="20.07.1985", sex="F "))
    assert one == Person("20.07.1985", "f")
    assert differences(one, person(Snapshot(date_of_birth="21.07.1985", sex="f"))) == ("birth date",)


words = st.lists(
    st.sampled_from(
        [
            "jane",
            "mary",
            "doe",
            "roe",
            "j",
            "baby",
            "boy",
            "a",
            "b",
            "jr",
            "de",
            "la",
            "mia",
            "mila",
            "bob",
            "robert",
            "o'neil",
        ]
    ),
    max_size=4,
)
names = st.one_of(
    st.builds(lambda found, mark: mark.join(found), words, st.sampled_from((" ", "^", ", "))), st.text(max_size=12)
)
people = st.builds(
    lambda name, born, sex: named(name, None, born, sex),
    names,
    st.sampled_from(("", BORN, "1985", "1900-01-01")),
    st.sampled_from(("", "male", "female")),
)


@given(people, people)
def test_it_is_one_answer_whichever_comes_first_and_nobody_is_another_than_himself(one: Person, other: Person) -> None:
    assert are_two_people(one, other) is are_two_people(other, one)
    assert sorted(differences(one, other)) == sorted(differences(other, one))
    assert differences(one, one) == ()
    assert parse_name(one.name, None) is None or likeness(one, one) in ("same", "unsaid", "other")
