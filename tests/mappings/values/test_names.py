"""Names are split only if the text proves where: a wrong split in PID-5 is another patient (D14)."""

import pytest

from mappings.values.names import PersonName, is_generation, parse_name

ORDERS = (None, "given_family", "given_two_families", "family_given", "marked_only")


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
        ("Nguyen Van De", "given_family"),
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


def split(text, order):
    """Given and family names, and the severity of `name-split-assumed`."""
    name = parse_name(text, order)
    assert (name.text, name.doubt) == (text.strip(), "")
    return " ".join(name.given), name.family, name.assumed


@pytest.mark.parametrize("order", [*ORDERS])
@pytest.mark.parametrize(
    "text", ["Mc Donald", "O' Neil", "O’ Neil", "o` neil", "St. John", "St John", "van Gogh", "MC DONALD"]
)
def test_a_family_name_of_two_words_may_stand_alone(text, order):
    assert parts(text, order) == (text, "", "", "", "")


@pytest.mark.parametrize(
    ("text", "given", "family"),
    [
        ("John Mc Donald", "John", "Mc Donald"),
        ("MARY O' NEIL", "MARY", "O' NEIL"),
        ("Mary O’ Neil", "Mary", "O’ Neil"),
        ("Jane D´ Angelo", "Jane", "D´ Angelo"),
    ],
)
@pytest.mark.parametrize("order", [None, "given_family", "given_two_families", "marked_only"])
def test_mc_and_o_prove_a_family_name_as_particles_do(text, given, family, order):
    assert split(text, order) == (given, family, None)


@pytest.mark.parametrize(
    ("text", "given", "family"),
    [
        ("Mary St. John", "Mary", "St. John"),
        ("MARY ST JOHN", "MARY", "ST JOHN"),
        ("St. John Smith", "St. John", "Smith"),
        ("Sean O'Neil", "Sean", "O'Neil"),
        ("Fiona MacDonald", "Fiona", "MacDonald"),
        ("Jane  Smith-Jones", "Jane", "Smith-Jones"),
        ("D’Angelo Russell", "D’Angelo", "Russell"),
        ("Thi Le", "Thi", "Le"),
        ("Jane M. Doe", "Jane M.", "Doe"),
        ("JANE Q R DOE", "JANE Q R", "DOE"),
    ],
)
def test_two_names_and_initials_are_split_without_a_doubt(text, given, family):
    assert split(text, "given_family") == (given, family, None)
    assert_not_split(text)


@pytest.mark.parametrize(
    ("text", "given", "family"),
    [
        ("Mary Ann Smith", "Mary Ann", "Smith"),
        ("J. Edgar Hoover", "J. Edgar", "Hoover"),
        ("María García López", "María García", "López"),
        ("Douglas Mac Arthur", "Douglas", "Mac Arthur"),
        ("Mary Saint Clair", "Mary", "Saint Clair"),
        ("Martin Van Buren", "Martin", "Van Buren"),
        ("JAN VAN DIJK", "JAN", "VAN DIJK"),
        ("nguyen van an", "nguyen", "van an"),
        ("Mary Ann Le Blanc", "Mary Ann", "Le Blanc"),
        ("Mary Ann St. John", "Mary Ann", "St. John"),
        ("Maria García de la Torre", "Maria García", "de la Torre"),
        ("Dr. Mary Ann Smith Jr.", "Mary Ann", "Smith"),
    ],
)
def test_three_words_are_split_as_the_site_says_and_that_is_noted(text, given, family):
    assert split(text, "given_family") == (given, family, "information")
    assert parse_name(text, "given_family").doubts == (("name-split-assumed", "information"),)


@pytest.mark.parametrize(
    ("text", "given", "family"),
    [
        ("Nguyễn Văn An", "Văn An", "Nguyễn"),
        ("NGUYEN VAN AN", "VAN AN", "NGUYEN"),
        ("Le Thi Lan", "Thi Lan", "Le"),
        ("VAN BUREN MARTIN", "MARTIN", "VAN BUREN"),
        ("DE LUCA MARIA ROSA", "MARIA ROSA", "DE LUCA"),
        ("MAC DONALD FIONA", "FIONA", "MAC DONALD"),
        ("SMITH J EDGAR", "J EDGAR", "SMITH"),
    ],
)
def test_three_words_with_the_family_name_first_are_noted_too(text, given, family):
    assert split(text, "family_given") == (given, family, "information")


