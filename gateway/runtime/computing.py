"""Run pure functions in spawned worker processes inside a `workers` block, and in threads outside of the block.

https://docs.python.org/3/library/concurrent.futures.html#processpoolexecutor; decision D46. A thread that computes
holds the interpreter's lock and delays the loops of its process. Functions, arguments and results travel as plain data.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from importlib import import_module
from multiprocessing.connection import wait
from typing import Any, Final, TypeVar, TypeVarTuple, cast

from gateway.runtime.errors import WorkerLost
from gateway.runtime.log import PLACES, get_logger, places_of
from gateway.runtime.parcels import Packer, Parcel, keep, missing, packed, unpacked

Result = TypeVar("Result")
Given = TypeVarTuple("Given")
_THREADS: Final = ThreadPoolExecutor(2, thread_name_prefix="computing")
_THREAD_APART: Final = ThreadPoolExecutor(1, thread_name_prefix="computing-apart")
_LESS: Final = 10  # niceness of the worker apart: it gives way to all other work of the service
_MANY_PROCESSORS: Final = 4
_TRIES: Final = 2  # the work of a worker that ended is given to another worker once

_open: list[_Workers] = []


async def computed(function: Callable[[*Given], Result], *given: *Given) -> Result:
    """Run a pure function of a module, and return its result; it may wait for no file, network or thread.

    Raises:
        WorkerLost: the worker process ended, and so did a second one.
        Exception: whatever the function raised.
    """
    if not _open:
        return await asyncio.get_running_loop().run_in_executor(_THREADS, _called, function, given)
    return cast(Result, await _open[-1].run(function, given))


async def computed_apart(function: Callable[[*Given], Result], *given: *Given) -> Result:
    """Run as `computed` does, one at a time in a worker apart: for seconds of work that a client caused.

    Other computations never wait for it. What waits is dropped when its caller is cancelled. The worker starts at its
    first use.

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
    """Run the computations of this process in so many worker processes while the block runs; 0: in threads, as outside.

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


class _Turns:
    """Turns to use a worker, in order, for callers in several loops. A cancelled caller gives its place away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_free = True
        self._waiting = deque[Future[None]]()

    async def take(self) -> None:
        """Wait for a turn."""
        ticket = Future[None]()
        with self._lock:
            self._waiting.append(ticket)
        self._next()
        try:
            await asyncio.wrap_future(ticket)
        except asyncio.CancelledError:
            if not ticket.cancel():
                self.give_back()  # it came at that moment
            raise

    def give_back(self, _: Any = None) -> None:
        """End a turn."""
        with self._lock:
            self._is_free = True
        self._next()

    def _next(self) -> None:
        with self._lock:
            while self._is_free and self._waiting:
                ticket = self._waiting.popleft()
                if ticket.set_running_or_notify_cancel():
                    self._is_free = False
                    ticket.set_result(None)


class _Workers:
    """Pool of worker processes. A new pool replaces one whose worker ended.

    With `turns`, a computation is handed over only when the one before has ended, so that it can still be dropped.
    """

    def __init__(
        self, processes: int, lasting: Collection[type], modules: Sequence[str], turns: _Turns | None = None
    ) -> None:
        self._processes, self._lasting, self._modules, self._turns = processes, lasting, modules, turns
        self._packer = Packer(lasting)
        self._lock = threading.Lock()
        self._pool = self._begun()
        self._apart: _Workers | None = None

    def apart(self) -> _Workers:
        """Return the worker for long computations; start it if it is missing, which takes some milliseconds."""
        with self._lock:
            if self._apart is None:
                self._apart = _Workers(1, self._lasting, self._modules, _Turns())
            return self._apart

    async def run(self, function: Callable[..., Any], given: Sequence[Any]) -> Any:
        """Run a function in a worker, and return its result."""
        parcel, lasting = self._packer.parcel((function, given)), dict[int, bytes]()
        lost = 0
        while lost < _TRIES:
            pool = self._pool
            try:
                answer = unpacked(await self._answer(pool, parcel, lasting))
            except BrokenProcessPool:
                self._replace(pool)
                lost += 1
                continue
            if isinstance(answer, frozenset):
                lasting |= self._packer.lasting(answer)  # another worker may lack what this one has
                continue
            return _result(*answer)
        raise WorkerLost("the worker process ended")

    async def _answer(self, pool: ProcessPoolExecutor, parcel: Parcel, lasting: dict[int, bytes]) -> bytes:
        if self._turns is None:
            return await asyncio.wrap_future(pool.submit(_work, parcel, lasting))
        await self._turns.take()
        try:
            under_way = pool.submit(_work, parcel, lasting)
        except BaseException:
            self._turns.give_back()
            raise
        under_way.add_done_callback(self._turns.give_back)
        return await asyncio.wrap_future(under_way)

    def close(self) -> None:
        """End the workers at once: nobody waits for a result any more."""
        if self._apart is not None:
            self._apart.close()
        _kill(self._pool)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _replace(self, ended: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is ended:
                get_logger().error("worker-lost", code=WorkerLost.code)
                _kill(ended)
                self._pool = self._begun()

    def _begun(self) -> ProcessPoolExecutor:
        """Start the workers now, so that the first study does not wait for them."""
        spawned = multiprocessing.get_context("spawn")
        niceness = 0 if self._turns is None else _LESS
        pool = ProcessPoolExecutor(self._processes, spawned, _begin, (self._modules, niceness))
        pool.submit(int)
        return pool


def _kill(pool: ProcessPoolExecutor) -> None:
    """Kill the workers of a pool: it would wait without end for one that ignores signals and writes to nobody."""
    for process in list((pool._processes or {}).values()):
        process.kill()


def _result(value: Any, error: BaseException | None, places: Sequence[str]) -> Any:
    if error is None:
        return value
    error.__dict__[PLACES] = places
    raise error


def _begin(modules: Sequence[str], niceness: int) -> None:
    """Begin as a worker: the service ends it, not a signal to the whole process group, and it never outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(niceness)
    for name in modules:
        import_module(name)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(parcel: Parcel, lasting: dict[int, bytes]) -> bytes:
    """Carry out a computation in a worker: pack its result, error, and the error's places; or the missing tokens."""
    keep(lasting)
    if tokens := missing(parcel.tokens):
        return packed(tokens)
    try:
        function, given = unpacked(parcel.packed)
        return packed((function(*given), None, ()))
    except Exception as error:
        return packed((None, error, places_of(error)))
