"""`autoscribe-gateway` and `python -m gateway`: load the commands, and run the one that was typed.

Carries out no clause of a standard.
Proved by tests/keeping_up/test_killed_start.py.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line. Until a command runs, Ctrl-C ends the program at once, without a traceback.

    The commands are loaded here and not with this module, which each worker process loads, too.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from gateway.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
