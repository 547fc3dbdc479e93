"""A name is split only where something proves where the split is: a wrong split in PID-5 is another patient (D14)."""

import pytest

from mappings.names import PersonName, is_generation, parse_name

ORDERS = (None, "given_family", "family_given", "marked_only")


def parts(text, order=None):
    name = parse_name(text, order)
    assert name.text == text.strip()
    return name.family, " ".join(name.given), " ".join(name.prefix), " ".join(name.suffix), name.doubt


def assert_not_split(text, order=None):
    assert parse_name(text, order) == PersonName(text.strip(), doubt="name-not-split")


@pytest.mark.parametrize("text", [None, "", "  ", "\t\n", "\u3000"])
def test_a_blank_name_is_no_name(text):
    assert parse_name(text, "given_family") is None


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("text", "family", "given", "prefix", "suffix"),
    [
        ("DOE^JANE", "DOE", "JANE", "", ""),
        ("DOE^JANE^M", "DOE", "JANE M", "", ""),
        ("DOE^JANE^M^JR^DR", "DOE", "JANE M", "DR", "JR"),
        ("DOE^JANE^M^DR^JR", "DOE", "JANE M", "DR", "JR"),
        ("DOE^JANE^^^MD, PhD", "DOE", "JANE", "", "MD PhD"),
        ("DOE^JANE^^Prof. Dr.^III", "DOE", "JANE", "Prof. Dr.", "III"),
        ("DOE^JANE^M^JR^DR^MD", "DOE", "JANE M", "DR", "JR MD"),
        ("DOE^", "DOE", "", "", ""),
        ("^JANE", "", "JANE", "", ""),
        ("DO^HON^MD", "DO", "HON MD", "", ""),
        ("van der Berg^Mary Jane", "van der Berg", "Mary Jane", "", ""),
        ("Nguyễn^Văn An", "Nguyễn", "Văn An", "", ""),
        ("Yamada^Tarou=山田^太郎", "Yamada", "Tarou", "", ""),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada", "Tarou", "", ""),
        ("O'NEIL|X&Y^SEÁN", "O'NEIL|X&Y", "SEÁN", "", ""),
        ("DOE^BABY BOY 2", "DOE", "BABY BOY 2", "", ""),
        (" DOE ^ JANE ", "DOE", "JANE", "", ""),
    ],
)
def test_carets_prove_the_parts_and_titles_are_told_apart_by_value(text, family, given, prefix, suffix, order):
    assert parts(text, order) == (family, given, prefix, suffix, "")


@pytest.mark.parametrize("text", ["DOE^JANE^M^ESQUIRE", "DOE^JANE^M^^^^L", "DOE^JANE^^Dr. med."])
def test_a_title_that_is_not_known_is_reported_and_kept_in_the_whole(text):
    family, given, _, _, doubt = parts(text)
    assert (family, given.split()[0], doubt) == ("DOE", "JANE", "name-part-unclear")


@pytest.mark.parametrize(
    "text",
    [
        "^",
        "^^^^",
        "^^^DR^JR",
        "=山田^太郎",
        "Yamada Tarou=山田^太郎",
        "DOE^JANE~DOE^JANIE",
        "DOE^JANE, MD",
        "DOE, JANE^M",
        "123^456",
    ],
)
def test_carets_that_prove_nothing_split_nothing(text):
    assert_not_split(text)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("text", "family", "given", "prefix", "suffix"),
    [
        ("Doe, Jane", "Doe", "Jane", "", ""),
        ("DOE,JANE M", "DOE", "JANE M", "", ""),
        ("García López, Juan Carlos", "García López", "Juan Carlos", "", ""),
        ("Müller, Hans-Peter, Prof. Dr.", "Müller", "Hans-Peter", "Prof. Dr.", ""),
        ("VAN DER BERG, MARY", "VAN DER BERG", "MARY", "", ""),
        ("van der Berg, Mary", "van der Berg", "Mary", "", ""),
        ("O'Neil, Seán", "O'Neil", "Seán", "", ""),
        ("Smith Jr., John", "Smith", "John", "", "Jr."),
        ("SMITH, JOHN Q III", "SMITH", "JOHN Q", "", "III"),
        ("Doe, Jane, MD, PhD", "Doe", "Jane", "", "MD PhD"),
        ("Doe, Jane,", "Doe", "Jane", "", ""),
        ("Dr. Chen, Michael", "Chen", "Michael", "Dr.", ""),
        ("Chen, Dr. Michael", "Chen", "Michael", "Dr.", ""),
        ("RAHMAN, MD ABDUR", "RAHMAN", "MD ABDUR", "", ""),
        ("DOE, BABY BOY 2", "DOE", "BABY BOY 2", "", ""),
        ("Nguyễn, Văn An", "Nguyễn", "Văn An", "", ""),
        ("山田, 太郎", "山田", "太郎", "", ""),
    ],
)
def test_a_comma_proves_the_family_name_before_it(text, family, given, prefix, suffix, order):
    assert parts(text, order) == (family, given, prefix, suffix, "")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "text",
    [
        "Jane Doe, MD",
        "Jane Doe, Jr.",
        "RAHMAN, MD",
        "Nguyen, Do",
        "Doe, Jr., John",
        "Smith, John, A",
        "a, b, c, d, e, f",
        ",,,,,",
        ",",
        "Doe,",
        ",Jane",
        "Dr., Jane",
        "Jr., Jane",
        "Jane Doe, 12345",
        "12345, Jane",
        "Smith, John; Doe, Jane",
    ],
)
def test_a_comma_before_a_title_a_number_or_too_much_splits_nothing(text, order):
    assert_not_split(text, order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("text", "family", "prefix", "suffix"),
    [
        ("Madonna", "Madonna", "", ""),
        ("O'Neil", "O'Neil", "", ""),
        ("Do", "Do", "", ""),
        ("Md", "Md", "", ""),
        ("Dr. Chen", "Chen", "Dr.", ""),
        ("Smith Jr.", "Smith", "", "Jr."),
        ("  Jane  ", "Jane", "", ""),
    ],
)
def test_one_token_alone_is_the_family_name(text, family, prefix, suffix, order):
    assert parts(text, order) == (family, "", prefix, suffix, "")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "text",
    [
        "山田太郎",
        "김철수",
        "やまだたろう",
        "12345",
        "---",
        "Dr.",
        "Jr.",
        "Dr. MD",
        "Jane Doe 12345",
        "Jane - Doe",
        "Jane & John",
        "\ud800",
    ],
)
def test_a_token_that_may_be_a_whole_name_or_none_is_not_split(text, order):
    assert_not_split(text, order)


