"""Read the configuration of the mappings: the site's settings, and the profiles of receivers.

Carries out no clause itself: `parse_site` and `parse_receiver` read text that the gateway passes in.
"""

from mappings.profile.dictionary import MODALITIES, Dictionary, ProcedureCode, starter
from mappings.profile.directory import Directory, Provider
from mappings.profile.facility import NAME_ORDERS, AssigningAuthority, Facility, NameOrder, OrganizationDetails
from mappings.profile.receiver import Receiver, switches
from mappings.profile.receiver_reading import RECEIVERS, parse_receiver, read_receiver, receiver
from mappings.profile.rule import Rule
from mappings.profile.site import (
    DEMO_SITE_KEY,
    SITE_FILES,
    SITE_KEY_MIN_BYTES,
    OrderNumberKind,
    Site,
    parse_site,
    read_site,
)
from mappings.profile.table import exact, is_loinc, is_npi, is_oid

__all__ = [
    "DEMO_SITE_KEY",
    "MODALITIES",
    "NAME_ORDERS",
    "RECEIVERS",
    "SITE_FILES",
    "SITE_KEY_MIN_BYTES",
    "AssigningAuthority",
    "Dictionary",
    "Directory",
    "Facility",
    "NameOrder",
    "OrderNumberKind",
    "OrganizationDetails",
    "ProcedureCode",
    "Provider",
    "Receiver",
    "Rule",
    "Site",
    "exact",
    "is_loinc",
    "is_npi",
    "is_oid",
    "parse_receiver",
    "parse_site",
    "read_receiver",
    "read_site",
    "receiver",
    "starter",
    "switches",
]
