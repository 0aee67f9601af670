"""HTTP, TAXII, the peer protocol and the command line."""
