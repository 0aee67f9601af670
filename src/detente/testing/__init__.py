"""Testing: a simulated world of partners, for tests of Detente and of programs around it.

``World`` runs the real services of two parties' nodes in one process, over real stores in a given
folder, with a clock that is set and a courier that can fail; a third party reads as a TAXII client
does. ``check`` looks at the whole world after a step. It does not use the rules it checks: as the
world acts it writes down, in rows of its own, what was acknowledged, ordered, promised, given and
got, and compares these with what the nodes say and hold.

Not simulated: sockets, HTTP and time-outs, and a process that dies inside a commit (the store has
tests of its own for that). A crash here abandons a node and reopens a copy of its files.
"""

from __future__ import annotations

from detente.testing.checker import check
from detente.testing.world import World

__all__ = ["World", "check"]
