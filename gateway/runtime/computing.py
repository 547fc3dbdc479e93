"""Run pure functions in worker processes inside a `workers` block, and in threads elsewhere.

https://docs.python.org/3/library/multiprocessing.html, https://docs.python.org/3/library/pickle.html#reducer-override;
decision D46. A thread that computes holds the interpreter's lock and delays the loops of its process. Functions,
arguments and results travel as plain data, over a pipe for each worker: a ProcessPoolExecutor waits without end for a
worker that is killed within its answer. A large unchanged value is sent once, and an exception with all fields. Both
ends are processes of one release.
"""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import os
import pickle
import signal
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib import import_module
from multiprocessing.connection import Connection, wait
from operator import attrgetter
from queue import SimpleQueue
from threading import Lock
from typing import Any, Final, TypeVar, TypeVarTuple, cast

from gateway.runtime.errors import WorkerLost
from gateway.runtime.log import PLACES, get_logger, places_of
from gateway.runtime.pauses import rare_collections
from gateway.runtime.signals import signals_held, take_signals

_MOST: Final = 64  # values that stay in a process: far more than it has sites and settings in force
_here: Final = OrderedDict[int, Any]()  # lasting values that this process received, by token


@dataclass(frozen=True, slots=True)
class Parcel:
    """Packed value, with the tokens of lasting values (kept in workers, such as settings) that it refers to."""

    packed: bytes
    tokens: frozenset[int]


class Packer:
    """Packer for one group of processes. A value of a type in `lasting` is sent only to a process that lacks it."""

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
        """Return the lasting values for these tokens, packed."""
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
    """Pickler that writes a token in place of a lasting value, and an error with all its attributes.

    Python's own way forgets what the `__init__` of an error did not pass on.
    """

    def __init__(self, buffer: io.BytesIO, token_of: Mapping[type, Callable[[Any], int]], tokens: set[int]) -> None:
        super().__init__(buffer, pickle.HIGHEST_PROTOCOL)
        self._token_of, self._tokens = token_of, tokens

    def reducer_override(self, part: Any) -> Any:
        """Return how a value that is not one of Python's own types is packed."""
        kind: Any = type(part)
        token_of = self._token_of.get(kind)
        if token_of is not None:
            token = token_of(part)
            self._tokens.add(token)
            return _lasting_value, (token,)
        if isinstance(part, BaseException):
            return _error, (kind, part.args, {**part.__dict__})
        values = _values_of(kind)
        return NotImplemented if values is None else (kind, values(part))


@cache
def _values_of(kind: Any) -> Callable[[Any], tuple[Any, ...]] | None:
    """Return what reads the values that make an equal dataclass with slots; None for any other type.

    Python's own way asks for the names of the fields again and again, which takes longer than all other packing.
    """
    if not is_dataclass(kind) or "__slots__" not in kind.__dict__ or hasattr(kind, "__post_init__"):
        return None
    names = [one.name for one in fields(kind)]
    if len(names) < 2 or getattr(kind, "__match_args__", ()) != tuple(names):
        return None
    return attrgetter(*names)


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
    """Keep lasting values in this process, by token."""
    for token, data in lasting.items():
        _here[token] = unpacked(data)
        if len(_here) > _MOST:
            _here.popitem(last=False)


def missing(tokens: Collection[int]) -> frozenset[int]:
    """Return the tokens of lasting values that this process lacks."""
    return frozenset(tokens).difference(_here)


def _lasting_value(token: int) -> Any:
    _here.move_to_end(token)
    return _here[token]


