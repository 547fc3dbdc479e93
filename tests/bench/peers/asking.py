"""The requests that make a server use CPU."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from urllib.parse import urlsplit

CONNECTIONS = 4


def ask(base: str, targets: Sequence[str], headers: Mapping[str, str]) -> list[int]:
    """Ask for each target below the base over some connections at once; return the sizes of the bodies.

    Raises:
        AssertionError: an answer is not a 200.
    """
    url, sizes, faults = urlsplit(base), [0] * len(targets), list[str]()

    def work(first: int) -> None:
        connection = HTTPConnection(url.hostname or "", url.port, timeout=60)
        for place in range(first, len(targets), CONNECTIONS):
            connection.request("GET", f"{url.path}/{targets[place]}", headers=dict(headers))
            answer = connection.getresponse()
            sizes[place] = len(answer.read())
            if answer.status != 200:
                faults.append(f"{answer.status} {targets[place]}")
        connection.close()

    threads = [threading.Thread(target=work, args=(one,)) for one in range(CONNECTIONS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not faults, faults[:3]
    return sizes
