"""Frozen records of the domain and their canonical bytes."""

from __future__ import annotations

from detente.model.acts import Entry, Head, Signer
from detente.model.agreement import (
    Agreement,
    AssuranceTemplate,
    Collection,
    Contact,
    ExcludedUse,
    Kind,
    KindRule,
    Member,
    Power,
    Purpose,
)
from detente.model.assurance import Assurance, Withdrawal
from detente.model.charter import Charter, Key, LogName, Office, Root
from detente.model.codec import canonical, decode, digest, encode
from detente.model.directive import HALT_MS_MAX, Condition, Directive
from detente.model.handling import UNMARKED, Handling
from detente.model.item import NO_MARK, Item, object_key, version_mark
from detente.model.scope import Cell, Choice, Scope, covers, meet, meets, outside_all, without

__all__ = [
    "HALT_MS_MAX",
    "UNMARKED",
    "Agreement",
    "Assurance",
    "AssuranceTemplate",
    "Cell",
    "Charter",
    "Choice",
    "Collection",
    "Condition",
    "Contact",
    "Directive",
    "Entry",
    "ExcludedUse",
    "Handling",
    "Head",
    "Item",
    "NO_MARK",
    "Key",
    "Kind",
    "KindRule",
    "LogName",
    "Member",
    "Office",
    "Power",
    "Purpose",
    "Root",
    "Scope",
    "Signer",
    "Withdrawal",
    "canonical",
    "covers",
    "decode",
    "digest",
    "encode",
    "meet",
    "meets",
    "object_key",
    "version_mark",
    "outside_all",
    "without",
]
