import inspect

import pytest

from gateway.runtime import errors, request_errors
from gateway.runtime.computing import Packer, packed, unpacked
from mappings.issues import SiteError, WireError

EXAMPLES = {
    inspect.Parameter.empty: "text",
    "int": 3,
    "str": "text",
    "int | None": 1,
    "float": 1.5,
}


def tree(kind):
    return [kind, *(one for child in kind.__subclasses__() for one in tree(child))]


def given(kind, how):
    """Return a value for each parameter without a default."""
    if "__init__" not in {name for base in kind.__mro__[:-3] for name in vars(base)}:
        return {}
    wanted = inspect.signature(kind).parameters.values()
    return {one.name: EXAMPLES[one.annotation] for one in wanted if one.kind.name == how and one.default is one.empty}


@pytest.mark.parametrize(
    "kind",
    [*tree(errors.GatewayError), *tree(request_errors.RequestError), WireError, SiteError],
    ids=lambda kind: kind.__name__,
)
def test_every_error_arrives_with_its_class_its_text_and_its_fields(kind):
    error = kind(*given(kind, "POSITIONAL_OR_KEYWORD").values(), **given(kind, "KEYWORD_ONLY"))
    arrived = unpacked(packed(error))
    assert type(arrived) is kind
    assert (str(arrived), arrived.args, vars(arrived)) == (str(error), error.args, vars(error))


def test_a_lasting_value_is_packed_as_a_token_however_large_it_is():
    class Large(tuple):
        __slots__ = ()

    packer, value = Packer((Large,)), Large(["x" * 1000] * 10)
    parcel = packer.parcel({"settings": value, "again": [value]})
    assert len(parcel.tokens) == 1
    assert b"xxx" not in parcel.packed
    assert packer.parcel(value).tokens == parcel.tokens
