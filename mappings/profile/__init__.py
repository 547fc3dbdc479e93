"""What the mappings are told and no report says: the site's settings, and the profiles of receivers.

Carries out no clause itself: `parse_site` and `parse_receiver` read text that the gateway hands over.
"""

from mappings.profile.facility import NAME_ORDERS, AssigningAuthority, Facility, NameOrder
from mappings.profile.receiver import RECEIVERS, Receiver, parse_receiver, read_receiver, receiver, switches
from mappings.profile.rule import Rule
from mappings.profile.site import DEMO_SITE_KEY, SITE_KEY_MIN_BYTES, Site, parse_site, read_site

__all__ = [
    "DEMO_SITE_KEY",
    "NAME_ORDERS",
    "RECEIVERS",
    "SITE_KEY_MIN_BYTES",
    "AssigningAuthority",
    "Facility",
    "NameOrder",
    "Receiver",
    "Rule",
    "Site",
    "parse_receiver",
    "parse_site",
    "read_receiver",
    "read_site",
    "receiver",
    "switches",
]
