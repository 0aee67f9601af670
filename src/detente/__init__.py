"""Detente: a gateway for intelligence exchange that can be stopped, held and proved."""
