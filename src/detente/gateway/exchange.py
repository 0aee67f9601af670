"""Exchange: what this node says to and hears from its partners' gateways.

Pull first: the reader asks, with a request signed by its node office, and answers a page with a
signed receipt. Everything is idempotent: what was heard twice changes nothing, what was lost is
asked for again. No proof, no accept: a page counts only with the proof that the sender's ledger
holds the entry that released it, and an act only with the proof that its party's ledger holds it.

Nothing here delays a restriction: a notice that cannot be brought stays to be fetched.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from detente.errors import Conflict, DetenteError, Invalid, Missing, NotAuthorised, PeerError
from detente.gateway.ask import stopped_of
from detente.gateway.book import ROOT_MEDIA, Book, collection_key
from detente.gateway.deliver import Delivery, PageAsk
from detente.gateway.gate import Cleared
from detente.gateway.intake import Intake, Received
from detente.gateway.order import Orders, PeerAct
from detente.model import Charter, Entry, canonical, decode, digest, encode
from detente.model.names import Record
from detente.model.transfer import ActsPage, PageSheet, PeerActSheet, Receipt, Request
from detente.ports import Courier, PeerRow, Tx, View
from detente.proof import (
    Envelope,
    check_commitment,
    check_proof,
    inclusion_proof,
    root_of,
    leaf_hash,
    sign,
    signers,
)
from detente.proof import decode as decode_envelope
from detente.rules.authority import keys_of, open_document, payload_type
