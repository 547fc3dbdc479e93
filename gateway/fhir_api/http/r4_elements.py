"""Elements of the FHIR types that the facade serves: their order, and the type of each non-primitive element.

From the structure definitions of R4 4.0.1, https://hl7.org/fhir/R4/profiles-resources.html and
https://hl7.org/fhir/R4/profiles-types.html. Only types listed in `RESOURCES` may occur as resources.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

_OF_RESOURCES: Final = (
    "id meta:Meta implicitRules language text:Narrative contained extension:Extension modifierExtension:Extension "
)
_OF_TYPES: Final = "id extension:Extension modifierExtension:Extension "
_CHOICE: Final = "[x]"

# Element names in the order of the definition, without those common to all resources or types. `:Type` follows a name,
# unless the element is primitive, holds any resource, or is a backbone element, which TYPES lists under its path.
RESOURCES: Final = {
    "Binary": "contentType securityContext:Reference data",
    "Bundle": "identifier:Identifier type timestamp total link entry signature:Signature",
    "CapabilityStatement": (
        "url version name title status experimental date publisher contact:ContactDetail description "
        "useContext:UsageContext jurisdiction:CodeableConcept purpose copyright kind instantiates imports software "
        "implementation fhirVersion format patchFormat implementationGuide rest messaging document"
    ),
    "DiagnosticReport": (
        "identifier:Identifier basedOn:Reference status category:CodeableConcept code:CodeableConcept "
        "subject:Reference encounter:Reference effective[x] issued performer:Reference "
        "resultsInterpreter:Reference specimen:Reference result:Reference imagingStudy:Reference media conclusion "
        "conclusionCode:CodeableConcept presentedForm:Attachment"
    ),
    "DocumentReference": (
        "masterIdentifier:Identifier identifier:Identifier status docStatus type:CodeableConcept "
        "category:CodeableConcept subject:Reference date author:Reference authenticator:Reference "
        "custodian:Reference relatesTo description securityLabel:CodeableConcept content context"
    ),
    "ImagingStudy": (
        "identifier:Identifier status modality:Coding subject:Reference encounter:Reference started "
        "basedOn:Reference referrer:Reference interpreter:Reference endpoint:Reference numberOfSeries "
        "numberOfInstances procedureReference:Reference procedureCode:CodeableConcept location:Reference "
        "reasonCode:CodeableConcept reasonReference:Reference note:Annotation description series"
    ),
    "Observation": (
        "identifier:Identifier basedOn:Reference partOf:Reference status category:CodeableConcept "
        "code:CodeableConcept subject:Reference focus:Reference encounter:Reference effective[x] issued "
        "performer:Reference value[x] dataAbsentReason:CodeableConcept interpretation:CodeableConcept "
        "note:Annotation bodySite:CodeableConcept method:CodeableConcept specimen:Reference device:Reference "
        "referenceRange hasMember:Reference derivedFrom:Reference component"
    ),
    "OperationDefinition": (
        "url version name title status kind experimental date publisher contact:ContactDetail description "
        "useContext:UsageContext jurisdiction:CodeableConcept purpose affectsState code comment base resource system "
        "type instance inputProfile outputProfile parameter overload"
    ),
    "OperationOutcome": "issue",
    "Organization": (
        "identifier:Identifier active type:CodeableConcept name alias telecom:ContactPoint address:Address "
        "partOf:Reference contact endpoint:Reference"
    ),
    "Parameters": "parameter",
    "Patient": (
        "identifier:Identifier active name:HumanName telecom:ContactPoint gender birthDate deceased[x] "
        "address:Address maritalStatus:CodeableConcept multipleBirth[x] photo:Attachment contact communication "
        "generalPractitioner:Reference managingOrganization:Reference link"
    ),
    "Practitioner": (
        "identifier:Identifier active name:HumanName telecom:ContactPoint address:Address gender birthDate "
        "photo:Attachment qualification communication:CodeableConcept"
    ),
    "PractitionerRole": (
        "identifier:Identifier active period:Period practitioner:Reference organization:Reference "
        "code:CodeableConcept specialty:CodeableConcept location:Reference healthcareService:Reference "
        "telecom:ContactPoint availableTime notAvailable availabilityExceptions endpoint:Reference"
    ),
    "Provenance": (
        "target:Reference occurred[x] recorded policy location:Reference reason:CodeableConcept "
        "activity:CodeableConcept agent entity signature:Signature"
    ),
    "SearchParameter": (
        "url version name derivedFrom status experimental date publisher contact:ContactDetail description "
        "useContext:UsageContext jurisdiction:CodeableConcept purpose code base type expression xpath xpathUsage "
        "target multipleOr multipleAnd comparator modifier chain component"
    ),
    "ServiceRequest": (
        "identifier:Identifier instantiatesCanonical instantiatesUri basedOn:Reference replaces:Reference "
        "requisition:Identifier status intent category:CodeableConcept priority doNotPerform code:CodeableConcept "
        "orderDetail:CodeableConcept quantity[x] subject:Reference encounter:Reference occurrence[x] asNeeded[x] "
        "authoredOn requester:Reference performerType:CodeableConcept performer:Reference "
        "locationCode:CodeableConcept locationReference:Reference reasonCode:CodeableConcept "
        "reasonReference:Reference insurance:Reference supportingInfo:Reference specimen:Reference "
        "bodySite:CodeableConcept note:Annotation patientInstruction relevantHistory:Reference"
    ),
}
TYPES: Final = {
    "Address": "use type text line city district state postalCode country period:Period",
    "Annotation": "author[x] time text",
    "Attachment": "contentType language data url size hash title creation",
    "Bundle.entry": "link:Bundle.link fullUrl resource search request response",
    "Bundle.entry.request": "method url ifNoneMatch ifModifiedSince ifMatch ifNoneExist",
    "Bundle.entry.response": "status location etag lastModified outcome",
    "Bundle.entry.search": "mode score",
    "Bundle.link": "relation url",
    "CapabilityStatement.document": "mode documentation profile",
    "CapabilityStatement.implementation": "description url custodian:Reference",
    "CapabilityStatement.messaging": "endpoint reliableCache documentation supportedMessage",
    "CapabilityStatement.messaging.endpoint": "protocol:Coding address",
    "CapabilityStatement.messaging.supportedMessage": "mode definition",
    "CapabilityStatement.rest": (
        "mode documentation security resource interaction "
        "searchParam:CapabilityStatement.rest.resource.searchParam "
        "operation:CapabilityStatement.rest.resource.operation compartment"
    ),
    "CapabilityStatement.rest.interaction": "code documentation",
    "CapabilityStatement.rest.resource": (
        "type profile supportedProfile documentation interaction versioning readHistory updateCreate "
        "conditionalCreate conditionalRead conditionalUpdate conditionalDelete referencePolicy searchInclude "
        "searchRevInclude searchParam operation"
    ),
    "CapabilityStatement.rest.resource.interaction": "code documentation",
    "CapabilityStatement.rest.resource.operation": "name definition documentation",
    "CapabilityStatement.rest.resource.searchParam": "name definition type documentation",
    "CapabilityStatement.rest.security": "cors service:CodeableConcept description",
    "CapabilityStatement.software": "name version releaseDate",
    "CodeableConcept": "coding:Coding text",
    "Coding": "system version code display userSelected",
    "ContactDetail": "name telecom:ContactPoint",
    "ContactPoint": "system value use rank period:Period",
    "DiagnosticReport.media": "comment link:Reference",
    "DocumentReference.content": "attachment:Attachment format:Coding",
    "DocumentReference.context": (
        "encounter:Reference event:CodeableConcept period:Period facilityType:CodeableConcept "
        "practiceSetting:CodeableConcept sourcePatientInfo:Reference related:Reference"
    ),
    "DocumentReference.relatesTo": "code target:Reference",
    "Duration": "value comparator unit system code",
    "Extension": "url value[x]",
    "HumanName": "use text family given prefix suffix period:Period",
    "Identifier": "use type:CodeableConcept system value period:Period assigner:Reference",
    "ImagingStudy.series": (
        "uid number modality:Coding description numberOfInstances endpoint:Reference bodySite:Coding "
        "laterality:Coding specimen:Reference started performer instance"
    ),
    "ImagingStudy.series.instance": "uid sopClass:Coding number title",
    "ImagingStudy.series.performer": "function:CodeableConcept actor:Reference",
    "Meta": "versionId lastUpdated source profile security:Coding tag:Coding",
    "Narrative": "status div",
    "Observation.component": (
        "code:CodeableConcept value[x] dataAbsentReason:CodeableConcept interpretation:CodeableConcept "
        "referenceRange:Observation.referenceRange"
    ),
    "Observation.referenceRange": (
        "low:Quantity high:Quantity type:CodeableConcept appliesTo:CodeableConcept age:Range text"
    ),
    "OperationDefinition.overload": "parameterName comment",
    "OperationDefinition.parameter": (
        "name use min max documentation type targetProfile searchType binding referencedFrom "
        "part:OperationDefinition.parameter"
    ),
    "OperationDefinition.parameter.binding": "strength valueSet",
    "OperationDefinition.parameter.referencedFrom": "source sourceId",
    "OperationOutcome.issue": "severity code details:CodeableConcept diagnostics location expression",
    "Organization.contact": "purpose:CodeableConcept name:HumanName telecom:ContactPoint address:Address",
    "Parameters.parameter": "name value[x] resource part:Parameters.parameter",
    "Patient.communication": "language:CodeableConcept preferred",
    "Patient.contact": (
        "relationship:CodeableConcept name:HumanName telecom:ContactPoint address:Address gender "
        "organization:Reference period:Period"
    ),
    "Patient.link": "other:Reference type",
    "Period": "start end",
    "Practitioner.qualification": "identifier:Identifier code:CodeableConcept period:Period issuer:Reference",
    "PractitionerRole.availableTime": "daysOfWeek allDay availableStartTime availableEndTime",
    "PractitionerRole.notAvailable": "description during:Period",
    "Provenance.agent": "type:CodeableConcept role:CodeableConcept who:Reference onBehalfOf:Reference",
    "Provenance.entity": "role what:Reference agent:Provenance.agent",
    "Quantity": "value comparator unit system code",
    "Range": "low:Quantity high:Quantity",
    "Ratio": "numerator:Quantity denominator:Quantity",
    "Reference": "reference type identifier:Identifier display",
    "SampledData": "origin:Quantity period factor lowerLimit upperLimit dimensions data",
    "SearchParameter.component": "definition expression",
    "Signature": "type:Coding when who:Reference onBehalfOf:Reference targetFormat sigFormat data",
    "Timing": "event repeat code:CodeableConcept",
    "Timing.repeat": (
        "bounds[x] count countMax duration durationMax durationUnit frequency frequencyMax period periodMax "
        "periodUnit dayOfWeek timeOfDay when offset"
    ),
    "UsageContext": "code:Coding value[x]",
}


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a type: its position, and its defined name (`value[x]` for `valueQuantity`).

    `kind` is the key in `TYPES` of the element's type; empty for a primitive type and for a resource.
    """

    place: int
    name: str
    kind: str


