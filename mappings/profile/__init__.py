"""Read the configuration of the mappings: the site's settings, and the profiles of receivers.

Carries out no clause itself: `parse_site` and `parse_receiver` read text that the gateway passes in.
"""

from mappings.profile.dictionary import MODALITIES, PROCEDURE_COLUMNS, Dictionary, ProcedureCode, starter
from mappings.profile.directory import Directory, Provider
from mappings.profile.facility import NAME_ORDERS, AssigningAuthority, Facility, NameOrder, OrganizationDetails
from mappings.profile.receiver import Receiver, conflicts, switches, written_as
from mappings.profile.receiver_reading import RECEIVERS, parse_receiver, read_receiver, receiver
from mappings.profile.rule import Rule
from mappings.profile.site import (
    DEMO_SITE_KEY,
    SITE_FILES,
    SITE_KEY_MIN_BYTES,
    MrnAuthority,
    OnCancelled,
    OnConflict,
    OrderNumberKind,
    Site,
    parse_site,
    read_site,
)
from mappings.profile.table import Table, exact, is_loinc, is_npi, is_oid

__all__ = [
    "DEMO_SITE_KEY",
    "MODALITIES",
    "NAME_ORDERS",
    "PROCEDURE_COLUMNS",
    "RECEIVERS",
    "SITE_FILES",
    "SITE_KEY_MIN_BYTES",
    "AssigningAuthority",
    "Dictionary",
    "Directory",
    "Facility",
    "MrnAuthority",
    "NameOrder",
    "OnCancelled",
    "OnConflict",
    "OrderNumberKind",
    "OrganizationDetails",
    "ProcedureCode",
    "Provider",
    "Receiver",
    "Rule",
    "Site",
    "Table",
    "conflicts",
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
    "written_as",
]