def test_an_initial_behind_the_given_name_is_no_family_name():
    assert split("SMITH JOHN Q", "family_given") == ("JOHN Q", "SMITH", None)


@pytest.mark.parametrize(
    ("text", "given", "family"),
    [
        ("María García López", "María", "García López"),
        ("JUAN CARLOS GARCÍA LÓPEZ", "JUAN CARLOS", "GARCÍA LÓPEZ"),
        ("María del Carmen García López", "María del Carmen", "García López"),
        ("MARIA DEL CARMEN GARCIA LOPEZ", "MARIA DEL CARMEN", "GARCIA LOPEZ"),
        ("Maria de la Cruz Lopez", "Maria", "de la Cruz Lopez"),
        ("MARIA DE LEON GARCIA", "MARIA", "DE LEON GARCIA"),
        ("María García de la Torre", "María", "García de la Torre"),
        ("JUAN DE LEON", "JUAN", "DE LEON"),
        ("Mary Ann Smith", "Mary", "Ann Smith"),
        ("Dr. María García López Jr.", "María", "García López"),
    ],
)
def test_two_family_names_are_split_off_three_and_more_words_with_a_warning(text, given, family):
    assert split(text, "given_two_families") == (given, family, "warning")


@pytest.mark.parametrize(
    "text", ["María García", "Jane M. Doe", "Mary St. John", "de la Cruz María José", "José Ortega y Gasset", "Ana B C"]
)
def test_two_family_names_are_not_made_of_two_words_or_an_initial(text):
    assert_not_split(text, "given_two_families")


@pytest.mark.parametrize("order", ORDERS)
def test_commas_and_carets_win_over_every_order(order):
    for text in ("García López, María José", "García López^María^José"):
        assert split(text, order) == ("María José", "García López", None)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "text",
    [
        "Mac Arthur",
        "Van Buren",
        "Saint Clair",
        "De Luca",
        "John Smith St.",
        "Mary Mc",
        "Jane Smith née Jones",
        "ANN LEE NEE KIM",
    ],
)
def test_what_may_be_a_whole_family_name_or_two_names_is_not_split(text, order):
    assert_not_split(text, order)


@pytest.mark.parametrize(
    ("text", "given", "family"),
    [
        ("Robert (Bob) Smith", "Robert", "Smith"),
        ('Robert "Bob" Smith', "Robert", "Smith"),
        ("Robert “Bob” Smith", "Robert", "Smith"),
        ("Robert 'Bob' Smith", "Robert", "Smith"),
        ("Robert ‘Bob’ Smith", "Robert", "Smith"),
        ("Robert [Bob] (Bobby) Smith", "Robert", "Smith"),
        ("Jane Smith (Jones)", "Jane", "Smith"),
        ("Jane Smith (formerly Jones, Mary)", "Jane", "Smith"),
        ("Smith (Jones), Jane", "Jane", "Smith"),
        ("SMITH, ROBERT (BOB)", "ROBERT", "SMITH"),
        ("SMITH^ROBERT (BOB)", "ROBERT", "SMITH"),
        ("Madonna (DO NOT USE)", "", "Madonna"),
    ],
)
def test_what_stands_in_brackets_or_quotes_is_no_part_of_the_name_and_stays_in_the_whole(text, given, family):
    name = parse_name(text, "given_family")
    assert (" ".join(name.given), name.family) == (given, family)
    assert (name.text, name.doubts) == (text, (("name-part-unclear", "warning"),))


def test_a_name_may_be_in_two_doubts():
    name = parse_name("María (Mari) García López", "given_two_families")
    assert name.doubts == (("name-part-unclear", "warning"), ("name-split-assumed", "warning"))


@pytest.mark.parametrize(
    "text", ["(Jane Smith)", "Robert (Bob Smith", "Robert (B(o)b) Smith", 'Robert "Bob Smith', "Jane Doe <x>"]
)
@pytest.mark.parametrize("order", ORDERS)
def test_brackets_that_hold_everything_or_do_not_close_split_nothing(text, order):
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
