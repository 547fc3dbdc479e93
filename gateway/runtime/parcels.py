"""Pickle values for another gateway process: send a large unchanged value once, and an exception with all fields.

https://docs.python.org/3/library/pickle.html#reducer-override. Both ends are processes of one release.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

_MOST: Final = 64  # values that stay in a process: far more than it has sites and settings in force
_here: Final = OrderedDict[int, Any]()  # lasting values that this process received, by token


@dataclass(frozen=True, slots=True)
class Parcel:
    """Packed value, and the tokens of the lasting values that it refers to."""

    packed: bytes
    tokens: frozenset[int]


class Packer:
    """Packer of values for one group of processes. It sends a value of a type in `lasting` when it is missing there."""

    def __init__(self, lasting: Collection[type]) -> None:
        self._types = frozenset(lasting)
        # By id of the value, which is held so that no other value gets its id
        self._tokens = OrderedDict[int, tuple[int, Any]]()
        self._last = 0
        self._lock = Lock()

    def parcel(self, value: Any) -> Parcel:
        """Pack a value."""
        buffer, tokens = io.BytesIO(), set[int]()
        _Pickler(buffer, dict.fromkeys(self._types, self._token), tokens).dump(value)
        return Parcel(buffer.getvalue(), frozenset(tokens))

    def lasting(self, tokens: Collection[int]) -> dict[int, bytes]:
        """Return the lasting values with these tokens, packed."""
        with self._lock:
            known = dict(self._tokens.values())
        return {token: packed(known[token]) for token in tokens}

    def _token(self, value: Any) -> int:
        with self._lock:  # several loops pack
            if id(value) not in self._tokens:
                self._last += 1
                self._tokens[id(value)] = (self._last, value)
                if len(self._tokens) > _MOST:
                    self._tokens.popitem(last=False)
            self._tokens.move_to_end(id(value))
            return self._tokens[id(value)][0]


class _Pickler(pickle.Pickler):
    """Pickler that writes tokens for lasting values. It writes an error with all that it holds.

    Python's own way forgets what the `__init__` of an error did not pass on.
    """

    def __init__(self, buffer: io.BytesIO, token_of: Mapping[type, Callable[[Any], int]], tokens: set[int]) -> None:
        super().__init__(buffer, pickle.HIGHEST_PROTOCOL)
        self._token_of, self._tokens = token_of, tokens

    def reducer_override(self, part: Any) -> Any:
        """Return how a value that is not one of Python's own types is packed."""
        token_of = self._token_of.get(type(part))
        if token_of is not None:
            token = token_of(part)
            self._tokens.add(token)
            return _lasting_value, (token,)
        if isinstance(part, BaseException):
            return _error, (type(part), part.args, {**part.__dict__})
        return NotImplemented


def packed(value: Any) -> bytes:
    """Pack a value that refers to no lasting values."""
    buffer = io.BytesIO()
    _Pickler(buffer, {}, set()).dump(value)
    return buffer.getvalue()


def unpacked(data: bytes) -> Any:
    """Return the value that was packed.

    Raises:
        KeyError: a lasting value is missing in this process.
    """
    return pickle.loads(data)  # noqa: S301 (from a process that this one started, or was started by)


def keep(lasting: Mapping[int, bytes]) -> None:
    """Keep lasting values in this process, by their tokens."""
    for token, data in lasting.items():
        _here[token] = unpacked(data)
        if len(_here) > _MOST:
            _here.popitem(last=False)


def missing(tokens: Collection[int]) -> frozenset[int]:
    """Return the tokens whose values this process has not received."""
    return frozenset(tokens).difference(_here)


def _lasting_value(token: int) -> Any:
    _here.move_to_end(token)
    return _here[token]


def _error(kind: type[BaseException], args: tuple[Any, ...], attributes: Mapping[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error
