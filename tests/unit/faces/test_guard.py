"""Who a client is, over real HTTP and real TLS; what a credential opens, and for how long."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import json
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from detente.errors import Conflict, Invalid
from detente.faces.guard import ClientTerms
from tests.unit.faces.kit import COLLECTION, INWARD, MEDIA, Site, answer_of, compact, item, play

OUT = f"/taxii2/T1/collections/{COLLECTION}/objects/"
INTO = f"/taxii2/T1/collections/{INWARD}/objects/"
SECOND = 1_000_000


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


async def ask(
    client: httpx.AsyncClient, header: str | None, path: str = "/taxii2/"
) -> tuple[int, str]:
    """Status and code of a read with this header."""
    headers = {} if header is None else {"authorization": header}
    answer = await client.get(path, headers=headers)
    return answer.status_code, answer_of(answer).get("error_code", "")


async def pass_time(site: Site, seconds: float) -> None:
    clock: Any = site.node.clock
    await clock.set_us(clock.now_us() + int(seconds * SECOND))


class CountingHasher:
    """Argon2, and how often it was asked."""

    def __init__(self) -> None:
        self.count = 0
        self._real = PasswordHasher()
        self.hash = self._real.hash

    def verify(self, stored: str, password: str) -> bool:
        self.count += 1
        return self._real.verify(stored, password)


def count_checks(site: Site) -> CountingHasher:
    counting: Any = CountingHasher()
    site.node.guard._hasher = counting
    return counting


# --- tokens --------------------------------------------------------------------------------------


def test_token_opens_in_every_case_of_its_scheme_until_it_is_removed(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        token = await site.node.guard.add(ClientTerms(name="bot.1", party="K", kind="token"))
        assert token.startswith("bot.1.")
        async with site.client(None) as client:
            for scheme in ("Bearer", "bearer", "BEARER"):
                assert await ask(client, f"{scheme} {token}") == (200, "")
            name, _, secret = token.rpartition(".")
            for wrong in (
                f"Bearer {token}x", f"Bearer {token[:-1]}", f"Bearer k.{secret}", "Bearer x.y",
                f"Bearer {secret}", f"Bearer {name}.", f"Bearer .{secret}",
                basic(name, secret), basic(name, token), f"Bearer k.{site.passwords['K']}",
            ):  # fmt: skip
                assert await ask(client, wrong) == (401, "auth.wrong"), wrong
            assert await ask(client, f"Bearer {token}") == (200, "")
            await site.node.guard.remove_client("bot.1")
            await pass_time(site, 10)  # its wrong guesses from above are over
            assert await ask(client, f"Bearer {token}") == (401, "auth.wrong")

    play(tmp_path, story)


@pytest.mark.parametrize("kind", ["password", "token"])
def test_credential_ends_at_its_time_even_if_it_was_just_right(tmp_path: Path, kind: str) -> None:
    async def story(site: Site) -> None:
        now_ms = site.node.clock.now_us() // 1000
        terms = ClientTerms(name="brief", party="K", kind=kind, expires_ms=now_ms + 600_000)
        told = await site.node.guard.add(terms)
        header = basic("brief", told) if kind == "password" else f"Bearer {told}"
        async with site.client(None) as client:
            await pass_time(site, 500)
            assert await ask(client, header) == (200, "")
            await pass_time(site, 100)
            assert await ask(client, header) == (401, "auth.wrong")

    play(tmp_path, story)


def test_credential_for_one_collection_sees_no_other(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.publish(item(1))
        terms = ClientTerms(name="some", party="K", kind="token", collections=("T1/out",))
        nowhere = ClientTerms(name="none", party="K", kind="token", collections=("T9/out",))
        some = {"authorization": "Bearer " + await site.node.guard.add(terms)}
        none = {"authorization": "Bearer " + await site.node.guard.add(nowhere)}
        async with site.client(None) as client:
            listed = answer_of(await client.get("/taxii2/T1/collections/", headers=some))
            assert [one["id"] for one in listed["collections"]] == [COLLECTION]
            assert (await client.get(OUT, headers=some)).status_code == 200
            body = compact({"objects": [item(2)]})
            for path in (INTO, INTO.removesuffix("objects/")):
                assert (await client.get(path, headers=some)).status_code == 404
            sent = await client.post(INTO, content=body, headers={**some, "content-type": MEDIA})
            assert (sent.status_code, answer_of(sent)["error_code"]) == (404, "collection.unknown")
            assert "api_roots" not in answer_of(await client.get("/taxii2/", headers=none))
            assert (await client.get("/taxii2/T1/", headers=none)).status_code == 404

    play(tmp_path, story)


@pytest.mark.parametrize(("rights", "reads", "writes"), [("read", 200, 403), ("write", 403, 202)])
def test_credential_to_read_or_to_write_does_only_that(
    tmp_path: Path, rights: str, reads: int, writes: int
) -> None:
    async def story(site: Site) -> None:
        token = await site.node.guard.add(
            ClientTerms(name="half", party="K", kind="token", rights=rights)
        )
        mine = {"authorization": f"Bearer {token}"}
        body = compact({"objects": [item(2)]})
        async with site.client(None) as client:
            listed = answer_of(await client.get("/taxii2/T1/collections/", headers=mine))
            told = [(one["can_read"], one["can_write"]) for one in listed["collections"]]
            assert told == [(reads == 200, False), (False, writes == 202)]
            for what in (OUT, OUT.replace("objects", "manifest"), OUT + item(1)["id"] + "/"):
                answer = await client.get(what, headers=mine)
                assert answer.status_code in (reads, 404 if reads == 200 else 403)
            sent = await client.post(INTO, content=body, headers={**mine, "content-type": MEDIA})
            assert sent.status_code == writes
            gone = await client.delete(INTO + item(2)["id"] + "/", headers=mine)
            assert gone.status_code == 403

    play(tmp_path, story)


# --- certificates --------------------------------------------------------------------------------


class Authority:
    """Issues certificates."""

    def __init__(self, name: str) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed(self.name, self.key, authority=True)

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool
    ) -> x509.Certificate:
        begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = x509.CertificateBuilder(
            issuer_name=self.name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=begin,
            not_valid_after=begin + datetime.timedelta(days=36500),
        )
        builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, place: Path, name: str) -> tuple[Path, Path]:
        """Files of a new certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        files = place / f"{name}.pem", place / f"{name}.key"
        files[0].write_bytes(pem(self._signed(subject, key, authority=False)))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def over_tls(site: Site, trusted: Path, shown: tuple[Path, Path] | None) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=str(trusted))
    if shown is not None:
        context.load_cert_chain(*map(str, shown))
    return httpx.AsyncClient(
        base_url=site.address, verify=context, headers={"accept": MEDIA}, trust_env=False
    )


