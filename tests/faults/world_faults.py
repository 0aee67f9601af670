"""Put faults into a copy of the package, one at a time, and see whether the test named finds each.

First each test named runs against a copy without a fault, and must pass.

    python tests/faults/world_faults.py             # prints the table; fails if one is not found
    python tests/faults/world_faults.py proof gate  # only faults in modules with these words
    python tests/faults/world_faults.py --write     # all, and puts them into the documentation
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/explanation/testing.md"
#: Longer than any of the tests takes without a fault.
TIMEOUT_S = 600
HEADING = "## Seeded faults: the world, proofs and doors"
HAND, BAD, RANDOM = "test_two_parties.py", "test_bad_input.py", "test_histories.py"
STANDING, DECISION, AUTHORITY = "test_standing.py", "test_decision.py", "test_authority.py"
TREE, KEYS, ENVELOPE, SEALED = "test_tree.py", "test_keys.py", "test_envelope.py", "test_sealed.py"
CHECKPOINT, GATE, EXCHANGE = "test_checkpoint.py", "test_gate.py", "test_exchange.py"
OUTCOMES, JSON, STIX = "test_outcomes.py", "test_json.py", "test_stix.py"
BEYOND, FEED, INTAKE = "test_taxii_beyond.py", "test_feed_property.py", "test_intake.py"
SOURCE, SINK, CALLER = "test_source.py", "test_sink.py", "unit/wire/test_http.py"
ORDER, RECALL, PASSED = "test_order.py", "test_recall.py", "test_passed.py"
MARKS, MARKED = "unit/rules/test_markings.py", "unit/gateway/test_markings.py"
DEFINED = "unit/wire/test_markings.py"
PAPERS, OFFICE = "test_papers.py", "test_authority.py"
VERIFY, WITNESS, COURIER = "test_verify.py", "test_witness.py", "test_courier.py"

#: What is wrong; the module; the sound text; the faulty one; the test that is to find it.
FAULTS = [
    ("An order stops nothing at the sender", "rules/decision.py",
     "if order.directive.issuer == sender:", "if order.directive.issuer == 'nobody':", HAND),
    ("An order still stands at its last instant", "rules/standing.py",
     "at_ms < until_ms)", "at_ms <= until_ms)", STANDING),
    ("A superseding order leaves one millisecond between", "rules/standing.py",
     "ended[place] = min(start, ended.get(place, start))",
     "ended[place] = min(start, ended.get(place, start)) - 1", STANDING),
    ("A condition holds safety of life", "rules/decision.py",
     "if exempt and not condition.scope.kind.names(handling.kind):", "if False:", HAND),
    ("An unknown marking is let through", "rules/markings.py",
     "if asked else (_unknown(marking),)", "if asked else ()", DECISION),
    ("Who is named in some units only is given it", "rules/releasability.py",
     'else "some-units"', 'else "yes"', MARKS),
    ("Readers whom a marking tells apart are decided as one", "rules/releasability.py",
     "recipient if recipient in self.parties else None,", "None,", DECISION),
    ("Another's item under originator control is passed on", "rules/markings.py",
     "if originator == ask.sender:", "if True:", MARKS),
    ("A tag of a taxonomy of markings is no marking", "wire/markings.py",
     "for label in one.labels for name", "for label in () for name", MARKED),
    ("A part of a definition that is not known is passed over", "wire/definition.py",
     "        if not is_known or inner.get(", "        if not is_known and inner.get(", DEFINED),
    ("A marking is read by its last definition", "gateway/intake.py",
     "return names.learn(stored).learn(", "return names.learn(", MARKED),
    ("An assurance counts for kinds it does not name", "rules/decision.py",
     "and handling.kind in promise.assurance.kinds", "", HAND),
    ("Two cards of one person count twice", "rules/authority.py",
     "holders = {charter.keys[keyid].holder for keyid in eligible}", "holders = eligible",
     AUTHORITY),
    ("A widening needs no power to resume", "rules/authority.py",
     'if directive.verb != "resume" and widens(directive, standing):', "if False:", AUTHORITY),
    ("A halt follows a halt", "rules/authority.py",
     'max(mine, key=lambda o: o.since_ms).directive.verb == "halt"', "False", AUTHORITY),
    ("The gate cuts no open send", "gateway/gate.py",
     "if send.cleared.shipment.agreement == agreement\n",
     "if send.cleared.shipment.agreement == 'none'\n", HAND),
    ("The gate does not ask the clock", "gateway/gate.py",
     "return self._clock.now_us() >= current.standing.next_ms * 1000", "return False", HAND),
    ("A page without a receipt counts as read", "gateway/deliver.py",
     "complete and not ask.until_received and ask.moves_mark", "complete and ask.moves_mark",
     OUTCOMES),
    ("A page that was cut counts as served", "gateway/outcomes.py",
     'outcome = "served" if end.complete else "cut"', 'outcome = "served"', OUTCOMES),
    ("Known items are taken again", "gateway/sift.py",
     "if not known[place] and place not in out:", "if place not in out:", OUTCOMES),
    ("What is stored is not looked at for conflicts", "gateway/sift.py",
     "other or (not same and (name, mark) in taken)", "other", INTAKE),
    ("The first of several versions is not noted as one", "gateway/sift.py",
     "[seq] if single is None else [single, seq]", "[seq]", INTAKE),
    ("What was decided ahead is used under another standing", "gateway/intern.py",
     "moved = ahead.current is not change.current", "moved = False", INTAKE),
    ("A collection takes any number of handlings", "gateway/intern.py",
     "list(fresh.items())[:room]", "list(fresh.items())", INTAKE),
    ("Nothing expires", "gateway/feeds.py",
     "            if count:\n", "            if False:\n", HAND),
    ("Serials are not compared", "gateway/desk.py",
     "if request.serial <= state.serial:", "if False:", BAD),
    ("An assurance taken back is recorded again", "gateway/order.py",
     "check_new(use, (party, name), self._book.acts(agreement))", "pass", BAD),
    ("An empty answer while something waits for an assurance", "gateway/stopped.py",
     "and kind.id in promise.assurance.kinds", "", HAND),
    ("The epoch begins anew after a crash", "gateway/barrier.py",
     "before = known.epoch if known else await book.store.read(lambda v: int(v.meta(key) or 0))",
     "before = known.epoch if known else 0", HAND),
    ("A partner's objects are not compared with the root", "gateway/exchange.py",
     '        ("root", root.hex(), sheet.root),\n', "", BAD),
    ("A start in the future is answered as in force", "gateway/order.py",
     'return "in-force" if now else "coming" if later else "recorded"', 'return "in-force"', HAND),
    ("An order that the partner gave is not folded", "rules/decision.py",
     "if order.directive.issuer == recipient:", "if False:", RANDOM),
    ("A leaf is hashed like a node", "proof/tree.py",
     'sha256(b"\\0" + entry)', 'sha256(b"\\1" + entry)', TREE),
    ("An inclusion proof may be longer than its path", "proof/tree.py",
     'if sn == 0:\n            raise Invalid("proof.length", "Expected a shorter inclusion',
     'if sn == 0:\n            break\n            raise Invalid("proof.length", "Expected an',
     TREE),
    ("Consistency is shown with the new root alone", "proof/tree.py",
     "if fr != old_root or sr != new_root:", "if sr != new_root:", TREE),
    ("A key of small order is listed", "proof/keys.py",
     "if y in _SMALL_ORDER_Y:", "if y in (0, 1):", KEYS),
    ("A key is listed in a second encoding", "proof/keys.py",
     "if y >= _P:", "if y > _P + 1:", KEYS),
    ("An unknown key id hides a signature", "proof/envelope.py",
     "for key in [hinted] if hinted else by_id.values():",
     "for key in [hinted] if hinted else ():", ENVELOPE),
    ("Stray bits of base64 are read over", "proof/envelope.py",
     "if _b64(data) != standard:", "if False:", ENVELOPE),
    ("A checkpoint of another origin is believed", "proof/checkpoint.py",
     "if checkpoint.origin != vkey.name or vkey.algorithm != ALG_LOG:",
     "if vkey.algorithm != ALG_LOG:", CHECKPOINT),
    ("A size has two decimal forms", "proof/checkpoint.py",
     "return number if str(number) == text and number < 2**53 else None",
     "return number if number < 2**53 else None", CHECKPOINT),
    ("The witness takes the log's word for what it saw last", "proof/checkpoint.py",
     "if request.old != size:", "if request.old > size:", CHECKPOINT),
    ("A commitment takes a shorter salt", "proof/sealed.py",
     "if len(salt) != SALT_BYTES:", "if len(salt) > SALT_BYTES:", SEALED),
    ("The gate clears while it is closing", "gateway/gate.py",
     "            or shipment.agreement in self._closing\n", "", GATE),
    ("The gate does not wait until what it cut is gone", "gateway/gate.py",
     "await asyncio.gather(*(send.breaker.ended() for send in hit))", "await asyncio.sleep(0)",
     GATE),
    ("The epoch may stand still", "gateway/gate.py",
     "current.epoch <= known.epoch", "current.epoch < known.epoch", GATE),
    ("The gate clears at the instant at which the standing changes", "gateway/gate.py",
     "return self._clock.now_us() >= current.standing.next_ms * 1000",
     "return self._clock.now_us() > current.standing.next_ms * 1000", GATE),
    ("A gate that is shut clears again", "gateway/gate.py",
     "        if self._shut is not None:\n            raise self._shut\n", "", GATE),
    ("A page that was released to another is taken", "gateway/exchange.py",
     '        ("recipient", asked.own, sheet.recipient),\n', "", EXCHANGE),
    ("An earlier page is taken again", "gateway/exchange.py",
     "if sheet.from_us <= asked.after_us or", "if", EXCHANGE),
    ("An earlier answer with acts is taken again", "gateway/exchange.py",
     "if sheet.index <= last:", "if False:", EXCHANGE),
    ("A page counts at another place than the proved one", "gateway/exchange.py",
     "if proved != index:", "if False:", EXCHANGE),
    ("A key that stands twice is read", "wire/json.py", "    if not plain:\n", "    if False:\n",
     JSON),
    ("An id of another type is taken", "wire/stix.py",
     'if stix_id.rpartition("--")[0] != kind:', "if False:", STIX),
    ("A second list of objects is passed over", "wire/stix.py",
     "if len(load_object(rest)) != len(fields):", "if False:", STIX),
    ("One object too many is cut", "wire/stix.py",
     "if len(raws) > limits.objects_max:", "if len(raws) > limits.objects_max + 1:", STIX),
    ("A new charter does without the old root", "rules/authority.py",
     "for root in (charter, before) if before else (charter,):", "for root in (charter,):",
     AUTHORITY),
    ("A key is listed under another's id", "rules/authority.py",
     "if public.keyid != keyid:", "if False:", AUTHORITY),
    ("A root threshold counts keys, not holders", "rules/authority.py",
     "holders = {root.keys[keyid].holder for keyid in signed & set(root.root.keys)}",
     "holders = signed & set(root.root.keys)", AUTHORITY),
    ("A quorum needs nobody in particular", "rules/authority.py",
     "return self.have >= self.need and not self.missing_offices",
     "return self.have >= self.need", AUTHORITY),
    ("An order to come stands already", "rules/standing.py",
     "return since_ms <= at_ms and (", "return (", STANDING),
    ("An assurance taken back goes on", "rules/standing.py",
     "until, withdrawn.get((act.assurance.giver, act.assurance.id), until)", "until, until",
     STANDING),
    ("An older agreement takes the place of the newer", "rules/standing.py",
     "(one.agreement.from_ms <= at_ms, one.agreement.version)",
     "(one.agreement.from_ms <= at_ms, -one.agreement.version)", STANDING),
    ("A recalled object is read on", "gateway/gather.py",
     "left = sorted({*left, *gone})", "left = sorted(left)", BEYOND),
    ("A newer version that is held hides the older one", "gateway/versions.py",
     "if block is None or not self._reads(", "if block is None or False and not self._reads(",
     BEYOND),
    ("A manifest counts as given", "gateway/gather.py",
     'return self.what == "objects" and not self.ids and passes', "return not self.ids and passes",
     BEYOND),
    ("A version that was passed over stands on the page", "gateway/gather.py",
     "if found and (self._single or self._skipped):", "if found and self._single:", BEYOND),
    ("A waiting reader misses what came while it looked", "gateway/bell.py",
     "if self.heard(agreement, collection) != since:", "if False:", "test_bell.py"),
    ("A receipt that does not fit ends the whole request", "gateway/desk.py",
     "error.sentence[:500]))", "error.sentence[:500])); break", EXCHANGE),
    ("A partner that fails now has refused the receipts", "gateway/desk.py",
     "except (Invalid, NotAuthorised, Missing, Conflict) as error:",
     "except Exception as error:", EXCHANGE),
    ("A receipt of another agreement's page counts", "gateway/desk.py",
     "if receipt.origin != me.log_of(receipt.agreement):", "if False:", EXCHANGE),
    ("A receipt that was refused is brought for ever", "gateway/exchange.py",
     "numbers = [number for number, _ in sent]", "numbers: list[int] = []",
     EXCHANGE),
    ("A partner may answer with acts for ever", "gateway/exchange.py",
     "for _ in range(ACT_PAGES_MAX):", "while True:", EXCHANGE),
    ("A source's place is kept apart from the page's items", "gateway/source.py",
     "await self._intake.publish(publication, keep)",
     "await self._intake.publish(publication); "
     "await self._parts.book.store.write(lambda tx: keep(tx, None))", SOURCE),
    ("A source's round begins behind a page in the middle", "gateway/source.py",
     "            next=envelope.next,", "            next=envelope.next, after=reached,", SOURCE),
    ("A server that leads in circles is followed", "gateway/source.py",
     "        or digest == state.digest\n", "", SOURCE),
    ("A server may silence a link for good", "gateway/link.py",
     "min(asked_ms, RETRY_AFTER_MS_MAX)", "asked_ms", SOURCE),
    ("Slow sources take the sinks' room", "node.py",
     "self.at_work_max - len(tasks)",
     "self.at_work_max - sum(map(len, self._tasks.values()))", SOURCE),
    ("A sink's send is not in the gate's register", "gateway/link.py",
     "self.entry = self._gate.open(self._cleared, breaker)", "pass", SINK),
    ("A send that an order was told is cut counts as whole", "gateway/link.py",
     "        if not whole:\n", "        if False:\n", SINK),
    ("A sink's mark moves while the server is at work", "gateway/sink.py",
     "        if not status.complete:", "        if False:", SINK),
    ("What a server took during a stop is sent again after it", "gateway/sink.py",
     "self._accepted(tx, pending.log, pending.index)",
     "tx.end_page(pending.log, pending.index, 'served')", SINK),
    ("The pin of a server's key is not compared", "wire/http.py",
     "if not hmac.compare_digest(found, target.pin):", "if False:", CALLER),
    ("A name that leads to another machine gets plain HTTP", "wire/http.py",
     "    if not place.tls and not target.insecure_http:\n        # ",
     "    if False:\n        # ", CALLER),
    ("Unpacking has no bound", "wire/http.py",
     "unpack.decompress(bytes(talk.body), bytes_max + 1)",
     "unpack.decompress(bytes(talk.body))", CALLER),
    ("A party left out of an agreement reads on", "gateway/deliver.py",
     "or not has_feed(terms, own, ask.collection, ask.party)", "", ORDER),
    ("The feed of a party left out stays as it was", "gateway/feeds.py",
     "places = dict.fromkeys((*named, *stored))", "places = dict.fromkeys(named)", ORDER),
    ("What is kept back too long waits for the clock", "gateway/feeds.py",
     "feed, new = shelf.expired(feed)", "new: tuple[tuple[str, int], ...] = ()", ORDER),
    ("A node begins behind its own record", "node.py",
     "clock, now_us = RunningClock(latest), RunningClock().now_us()",
     "clock, now_us = RunningClock(), RunningClock().now_us()", ORDER),
    ("An order without an end is ended by any other", "rules/widening.py",
     "(until_ms is None or end_ms < until_ms)", "until_ms is not None and end_ms < until_ms",
     AUTHORITY),
    ("An order for one way out is taken", "rules/authority.py",
     "if scope.act != ANY:", "if False:", AUTHORITY),
    ("An order for one way out leaves the others open", "rules/standing.py",
     "stops=tuple(replace(box, act=ANY) for box in stops_of(directive)),",
     "stops=stops_of(directive),", DECISION),
    ("The barrier waits for the store before it closes", "gateway/barrier.py",
     "before = known.epoch if known else await", "before = await", ORDER),
    ("What an order covers is not known, and goes on", "gateway/barrier.py",
     "await gate.cut(agreement, lambda _: True)", "pass", ORDER),
    ("An act that was written all the same is not looked for", "gateway/barrier.py",
     "                if self.unsure:", "                if False:", ORDER),
    ("Who goes away breaks an order off", "gateway/barrier.py",
     "return await asyncio.shield(task)", "return await task", ORDER),
    ("A new charter closes its agreements", "gateway/order.py",
     "for agreement in paper.agreements for cut in",
     "for agreement in paper.agreements if paper.use != 'charter' for cut in", ORDER),
    ("A partner's act counts by when its papers came here", "rules/acts.py",
     "for charters_ms in (known_ms, at_ms):", "for charters_ms in (at_ms,):", ORDER),
    ("A partner's act counts under the newest agreement only", "rules/standing.py",
     "if act.digest == agreement_digest] or versions", "if False] or versions", ORDER),
    ("What did not count is never asked for again", "gateway/exchange.py",
     "if state.refused and state.papers != papers:", "if False:", ORDER),
    ("An act that does not count holds up those behind it", "gateway/desk.py",
     "except (NotAuthorised, Invalid, Conflict) as error:", "except () as error:", ORDER),
    ("Pages are fetched though no receipt is taken", "gateway/exchange.py",
     "if await self._waiting(row) >= RECEIPTS_WAITING_MAX:", "if False:", EXCHANGE),
    ("An outcome added during a write waits for the next", "gateway/outcomes.py",
     "        while self._waiting:\n            await asyncio",
     "        if self._waiting:\n            await asyncio", OUTCOMES),
    ("A page gathered before a recall leaves after it", "gateway/gate.py",
     "return shipment.recalls < self._recalls.get(shipment.collection, 0)", "return False", RECALL),
    ("A page is recorded behind a recall that it does not know", "gateway/deliver.py",
     "!= intent.gathered.recalls:", "== -1:", RECALL),
    ("A send goes on though its object was taken back", "gateway/gate.py",
     "            return not send.cut", "            return True", RECALL),
    ("What was taken back waits among the held", "gateway/ask.py",
     "if not view.recalled(key, seq, seq + 1):", "if True:", RECALL),
    ("What was taken back expires as well", "gateway/feeds.py",
     "return found and found - view.count_recalled(key, one.handling, one.a, one.b)",
     "return found", RECALL),
    ("What was taken back is reviewed", "gateway/review.py",
     " or tx.recalled(key, seq, seq + 1)", "", RECALL),
    ("A version passed over is forgotten", "gateway/deliver.py",
     "passed=gathered.passed if moves else (),", "passed=(),", PASSED),
    ("A version passed over is given beside the newer", "gateway/passed.py",
     'return "waits" if last != -1 and _queued(view, key, feed, last) else "done"',
     'return "again"', PASSED),
    ("A version that its reader has is given again", "gateway/passed.py",
     'if outcomes & {"received", "served"}:', "if False:", PASSED),
    ("Readers are alike though an order speaks of one of them", "rules/decision.py",
     "tuple(box.party.has(recipient) for box in order.stops),", "", DECISION),
    ("Readers are alike though one has given an assurance", "rules/decision.py",
     "(one.assurance.giver == recipient, one.assurance.holder == recipient)", "()", DECISION),
    ("A partner's order of the same name ends one's own", "rules/standing.py",
     "start, place = since[effect.digest], (effect.directive.issuer, old)",
     "start, place = since[effect.digest], ('B', old)", PAPERS),
    ("A withdrawal ends others' assurances too", "rules/standing.py",
     "place = (act.withdrawal.giver, act.withdrawal.assurance)",
     "place = ('W', act.withdrawal.assurance)", PAPERS),
    ("A newer version displaces the older before its term", "rules/standing.py",
     "key=lambda one: (one.agreement.from_ms <= at_ms, one.agreement.version),",
     "key=lambda one: one.agreement.version,", PAPERS),
    ("What is exempt counts as stopped without its name", "rules/widening.py",
     "        if not free:\n", "        if True:\n", AUTHORITY),
    ("A resumption may speak of a part and open the whole", "rules/authority.py",
     'if directive.verb in ("condition", "resume"):', "if False:", PAPERS),
    ("A version gives itself the powers that it needs", "rules/authority.py",
     '_check_power(current, charter, "agree", keyids)', "pass", PAPERS),
    ("A version that exempts kinds opens what orders stop", "rules/authority.py",
     '_check_power(current, charter, "resume", keyids)', "pass", PAPERS),
    ("An old version gets round the newer", "rules/acts.py",
     "if standing.agreement_in_force:", "if False:", PAPERS),
    ("An act of a name that is known is taken again", "rules/acts.py",
     "check_new(use, found, acts)", "pass", PAPERS),
    ("Any charter will do for an agreement", "gateway/order.py",
     "        check_pins(agreement, {", "        (lambda *_: None)(agreement, {", PAPERS),
    ("Who has left is served still", "gateway/desk.py",
     "self._check_member(request)", "pass", PAPERS),
    ("A node takes in what its own order keeps out", "gateway/exchange.py",
     "if reason.source in mine:", "if False:", PAPERS),
    ("One agreement that fails keeps the clock from all", "gateway/barrier.py",
     "errors.append(error)", "raise", PAPERS),
    ("An act is shown as any office's", "rules/authority.py",
     "or not keyids & set(office.keys)", "", OFFICE),
    ("A page that is open counts as having given", "gateway/passed.py",
     'return "waits" if "open" in outcomes else "again"', 'return "done"', PASSED),
    ("What is offered again may be stopped", "rules/feed.py",
     "    if not readable(feed, handling, seq):\n", "    if False:\n", FEED),
    ("A copy's own acts need no power", "gateway/replay.py",
     "tried(where, checks.get(use, lambda: self._check_own(entry, envelope, use)))",
     "tried(where, checks.get(use, lambda: None))", VERIFY),
    ("A copy's partners' acts need no power", "gateway/replay.py",
     "tried(where, lambda: self._check_peer(entry, envelope, use))", "pass", VERIFY),
    ("A copy's acts may be those of other documents", "gateway/replay.py",
     "if said != (party, name, entry.act == \"peer.act\"):", "if False:", VERIFY),
    ("A copy's charters follow from nothing", "gateway/replay.py",
     "check_charter(envelope, before, exercise=exercise)", "pass", VERIFY),
    ("A copy's charters count without the node's ledger", "gateway/verify.py",
     "for name in sorted(found.keys() - checker.charters.keys()):", "for name in ():", VERIFY),
    ("A copy's agreements need no signatures", "gateway/replay.py",
     "agreement = check_agreement(\n            envelope, self._newest, self._at(entry.at), "
     "exercise=self._copied.index.exercise\n        )",
     "agreement = decode(envelope.payload, Agreement)", VERIFY),
    ("A copy's receipts are not compared with their pages", "gateway/replay.py",
     "check_receipt(receipt, sent)", "pass", VERIFY),
    ("A copy's receipts may be anybody's", "gateway/replay.py",
     "& node_keys(self._charter(receipt.giver)):", ":", VERIFY),
    ("A copy's receipts may name another root", "gateway/replay.py",
     "_check_root(page.commitment, salt, receipt.root)", "pass", VERIFY),
    ("A partner's act is where a copy says", "gateway/replay.py",
     "            if expected != got:", "            if False:", VERIFY),
    ("A partner's proof is signed by anybody", "gateway/replay.py",
     "check_proof(proof, raw, vkey)", "pass", VERIFY),
    ("A copy's times may go back", "gateway/replay.py",
     "if entry.at < before:", "if False:", VERIFY),
    ("An act is entered for an instant that has passed", "gateway/order.py",
     "if paper.at_ms is not None and paper.at_ms >= newest:", "if paper.at_ms is not None:",
     VERIFY),
    ("An act that has waited is not checked anew", "gateway/order.py",
     "        check_act(paper.use, paper.envelope,", "        (lambda *_, **__: 0)(paper.use,",
     ORDER),
    ("Strangers' signatures are recorded", "gateway/order.py",
     "envelope = only_signed_by(paper.envelope, keys.values())", "envelope = paper.envelope",
     VERIFY),
    ("A receipt is recorded as it was written", "gateway/desk.py",
     "envelope=only_signed_by(envelope, keys_of(charter).values()).encode(),",
     "envelope=text if charter else b'',", VERIFY),
    ("All lines of a witness's answer are recorded", "gateway/witness.py",
     "*named[:1]))", "*lines))", WITNESS),
    ("A witness that knows another size is asked no more", "gateway/witness.py",
     "return await self._ask(address, party, log, vkey, other.size)", "return None", WITNESS),
    ("A witness is asked for growth from what it has not got", "gateway/witness.py",
     "or request.old != old:", "or False:", WITNESS),
    ("Every request to cosign folds every agreement", "gateway/witness.py",
     "if self._papers != self._book.papers:", "if True:", WITNESS),
    ("A witness goes on by an older charter", "gateway/witness.py",
     "if self._papers != self._book.papers:", "if self._papers < 0:", WITNESS),
    ("A deep answer of a partner is nobody's fault", "wire/courier.py",
     "(ValueError, KeyError, TypeError, RecursionError)", "(ValueError, KeyError, TypeError)",
     COURIER),
    ("Any answer of 409 names a size", "wire/courier.py",
     "status == 409 and media == SIZE_MEDIA and", "status == 409 and", COURIER),
    ("One partner's answer ends the exchange with all", "gateway/exchange.py",
     "self.sync(row.party, row.agreement), return_exceptions=True",
     "self.sync(row.party, row.agreement)", EXCHANGE),
    ("The loops of a node end with what nobody foresaw", "node.py",
     "    except Exception as error:  # else nothing", "    except () as error:  # else nothing",
     EXCHANGE),
    ("Two givers may not use one name for an assurance", "rules/acts.py",
     'else ("assurance", act.assurance.giver, act.assurance.id)',
     'else ("assurance", named[0], act.assurance.id)', PAPERS),
    ("Who joins by the clock is not cosigned", "gateway/witness.py",
     "(standing.agreement, standing.newest)", "(standing.agreement,)", PAPERS),
    ("What is broken is told as what is passing", "gateway/barrier.py",
     "raise next((one for one in errors if isinstance(one, Broken)), errors[0])",
     "raise errors[0]", PAPERS),
    ("The door tells whose charters are known", "gateway/desk.py",
     "self._partners.check_sender(", "self._partners.check_node_key(", EXCHANGE),
    ("A copy's strangers' signatures count as its faults", "gateway/verify.py",
     "            checker.strangers += 1\n",
     "            checker.fault(place, 'record.signature', 'Expected none.')\n", VERIFY),
    ("A copy's documents may be signed by strangers alone", "gateway/verify.py",
     "    if not holding:\n", "    if not envelope.signatures:\n", VERIFY),
    ("A copy's standings are not compared", "gateway/replay.py",
     "            self._check_standing(entry)", "            pass", VERIFY),
    ("A copy's standings are compared with one instant only", "gateway/replay.py",
     "while at_ms is not None and at_ms <= entry.at:", "while False:", VERIFY),
    ("A copy's anchors are not compared", "gateway/verify.py",
     "elif base64.b64encode(root).decode() != saw.root:", "elif False:", VERIFY),
    ("A copy may leave out a ledger that was anchored", "gateway/verify.py",
     "        if root is None:\n", "        if saw.origin not in roots:\n            continue\n"
     "        if root is None:\n", VERIFY),
    ("What stands before an anchor may be later than it", "gateway/verify.py",
     "elif saw.size and held[saw.origin].times[saw.size - 1] > at_ms:", "elif False:", VERIFY),
    ("A copy may leave out a new charter under an agreement", "gateway/replay.py",
     "if known > here.version:", "if False:", VERIFY),
    ("A copy's pages stand under the last standing folded", "gateway/replay.py",
     "        self._standing = None\n        if isinstance(act, CharterSet):",
     "        if isinstance(act, CharterSet):", VERIFY),
]  # fmt: skip


def found(fault: tuple[str, str, str, str, str]) -> bool:
    """Run the test against a copy with the fault; True if it fails, False if it passes."""
    _, module, sound, faulty, test = fault
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / "src"
        shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
        path = copy / "detente" / module
        text = path.read_text()
        if text.count(sound) < 1:
            raise SystemExit(f"{module}: expected {sound!r}, got none")
        path.write_text(text.replace(sound, faulty))
        (place,) = (ROOT / "tests").rglob(test)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", str(place)]
        env = {**os.environ, "PYTHONPATH": f"{copy}:{ROOT}", "HYPOTHESIS_STORAGE_DIRECTORY": made}
        try:
            run = subprocess.run(
                command, cwd=made, env=env, capture_output=True, check=False, timeout=TIMEOUT_S
            )  # its code is the answer
        except subprocess.TimeoutExpired:
            return True  # a test that never ends is no test that passes
        if run.returncode not in (0, 1):
            raise SystemExit(f"{test} did not run: {run.stdout.decode()}{run.stderr.decode()}")
        return run.returncode == 1


def main() -> int:
    """Print the table; the number of faults nobody found."""
    words = [word for word in sys.argv[1:] if word != "--write"]
    chosen = [f for f in FAULTS if not words or any(word in f[1] for word in words)]
    sound = [("none", "errors.py", "import", "import", test) for test in {f[4] for f in chosen}]
    with ThreadPoolExecutor(2) as pool:
        failing = [f[4] for f, seen in zip(sound, pool.map(found, sound), strict=True) if seen]
        if failing:
            raise SystemExit(f"Expected tests to pass without a fault; these fail: {failing}")
        rows, missed = ["| fault | test | result |", "|---|---|---|"], 0
        for fault, seen in zip(chosen, pool.map(found, chosen), strict=True):
            rows.append(f"| {fault[0]} | `{fault[4]}` | {'finds it' if seen else 'MISSES IT'} |")
            missed += not seen
            print(rows[-1], flush=True)
    if "--write" in sys.argv[1:]:
        if words:
            raise SystemExit("Expected to write the whole table, got words to choose from it.")
        text = DOCUMENT.read_text()
        section = re.compile(rf"({re.escape(HEADING)}\n.*?)\|.*?(?=\n\n|\Z)", re.DOTALL)
        DOCUMENT.write_text(section.sub(lambda m: m[1] + "\n".join(rows), text).rstrip() + "\n")
    return missed


if __name__ == "__main__":
    sys.exit(main())