def _error(kind: type[BaseException], args: tuple[Any, ...], attributes: Mapping[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


Result = TypeVar("Result")
Given = TypeVarTuple("Given")
_THREADS: Final = ThreadPoolExecutor(2, thread_name_prefix="computing")
_THREAD_APART: Final = ThreadPoolExecutor(1, thread_name_prefix="computing-apart")
_LESS: Final = 10  # niceness of the worker apart: it gives way to all other work of the service
_MANY_PROCESSORS: Final = 4
_TRIES: Final = 2  # the work of a worker that ended is given to another worker once

_open: list[_Workers] = []


async def computed(function: Callable[[*Given], Result], *given: *Given) -> Result:
    """Run a pure function of a module and return its result; it must not wait for files, network or threads.

    A computation that has not begun when its caller is cancelled is dropped.

    Raises:
        WorkerLost: the worker process ended, and so did a second one.
        Exception: whatever the function raised.
    """
    if not _open:
        return await asyncio.get_running_loop().run_in_executor(_THREADS, _called, function, given)
    return cast(Result, await _open[-1].run(function, given))


async def computed_apart(function: Callable[[*Given], Result], *given: *Given) -> Result:
    """Run as `computed` does, but in a separate worker, one at a time: for seconds of work that a client causes.

    Other computations never wait for it. The worker starts at its first use.

    Raises:
        WorkerLost: the worker process ended, and so did a second one.
        Exception: whatever the function raised.
    """
    if not _open:
        return await asyncio.get_running_loop().run_in_executor(_THREAD_APART, _called, function, given)
    apart = await asyncio.to_thread(_open[-1].apart)
    return cast(Result, await apart.run(function, given))


def _called(function: Callable[..., Any], given: Sequence[Any]) -> Any:
    return function(*given)


@asynccontextmanager
async def workers(processes: int | None, lasting: Collection[type], modules: Sequence[str]) -> AsyncIterator[None]:
    """Run computations in so many worker processes while the block runs; 0: in threads.

    None: one process, and two from four processors on. A value of a type in `lasting` is sent to a worker once, and
    stays there. Workers import `modules` at their start.
    """
    if processes == 0:
        yield
        return
    pool = _Workers(processes or _for_this_machine(), lasting, modules)
    _open.append(pool)
    try:
        yield
    finally:
        _open.remove(pool)
        await asyncio.to_thread(pool.close)


def _for_this_machine() -> int:
    return 2 if (os.cpu_count() or 1) >= _MANY_PROCESSORS else 1


class _Workers:
    """Worker processes, each served by a thread that gives it one computation at a time."""

    def __init__(self, processes: int, lasting: Collection[type], modules: Sequence[str], niceness: int = 0) -> None:
        self._lasting, self._modules, self._niceness = lasting, modules, niceness
        self._packer = Packer(lasting)
        self._idle = SimpleQueue[_Worker]()
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="computing")
        self._all = [_Worker(modules, niceness) for _ in range(processes)]
        self._apart: _Workers | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        for worker in self._all:
            self._idle.put(worker)

    def apart(self) -> _Workers:
        """Return the separate worker for long computations; start it if it is missing.

        It imports what its first computations need, and no other modules: somebody waits for it.
        """
        with self._lock:
            if self._apart is None:
                self._apart = _Workers(1, self._lasting, (), _LESS)
            return self._apart

    async def run(self, function: Callable[..., Any], given: Sequence[Any]) -> Any:
        """Run a function in a worker, and return its result."""
        parcel, lasting = self._packer.parcel((function, given)), dict[int, bytes]()
        loop, lost = asyncio.get_running_loop(), 0
        while lost < _TRIES and not self._is_closed:
            packed_answer = await loop.run_in_executor(self._threads, self._answer, parcel, lasting)
            if packed_answer is None:
                lost += 1
                continue
            answer = unpacked(packed_answer)
            if isinstance(answer, frozenset):
                lasting |= self._packer.lasting(answer)  # another worker may lack what this one has
                continue
            return _result(*answer)
        raise WorkerLost("the worker process ended")

    def _answer(self, parcel: Parcel, lasting: Mapping[int, bytes]) -> bytes | None:
        """Return a worker's packed answer; None if the worker died and was replaced."""
        worker = self._idle.get()
        try:
            return worker.answer(parcel, lasting)
        except (EOFError, OSError):
            if not self._is_closed:
                get_logger().error("worker-lost", code=WorkerLost.code)
                worker.kill()
                worker.start(self._modules, self._niceness)
            return None
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the workers at once: nobody waits for a result any more."""
        self._is_closed = True
        if self._apart is not None:
            self._apart.close()
        for worker in self._all:
            worker.kill()
        self._threads.shutdown(cancel_futures=True)


class _Worker:
    """Worker process and the pipe to it; the pipe ends when the process does, since nothing else holds its end."""

    def __init__(self, modules: Sequence[str], niceness: int) -> None:
        self.start(modules, niceness)

    def start(self, modules: Sequence[str], niceness: int) -> None:
        """Start the process now, so that the first study does not wait for it."""
        spawned = multiprocessing.get_context("spawn")
        self._pipe, there = spawned.Pipe()
        with there:
            self._process = spawned.Process(target=_serve, args=(there, modules, niceness), daemon=True)
            with signals_held():
                self._process.start()

    def answer(self, parcel: Parcel, lasting: Mapping[int, bytes]) -> bytes:
        """Have a computation carried out.

        Raises:
            EOFError, OSError: the process ended.
        """
        self._pipe.send((parcel, lasting))
        return self._pipe.recv_bytes()

    def kill(self) -> None:
        """Kill the process; one in an endless computation obeys nothing else."""
        self._process.kill()
        self._process.join()


def _result(value: Any, error: BaseException | None, places: Sequence[str]) -> Any:
    if error is None:
        return value
    error.__dict__[PLACES] = places
    raise error


def _serve(pipe: Connection, modules: Sequence[str], niceness: int) -> None:
    """Compute as a worker until the service ends it: no signal to the whole process group does."""
    take_signals(signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(OSError):  # a system may refuse it to all processes
        os.nice(niceness)
    for name in modules:
        import_module(name)
    with rare_collections():
        while True:
            pipe.send_bytes(_work(*pipe.recv()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(parcel: Parcel, lasting: Mapping[int, bytes]) -> bytes:
    """Do a computation in a worker: pack the result, or the error with its places, or the missing tokens."""
    keep(lasting)
    if tokens := missing(parcel.tokens):
        return packed(tokens)
    try:
        function, given = unpacked(parcel.packed)
        return packed((function(*given), None, ()))
    except Exception as error:
        return packed((None, error, places_of(error)))