@lru_cache(maxsize=4096)
def find(kind: str, name: str) -> Element | None:
    """Find the element of a type by its name in JSON or XML; None if the definition has no such element.

    The type suffix of a choice is not checked: `valueColour` counts as `value[x]`.
    """
    defined = _defined(kind)
    found = defined.get(name)
    if found is not None:
        return found
    for end in (place for place, letter in enumerate(name) if letter.isupper()):
        choice = defined.get(name[:end] + _CHOICE)
        if choice is not None:
            return Element(choice.place, choice.name, name[end:] if name[end:] in TYPES else "")
    return None


def element(kind: str, name: str) -> Element:
    """Find the element of a type, as `find` does, but raise if there is none.

    Raises:
        LookupError: R4 has no such element, or this module does not list the type.
    """
    found = find(kind, name)
    if found is None:
        raise LookupError(f"no element {name} of {kind} is known")
    return found


@cache
def _defined(kind: str) -> dict[str, Element]:
    """Parse the elements of a type, keyed by defined name."""
    tokens = (_OF_RESOURCES + RESOURCES[kind] if kind in RESOURCES else _OF_TYPES + TYPES.get(kind, "")).split()
    named = [token.partition(":")[::2] for token in tokens]
    return {
        name: Element(place, name, given or (f"{kind}.{name}" if f"{kind}.{name}" in TYPES else ""))
        for place, (name, given) in enumerate(named)
    }
