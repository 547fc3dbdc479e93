"""Destinations of the HL7 v2 feed: what each is sent, how, and when; which reports go where.

Carries out no clause itself: `routes_of` makes them of the settings, `routed` says of each cause where it goes.
"""

from gateway.destinations.destination import Destination, Retry
from gateway.destinations.filter import About, Filter, Ignore, Scope
from gateway.destinations.in_force import NOTHING_IN_FORCE, InForce, Revision, ever_in_force
from gateway.destinations.owed import Owed, Terms, owed
from gateway.destinations.reading import routes_of, survey_routes
from gateway.destinations.routing import Routed, RoutedState, Routes, routed
from gateway.destinations.schedule import QuietHours
from gateway.destinations.transport import Basic, Bearer, Folder, Http, Mllp, Tls, Transport

__all__ = [
    "NOTHING_IN_FORCE",
    "About",
    "Basic",
    "Bearer",
    "Destination",
    "Filter",
    "Folder",
    "Http",
    "Ignore",
    "InForce",
    "Mllp",
    "Owed",
    "QuietHours",
    "Retry",
    "Revision",
    "Routed",
    "RoutedState",
    "Routes",
    "Scope",
    "Terms",
    "Tls",
    "Transport",
    "ever_in_force",
    "owed",
    "routed",
    "routes_of",
    "survey_routes",
]
