"""Frozen records of the domain and their canonical bytes."""

from __future__ import annotations

from detente.model.acts import Entry, Head, Signer
from detente.model.agreement import (
    Agreement,
    AssuranceTemplate,
    Collection,
    Contact,
    Delegation,
    ExcludedUse,
    Kind,
    KindRule,
    Member,
    Notice,
    Onward,
    Oversight,
    PermittedUse,
    Power,
    Purpose,
)
from detente.model.assessment import Assessment
from detente.model.assurance import Assurance, Withdrawal
from detente.model.charter import Charter, Key, LogName, Office, Root
from detente.model.codec import canonical, decode, digest, encode
from detente.model.demand import Minimisation, PurposeTest, Question, Step
from detente.model.directive import HALT_MS_MAX, Condition, Directive
from detente.model.handling import UNMARKED, Handling, Referred
from detente.model.item import NO_MARK, Item, object_key, version_mark
from detente.model.scope import Cell, Choice, Scope, covers, meet, meets, outside_all, without

__all__ = [
    "Agreement",
    "Assessment",
    "Assurance",
    "AssuranceTemplate",
    "Cell",
    "Charter",
    "Choice",
    "Collection",
    "Condition",
    "Contact",
    "Delegation",
    "Directive",
    "Entry",
    "ExcludedUse",
    "HALT_MS_MAX",
    "Handling",
    "Head",
    "Item",
    "Key",
    "Kind",
    "KindRule",
    "LogName",
    "Member",
    "Minimisation",
    "NO_MARK",
    "Notice",
    "Office",
    "Onward",
    "Oversight",
    "PermittedUse",
    "Power",
    "Purpose",
    "PurposeTest",
    "Question",
    "Referred",
    "Root",
    "Scope",
    "Signer",
    "Step",
    "UNMARKED",
    "Withdrawal",
    "canonical",
    "covers",
    "decode",
    "digest",
    "encode",
    "meet",
    "meets",
    "object_key",
    "outside_all",
    "version_mark",
    "without",
]
