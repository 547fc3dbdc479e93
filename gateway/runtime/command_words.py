"""Words of the command line for `--help` and Tab (roles, `--ack` names, `--held` values); loads nothing else.

Carries out no clause of a standard. `--help` and every Tab in a shell need only these words, so they stand apart from
the modules that act on them, which are slow to import. This module imports nothing of the gateway.
"""

from typing import Final, Literal

CONFIG_VARIABLE: Final = "GATEWAY_CONFIG"

# `serve --roles`: the work of one process, which other processes may do instead (D33)
API: Final = "api"
SYNC: Final = "sync"
FEED: Final = "feed"
CONSOLE: Final = "console"
ROLES: Final = (API, SYNC, FEED, CONSOLE)
ANSWERING: Final = frozenset({API, CONSOLE})  # answered by one loop, and on PostgreSQL by one process

# `feed resume --held`
HeldAs = Literal["refused", "indeterminate", "restored", "may-have-been-sent", "merge-move"]

# `orders list --state`
OrderState = Literal["waiting", "held", "refused", "none", "matched", "wrong-visit"]

# `sandbox`
SANDBOX_PORT: Final = 8801
SANDBOX_API_KEY: Final = "sandbox-key"

# `listen --ack`: the names of gateway/sandbox/manners.py, which describes each
MANNERS: Final = (
    *("aa", "ae", "ar", "ce", "cr", "ae-busy", "ar-content", "ar-type", "aa-err", "not-filed"),
    *("close-at-once", "reset-at-once", "reset-in-frame", "reset", "close", "reset-in-ack", "half-close", "silent"),
    *("close-after", "zero-window", "none", "slow", "dribble", "together", "split", "early", "pause"),
    *("wrong-id", "no-id", "empty", "garbage", "no-vt", "no-cr", "lf", "nul", "unknown-code", "delimiters"),
    *("latin-1", "utf-16", "twice", "adt-first", "ca", "ca-aa", "ca-ae", "ca-ar", "ca-aa-calls", "ca-aa-next"),
)
