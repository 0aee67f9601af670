"""Witness: this node cosigns its partners' ledgers, and has its own cosigned by them.

A cosignature says: this head follows from the last one I saw (C2SP ``tlog-witness``). What was
cosigned is kept before it is answered, so that a restart cannot cosign a fork. It never delays a
restriction: a partner that does not answer is asked again at the next exchange.
"""

from __future__ import annotations

import base64

from detente.errors import Conflict, DetenteError, Invalid, Missing, NotAuthorised
from detente.gateway.book import Book
from detente.model import Charter
from detente.ports import Courier, Tx, View
from detente.proof import (
    AddCheckpoint,
    Proof,
    Signer,
    VerifierKey,
    WitnessVerdict,
    consistency_proof,
    cosign,
    inclusion_proof,
    parse_checkpoint,
    verify_checkpoint,
    verify_cosignature,
    witness_step,
)

__all__ = ["Witness", "ledger_vkey", "proof_of"]