def tls_site(place: Path, story: Callable[[Site, Path, Authority], Awaitable[None]]) -> None:
    """A node that speaks TLS and takes certificates of an authority."""
    authority = Authority("authority")
    trusted = place / "authority.pem"
    trusted.write_bytes(pem(authority.certificate))
    certificate, key = authority.issue(place, "node")

    async def run(site: Site) -> None:
        assert site.address.startswith("https://")
        await story(site, trusted, authority)

    play(
        place,
        run,
        tls_certificate=str(certificate),
        tls_key=str(key),
        tls_client_ca=str(trusted),
    )


def test_certificate_opens_if_it_is_known_and_until_it_is_removed(tmp_path: Path) -> None:
    async def story(site: Site, trusted: Path, authority: Authority) -> None:
        known, unknown = (authority.issue(tmp_path, name) for name in ("known", "unknown"))
        terms = ClientTerms(
            name="cert", party="K", kind="certificate", certificate=known[0].read_text()
        )
        await site.node.guard.add(terms)
        async with over_tls(site, trusted, known) as client:
            assert await ask(client, None) == (200, "")
            # A header, where there is one, is what counts.
            assert await ask(client, "Bearer x.y") == (401, "auth.wrong")
            assert await ask(client, basic("cert", "x")) == (401, "auth.wrong")
            with pytest.raises(Conflict, match="certificate of no other client"):
                await site.node.guard.add(
                    ClientTerms(
                        name="other", party="A", kind="certificate",
                        certificate=known[0].read_text(),
                    )
                )  # fmt: skip
            await site.node.guard.remove_client("cert")
            assert await ask(client, None) == (401, "auth.wrong")
            # The same certificate under another name: what was removed does not stand before it.
            again = ClientTerms(
                name="aaa", party="L", kind="certificate", certificate=known[0].read_text()
            )
            await site.node.guard.add(again)
            assert await ask(client, None) == (200, "")
            assert await ask(client, None, "/taxii2/T1/") == (404, "root.unknown")  # it is L now
        async with over_tls(site, trusted, unknown) as client:
            assert await ask(client, None) == (401, "auth.wrong")
        async with over_tls(site, trusted, None) as client:
            assert await ask(client, None) == (401, "auth.missing")
            assert await ask(client, basic("k", site.passwords["K"])) == (200, "")

    tls_site(tmp_path, story)


