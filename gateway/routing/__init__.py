"""Route reports: build the destinations from the settings, and decide which destination must get which report.

Carries out no clause itself: `routes_of` builds the destinations, `routed` decides where each cause goes.
"""

from gateway.routing.destination import Destination, Ehr, Retry
from gateway.routing.filter import Filter, FilterValues, Ignore, Scope
from gateway.routing.in_force import NOTHING_IN_FORCE, InForce, Revision, ever_in_force
from gateway.routing.owed import Owed, Terms, owed
from gateway.routing.routes_from_settings import routes_of, survey_routes
from gateway.routing.routing import Routed, RoutedState, Routes, routed
from gateway.routing.schedule import QuietHours
from gateway.routing.transport import Basic, Bearer, Folder, Http, Mllp, Transport
from gateway.runtime.tls import TlsSettings

__all__ = [
    "NOTHING_IN_FORCE",
    "Basic",
    "Bearer",
    "Destination",
    "Ehr",
    "Filter",
    "FilterValues",
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
    "TlsSettings",
    "Transport",
    "ever_in_force",
    "owed",
    "routed",
    "routes_of",
    "survey_routes",
]
