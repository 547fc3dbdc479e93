"""Read reports back from the EHR's FHIR API after AA: what was sent, what the chart shows, and what differs."""
