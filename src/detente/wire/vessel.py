"""The vessel profile: four property extensions on standard STIX objects, with fixed ids.

Vessels are ``infrastructure``, tracks ``sighting``, voyages ``relationship`` and interdictions
``incident``; what STIX has no property for lies in an extension. New object types would be dropped
by widespread clients; property extensions are kept. Units are in the property names; absent is
"not said", never zero. The ids are frozen: they are names that partners rely on.
"""

from __future__ import annotations

# A rule coarsens tracks, and rules know nothing of the wire: the id stands there.
from detente.rules.transform import TRACK

__all__ = [
    "INTERDICTION",
    "TRACK",
    "VESSEL",
    "VOYAGE",
]

VESSEL = "extension-definition--0b1e5a3c-6d0f-4c58-8a3e-2f9d5c7b1a01"
VOYAGE = "extension-definition--0b1e5a3c-6d0f-4c58-8a3e-2f9d5c7b1a03"
INTERDICTION = "extension-definition--0b1e5a3c-6d0f-4c58-8a3e-2f9d5c7b1a04"
