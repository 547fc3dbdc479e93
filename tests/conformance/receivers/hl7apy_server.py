"""Receives HL7 v2 messages over MLLP with hl7apy's `MLLPServer`, as its documentation starts it.

https://crs4.github.io/hl7apy/tutorial/index.html#mllp-server-implementation. Arguments and output:
tests/conformance/receivers/servers.py.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from conformance.outside_parsers import hl7apy_reading
from hl7apy.core import Message
from hl7apy.mllp import AbstractHandler, MLLPServer
from hl7apy.parser import parse_segment


class Results(AbstractHandler):
    """Takes a message, and acknowledges it by one that hl7apy builds: it has nothing that makes one of a message."""

    def reply(self) -> str:
        header, _, _ = self.incoming_message.partition("\r")
        control_id = parse_segment(header).msh_10.value
        write({"control_id": control_id, "reading": hl7apy_reading(self.incoming_message)})
        ack = Message("ACK", version="2.5.1")
        ack.msh.msh_9 = "ACK^R01^ACK"
        ack.msh.msh_10 = f"A{control_id}"[:20]
        ack.msh.msh_11 = "P"
        ack.msa.msa_1 = "AA"
        ack.msa.msa_2 = control_id
        return str(ack.to_mllp())


def write(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main(port: int) -> None:
    with MLLPServer("127.0.0.1", port, {"ORU^R01^ORU_R01": (Results,)}) as server:
        write({"listening": port})
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
