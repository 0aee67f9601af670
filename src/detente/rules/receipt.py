"""Receipt: what makes a partner's signed words the receipt for one page and no other."""

from __future__ import annotations

import msgspec

from detente.errors import Conflict, NotAuthorised
from detente.model.transfer import Receipt

__all__ = ["PageSent", "check_receipt"]


class PageSent(msgspec.Struct, frozen=True, kw_only=True):
    """A page as its sender knows it: ``origin`` and ``index`` name its entry; ``root`` in
    hexadecimal, or None where what opens the entry's commitment was erased."""

    agreement: str
    collection: str
    sender: str
    recipient: str
    origin: str
    index: int
    count: int
    root: str | None


def check_receipt(receipt: Receipt, page: PageSent) -> None:
    """Raise unless the receipt is the page's recipient's, and says of the page what is so.

    Not checked: who signed it, nor how many of the objects were new to the recipient.
    """
    between = (receipt.giver, receipt.to)
    if between != (page.recipient, page.sender):
        raise NotAuthorised(
            "receipt.parties",
            f"Expected a receipt of {page.recipient} to {page.sender}, got of {receipt.giver} "
            f"to {receipt.to}.",
        )
    for name, expected, got in (
        ("agreement", page.agreement, receipt.agreement),
        ("collection", page.collection, receipt.collection),
        ("origin", page.origin, receipt.origin),
        ("index", page.index, receipt.index),
        ("count", page.count, receipt.count),
    ):
        if expected != got:
            raise Conflict("receipt.page", f"Expected the page's {name} {expected}, got {got}.")
    if page.root is not None and receipt.root != page.root:
        raise Conflict("receipt.root", "Expected the page's root, got another.")
