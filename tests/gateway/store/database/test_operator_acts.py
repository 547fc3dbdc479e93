"""The actor is the user of the process, as the operating system knows it, and the machine."""

import os
import pwd
import socket

from gateway.store.database.facts import Actor, acting_as, actor


def test_no_variable_of_the_environment_changes_who_it_is(monkeypatch):
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert actor() == Actor(pwd.getpwuid(os.getuid()).pw_name, socket.gethostname())
    assert str(Actor("ann", "reading-room")) == "ann@reading-room"


def test_a_user_without_a_name_is_known_by_number(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    assert actor().user == "987654"


def test_while_a_person_acts_it_is_the_person_and_afterwards_the_user_again():
    before = actor()
    with acting_as("local:kim"):
        assert actor() == Actor("local:kim", before.host)
    assert actor() == before
