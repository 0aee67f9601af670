"""Outside formats: STIX, TAXII, the courier's packages."""
