"""The headings of TAXII 2.1 (OASIS Standard, 10 June 2021) that a check may cite."""

from __future__ import annotations

import pytest

__all__ = ["HEADINGS", "section"]

HEADINGS = {
    "1.6.7": "Serialization",
    "1.6.8": "Content Negotiation",
    "1.6.8.1": "Media Types",
    "1.6.8.2": "Version Parameter",
    "1.6.9": "Authentication and Authorization",
    "2": "Data Types",
    "3.1": "Endpoints",
    "3.2": "HTTP Headers",
    "3.3": "Sorting",
    "3.4": "Filtering",
    "3.4.1": "Supported Fields for Match",
    "3.5": "Pagination",
    "3.6": "Errors",
    "3.6.1": "Error Message",
    "3.7": "Envelope Resource",
    "3.8": "Property Names",
    "4.1": "Server Discovery",
    "4.1.1": "Discovery Resource",
    "4.2": "Get API Root Information",
    "4.2.1": "API Root Resource",
    "4.3": "Get Status",
    "4.3.1": "Status Resource",
    "5.1": "Get Collections",
    "5.1.1": "Collections Resource",
    "5.2": "Get a Collection",
    "5.2.1": "Collection Resource",
    "5.3": "Get Object Manifests",
    "5.3.1": "Manifest Resource",
    "5.4": "Get Objects",
    "5.5": "Add Objects",
    "5.6": "Get an Object",
    "5.7": "Delete an Object",
    "5.8": "Get Object Versions",
    "5.8.1": "Versions Resource",
    "7.1.1": "Requirements (of custom properties)",
    "8.2.1": "TAXII Server Core Requirements",
    "8.2.2": "HTTPS and Authentication Server Requirements",
}


def section(number: str, beside: str = "") -> pytest.MarkDecorator:
    """The section a check is about; ``beside``: what else it rests on, such as an RFC or a real
    client. A number that is no heading of the standard is a mistake of the suite."""
    if number not in HEADINGS:
        raise ValueError(f"TAXII 2.1 has no heading {number} that this suite knows")
    return pytest.mark.section(number, beside)