@pytest.mark.parametrize(
    "text",
    [
        "Jane Doe",
        "SMITH JOHN",
        "Nguyễn Văn An",
        "Van Nguyen Thi",
        "nguyen van an",
        "Nguyen Van De",
        "Tran Van Den",
        "Md Rahman",
        "Jane Do",
        "山田 太郎",
        "Dr. Michael Chen",
        "María García de la Torre",
        "García de la Torre María",
        "María del Carmen García",
        "de la Cruz Maria",
        "Fatima Ali bint Hassan",
    ],
)
@pytest.mark.parametrize("order", [None, "marked_only"])
def test_plain_tokens_prove_no_order(text, order):
    assert_not_split(text, order)


@pytest.mark.parametrize("order", [None, "given_family", "marked_only"])
@pytest.mark.parametrize(
    ("text", "given", "family", "prefix", "suffix"),
    [
        ("Mary van der Berg", "Mary", "van der Berg", "", ""),
        ("Mary Jane van der Berg Jr.", "Mary Jane", "van der Berg", "", "Jr."),
        ("MARY VAN DER BERG", "MARY", "VAN DER BERG", "", ""),
        ("MARY JANE VAN DER BERG", "MARY JANE", "VAN DER BERG", "", ""),
        ("Maria de la Cruz", "Maria", "de la Cruz", "", ""),
        ("João da Silva", "João", "da Silva", "", ""),
        ("Ahmed bin Hassan", "Ahmed", "bin Hassan", "", ""),
        ("Dr. Ludwig von Berg MD", "Ludwig", "von Berg", "Dr.", "MD"),
        ("van Gogh", "", "van Gogh", "", ""),
    ],
)
def test_a_particle_proves_where_the_family_name_begins(text, given, family, prefix, suffix, order):
    assert parts(text, order) == (family, given, prefix, suffix, "")


@pytest.mark.parametrize(
    ("text", "order", "given", "family"),
    [
        ("Jane Doe", "given_family", "Jane", "Doe"),
        ("Jane M. Doe", "given_family", "Jane M.", "Doe"),
        ("Md Rahman", "given_family", "Md", "Rahman"),
        ("Van Nguyen Thi", "given_family", "Van Nguyen", "Thi"),
        ("Ana Maria da Silva", "given_family", "Ana Maria", "da Silva"),
        ("SMITH JOHN", "family_given", "JOHN", "SMITH"),
        ("Nguyễn Văn An", "family_given", "Văn An", "Nguyễn"),
        ("NGUYEN VAN AN", "family_given", "VAN AN", "NGUYEN"),
        ("van der Berg Mary Jane", "family_given", "Mary Jane", "van der Berg"),
        ("VAN DER BERG MARY", "family_given", "MARY", "VAN DER BERG"),
        ("山田 太郎", "family_given", "太郎", "山田"),
    ],
)
def test_the_order_that_a_site_states_proves_the_split(text, order, given, family):
    assert parts(text, order) == (family, given, "", "", "")


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("María del Carmen García", "given_family"),
        ("JAN VAN DIJK", "given_family"),
        ("nguyen van an", "given_family"),
        ("van Jan Berg", "given_family"),
        ("García de la Torre María", "family_given"),
        ("José Ortega y Gasset", "given_family"),
        ("John and Mary Smith", "given_family"),
        ("RAHMAN MD", "given_family"),
        ("RAHMAN ABDUR MD", "family_given"),
    ],
)
def test_a_stated_order_does_not_help_where_a_token_may_belong_to_either_part(text, order):
    assert_not_split(text, order)


def test_titles_around_plain_names_are_taken_off():
    assert parts("Dr. Michael Chen MD PhD", "given_family") == ("Chen", "Michael", "Dr.", "MD PhD", "")
    assert parts("Prof. Dr. Hans Müller", "given_family") == ("Müller", "Hans", "Prof. Dr.", "", "")
    assert parts("Mr John Smith III", "given_family") == ("Smith", "John", "Mr", "III", "")


@pytest.mark.parametrize("suffix", ["Jr.", "SR", "iii", "V"])
def test_a_generation_belongs_to_the_name(suffix):
    assert is_generation(suffix)


@pytest.mark.parametrize("suffix", ["MD", "Ph.D.", "", "VIII"])
def test_a_degree_is_no_generation(suffix):
    assert not is_generation(suffix)


@pytest.mark.parametrize(
    "text", ["Ann Jones NP", "Ann Jones PA-C", "Ann Jones DO", "Jane Doe V", "Jane Doe 2nd", "Jane Do"]
)
def test_an_ending_that_may_be_a_title_or_a_generation_splits_nothing(text):
    assert parse_name(text, "given_family") == PersonName(text, doubt="name-not-split")