def test_certificate_of_a_strange_authority_and_plain_http_get_nowhere(tmp_path: Path) -> None:
    async def story(site: Site, trusted: Path, authority: Authority) -> None:
        strange = Authority("authority").issue(tmp_path, "strange")
        terms = ClientTerms(
            name="cert", party="K", kind="certificate", certificate=strange[0].read_text()
        )
        await site.node.guard.add(terms)
        async with over_tls(site, trusted, strange) as client:
            # With TLS 1.3 the refusal comes with the first read.
            with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
                await client.get("/taxii2/")
        async with httpx.AsyncClient(trust_env=False) as plain:
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                await plain.get(site.address.replace("https", "http") + "/taxii2/")

    tls_site(tmp_path, story)


@pytest.mark.parametrize(
    "text",
    ["", "x", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----", "é" * 1000],
)
def test_certificate_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    async def story(site: Site) -> None:
        with pytest.raises(Invalid) as caught:
            await site.node.guard.add(
                ClientTerms(name="c", party="K", kind="certificate", certificate=text)
            )
        assert caught.value.code == "client.certificate"

    play(tmp_path, story)


# --- rates and guesses ---------------------------------------------------------------------------


def test_each_credential_has_its_own_rate(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        slow = ClientTerms(name="slow", party="K", kind="token", per_minute=1)
        other = ClientTerms(name="other", party="K", kind="token", per_minute=1)
        first = "Bearer " + await site.node.guard.add(slow)
        second = "Bearer " + await site.node.guard.add(other)
        async with site.client(None) as client:
            assert await ask(client, first) == (200, "")
            refused = await client.get(OUT, headers={"authorization": first})
            assert (refused.status_code, answer_of(refused)["error_code"]) == (429, "http.rate")
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert await ask(client, second) == (200, "")
            await pass_time(site, int(refused.headers["retry-after"]))
            assert await ask(client, first) == (200, "")

    play(tmp_path, story)


def test_who_guesses_is_heard_less_and_less_and_nobody_else_suffers(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        checks = count_checks(site)
        right = basic("k", site.passwords["K"])
        async with site.client(None) as client:
            assert await ask(client, right) == (200, "")
            for _ in range(5):
                assert await ask(client, basic("k", "wrong")) == (401, "auth.wrong")
            before = checks.count
            for wait in (1, 2, 4):
                refused = await client.get("/taxii2/", headers={"authorization": basic("k", "x")})
                assert (refused.status_code, refused.headers["retry-after"]) == (429, str(wait))
                assert answer_of(refused)["error_code"] == "http.rate"
                # The client whose password was just right goes on; another name is heard.
                assert await ask(client, right) == (200, "")
                await pass_time(site, wait)
                assert await ask(client, basic("k", "wrong")) == (401, "auth.wrong")
            assert checks.count == before + 3
            assert await ask(client, basic("a", site.passwords["A"])) == (200, "")
            # Not remembered any more, the right password waits as all do, and then is heard.
            site.node.guard._seen.clear()
            assert await ask(client, right) == (429, "http.rate")
            await pass_time(site, 8)
            assert await ask(client, right) == (200, "")
            assert await ask(client, basic("k", "wrong")) == (401, "auth.wrong")

    play(tmp_path, story)


def test_many_guesses_at_once_are_no_more_than_a_few(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        checks = count_checks(site)
        async with site.client(None) as client:
            found = await asyncio.gather(
                *(ask(client, basic("k", f"wrong {number}")) for number in range(40))
            )
        # Five are free; two are checked at a time, so one more may have begun.
        assert checks.count <= 6
        assert {status for status, _ in found} == {401, 429}

    play(tmp_path, story)


def test_unknown_name_costs_what_a_wrong_password_costs(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        checks, reads = count_checks(site), 0
        store: Any = site.node.guard._store

        class Counting:
            async def read(self, work: Any) -> Any:
                nonlocal reads
                reads += 1
                return await store.read(work)

            async def write(self, work: Any) -> Any:
                return await store.write(work)

        counting: Any = Counting()
        site.node.guard._store = counting
        token = await site.node.guard.add(ClientTerms(name="bot", party="K", kind="token"))
        gone = ClientTerms(name="gone", party="K")
        await site.node.guard.add(gone)
        await site.node.guard.remove_client("gone")
        async with site.client(None) as client:
            # Known by now, and in memory.
            assert await ask(client, basic("k", site.passwords["K"])) == (200, "")
            assert await ask(client, f"Bearer {token}") == (200, "")
            costs = []
            for header in (
                basic("k", "x"), basic("nobody", "x"), basic("gone", "x"), basic("bot", "x"),
                "Bearer bot.x", "Bearer nobody.x", "Bearer k.x",
            ):  # fmt: skip
                checks.count, reads = 0, 0
                assert await ask(client, header) == (401, "auth.wrong")
                costs.append((checks.count, reads))
        assert costs == [(1, 1)] * 4 + [(0, 1)] * 3

    play(tmp_path, story)


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_endless_names_are_not_kept(tmp_path: Path, scheme: str) -> None:
    async def story(site: Site) -> None:
        name = "n" * 8000
        header = basic(name, "x") if scheme == "Basic" else f"Bearer {name}.x"
        forwarded = {"authorization": f"{scheme} " + "eDp5", "x-forwarded-for": "f" * 8000}
        async with site.client(None) as client:
            assert await ask(client, header) == (401, "auth.missing")
            assert not site.node.guard._guesses._wrong
            assert (await client.get("/taxii2/", headers=forwarded)).status_code == 401
        for address, kept in site.node.guard._guesses._wrong:
            assert len(address) + len(kept) < 200

    play(tmp_path, story)


def test_credential_removed_while_it_is_looked_up_does_not_live_on(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        token = await site.node.guard.add(ClientTerms(name="bot", party="K", kind="token"))
        store: Any = site.node.guard._store
        has_read, may_go = asyncio.Event(), asyncio.Event()

        class Late:
            """What is read is handed on late: a change comes in between."""

            async def read(self, work: Any) -> Any:
                found = await store.read(work)
                if not has_read.is_set():
                    has_read.set()
                    await may_go.wait()
                return found

            async def write(self, work: Any) -> Any:
                return await store.write(work)

        late: Any = Late()
        site.node.guard._store = late
        async with site.client(None) as client:
            first = asyncio.create_task(ask(client, f"Bearer {token}"))
            await has_read.wait()
            await site.node.guard.remove_client("bot")
            may_go.set()
            await first
            assert await ask(client, f"Bearer {token}") == (401, "auth.wrong")

    play(tmp_path, story)


# --- secrets stay --------------------------------------------------------------------------------


def test_secrets_stand_in_no_log_no_answer_and_no_list(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="uvicorn.error")

    async def story(site: Site) -> list[str]:
        token = await site.node.guard.add(ClientTerms(name="bot", party="K", kind="token"))
        password, operator = site.passwords["K"], site.node.folder.text("token")
        mine = {"authorization": f"Bearer {operator}"}
        store: Any = site.node.guard._store

        class Broken:
            async def read(self, work: Any) -> Any:
                raise RuntimeError(password)

        broken: Any = Broken()
        said = ""
        async with site.client(None) as client:
            for header in (basic("k", password), f"Bearer {token}", basic("nobody", password)):
                said += (await client.get("/taxii2/", headers={"authorization": header})).text
            rows = (await client.get("/api/clients", headers=mine)).json()["clients"]
            assert {row["name"] for row in rows} == {"a", "k", "l", "bot"}
            hashes_kept = [
                (await store.read(lambda view, n=name: view.credential(n))).secret_hash
                for name in ("k", "bot")
            ]
            said += json.dumps(rows)
            site.node.guard._store = broken
            site.node.guard._rows.clear()
            failed = await client.get(
                "/taxii2/", headers={"authorization": basic("k", password + "x")}
            )
            assert (failed.status_code, failed.json()["error_code"]) == (500, "http.unforeseen")
            assert failed.headers["content-type"] == MEDIA
            said += failed.text
            site.node.guard._store = store
        secrets = [password, token, token.rpartition(".")[2], operator, *hashes_kept]
        secrets.append(basic("k", password).split()[1])
        assert not [one for one in secrets if one in said]
        return secrets

    secrets = play(tmp_path, story)
    out, err = capfd.readouterr()
    told = out + err + caplog.text
    assert "unforeseen" in told
    assert "guard.py:" in told
    assert not [one for one in secrets if one in told]
