"""What the adapter makes of servers that hang, stumble, are something else, or show a certificate."""

import asyncio
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from slipway.adapters import mlflow_answers, mlflow_lists
from slipway.adapters.errors import AdapterError, Forbidden, NotFound, Rejected, Unauthorized, Unreachable
from slipway.adapters.mlflow import MLflowRegistry
from slipway.adapters.mlflow_answers import Patience
from slipway.adapters.mlflow_made import SIGNATURE_LIMIT, of_mlmodel
from slipway.adapters.ports import Connection
from slipway.core.registry import Absent, Entry, Labels, Silent, Write
from slipway.core.snapshot import Sweep
from slipway.core.webhooks import subscription

from tests.certificates import self_signed

TestServer.__test__ = False
SECRET = "s3cret-s3cret"
QUICK = Patience(connect_seconds=0.3, total_seconds=0.5, pause_seconds=0.01)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Odd:
    """A server that answers every request as told, and counts them."""

    answer: Answer
    requests: list[web.Request]
    uri: str = ""
    observed: "Counter[str] | None" = None

    def registry(self, path: str = "") -> MLflowRegistry:
        self.observed = Counter()
        counter = self.observed
        connection = Connection(self.uri + path, username="operator", password=SECRET)
        return MLflowRegistry(connection, lambda _, result, __: counter.update([result]), QUICK)


@pytest.fixture
async def odd() -> AsyncIterator[Odd]:
    async def handle(request: web.Request) -> web.StreamResponse:
        server_told.requests.append(request)
        return await server_told.answer(request)

    async def unset(_: web.Request) -> web.StreamResponse:
        raise web.HTTPNotImplemented

    server_told = Odd(unset, [])
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", handle)
    async with TestServer(app) as server:
        server_told.uri = str(server.make_url("")).rstrip("/")
        yield server_told


def says(status: int, body: str = "", content_type: str = "application/json", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, content_type=content_type, headers=headers)

    return answer


@dataclass(frozen=True)
class Case:
    name: str
    because: str
    seen: Answer
    want: type[AdapterError]
    message: str
    requests: int = 1


# What Flask says of a path that no release before had.
NO_ROUTE = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n"
LOGIN = "<html><head><title>Sign in\n to Example</title></head></html>"
GONE = '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "gone"}'
CASES = [
    Case(
        "login page", "a proxy answers instead", says(200, LOGIN, "text/html"), Rejected, 'titled "Sign in to Example"'
    ),
    Case("text", "another service answers", says(200, "hello", "text/plain"), Rejected, 'text/plain, "hello"'),
    Case("empty", "another service answers", says(200), Rejected, "empty"),
    Case("list", "another service answers", says(200, "[]"), Rejected, "not the MLflow REST API"),
    Case("other JSON", "another service answers", says(200, "{}"), Rejected, 'JSON without "model_version"'),
    Case("wrong types", "another service answers", says(200, '{"model_version": 1}'), Rejected, "JSON without"),
    Case("deep JSON", "a parser must not overflow", says(200, "[" * 100_000), Rejected, "not the MLflow REST API"),
    Case("proxy's 404", "absence is only what MLflow says", says(404, LOGIN, "text/html"), Rejected, "404"),
    Case(
        "404 of another API", "absence is only what MLflow says", says(404, '{"detail": "Not Found"}'), Rejected, "404"
    ),
    Case(
        "redirect",
        "it would carry the password",
        says(302, Location="https://u:p@idp/x?t=1"),
        Rejected,
        "https://idp/x,",
    ),
    Case("unauthorized", "the Secret is read again", says(401), Unauthorized, "refused the username and password"),
    Case("forbidden", "the Secret is read again", says(403, '{"message": "no"}'), Unauthorized, "read version 1.*: no"),
    Case("which right", "somebody has to grant it", says(403), Forbidden, "that takes READ on the registered model$"),
    Case(
        "echo",
        "our password is nobody's business",
        says(403, f"you sent {SECRET}", "text/plain"),
        Unauthorized,
        r"\*\*\*",
    ),
    Case(
        "long echo",
        "half a password is too much",
        says(403, "x" * 295 + SECRET, "text/plain"),
        Unauthorized,
        r"xx\*\*\*",
    ),
    Case("rate limit", "asking at once makes it worse", says(429, "slow down", "text/plain"), Unreachable, "too busy"),
    Case("crash", "it may have recovered", says(500, '{"message": "db is locked"}'), Unreachable, "db is locked", 2),
    Case("bad gateway", "it may have recovered", says(502, LOGIN, "text/html"), Unreachable, "502", 2),
    Case("bad request", "a change is needed", says(400, '{"error_code": "X", "message": "why"}'), Rejected, "why"),
    Case("too much", "memory is bounded", says(200, " " * 9_000_000), Rejected, "more than"),
]


class TestAnswers:
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    async def test_an_answer_becomes_an_error_that_helps(self, odd: Odd, case: Case) -> None:
        odd.answer = case.seen
        registry = odd.registry()
        with pytest.raises(case.want, match=case.message) as caught:
            await registry.labels("m", 1)
        await registry.close()
        assert not isinstance(caught.value, NotFound), case.because
        assert len(odd.requests) == case.requests, case.because
        assert SECRET[:4] not in caught.getrepr(style="native").__str__()
        assert len(str(caught.value)) < 800

    async def test_a_second_try_may_succeed(self, odd: Odd) -> None:
        async def stumble_once(request: web.Request) -> web.StreamResponse:
            if len(odd.requests) == 1:
                return web.Response(status=503)
            return web.json_response({"model_version": {"current_stage": "Staging"}})

        odd.answer = stumble_once
        registry = odd.registry()
        assert await registry.labels("m", 1) == Labels("Staging", (), {})
        await registry.close()
        assert odd.observed == {"ok": 1}

    async def test_a_write_is_not_tried_again(self, odd: Odd) -> None:
        async def read_only(request: web.Request) -> web.StreamResponse:
            return web.json_response({"model_version": {}}, status=500 if request.method == "POST" else 200)

        odd.answer = read_only
        registry = odd.registry()
        with pytest.raises(Unreachable, match="move version 1"):
            await registry.write("m", Write(1, "Staging"))
        await registry.close()
        assert [request.method for request in odd.requests] == ["GET", "POST"]
        assert odd.observed == {"ok": 1, "unreachable": 1}

    async def test_only_mlflows_own_word_makes_a_version_absent(self, odd: Odd) -> None:
        odd.answer = says(404, GONE)
        registry = odd.registry()
        absent = await registry.resolve("m", 1)
        await registry.close()
        assert isinstance(absent, Absent)
        assert odd.observed == {"not_found": 2}

    async def test_a_file_without_end_is_no_model(self, odd: Odd) -> None:
        async def endless(request: web.Request) -> web.StreamResponse:
            if request.path.endswith("model-versions/get"):
                return web.json_response({"model_version": {"source": "mlflow-artifacts:/1/m"}})
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(200):
                await response.write(b"#" * 2**16)
            return response

        odd.answer = endless
        registry = MLflowRegistry(Connection(odd.uri))
        absent = await registry.resolve("m", 1)
        await registry.close()
        assert isinstance(absent, Absent)
        assert (absent.reason, "MLmodel" in absent.message) == ("ModelInvalid", True)

    async def test_a_store_that_fails_is_unreachable_not_absent(self, odd: Odd) -> None:
        async def broken_store(request: web.Request) -> web.StreamResponse:
            if request.path.endswith("model-versions/get"):
                return web.json_response({"model_version": {"source": "mlflow-artifacts:/1/m"}})
            return web.Response(status=500)

        odd.answer = broken_store
        registry = odd.registry()
        with pytest.raises(Unreachable, match="read MLmodel of version 1"):
            await registry.resolve("m", 1)
        await registry.close()

    @pytest.mark.parametrize(
        ("status", "body", "kept"),
        [(502, LOGIN, False), (503, LOGIN, False), (504, LOGIN, False), (404, LOGIN, False), (401, LOGIN, False),
         (429, LOGIN, False), (500, LOGIN, True), (403, LOGIN, True), (404, GONE, True)],
    )  # fmt: skip
    async def test_facts_are_kept_as_unread_only_where_mlflow_itself_does_not_tell_them(
        self, odd: Odd, status: int, body: str, kept: bool
    ) -> None:
        async def restarted(request: web.Request) -> web.StreamResponse:
            if request.path.endswith("model-versions/get"):
                return web.json_response({"model_version": {"source": "mlflow-artifacts:/1/m", "run_id": "r"}})
            return web.Response(status=status, text=body, content_type="text/html")

        odd.answer = restarted
        registry = odd.registry()
        if kept:
            assert getattr(await registry.facts("m", 1), "unread", ()) == ("run", "MLmodel", "files", "requirements")
        else:
            with pytest.raises(AdapterError):
                await registry.facts("m", 1)
        await registry.close()

    @pytest.mark.parametrize(
        ("version", "kept"), [("2.9.2", True), ("1.30.0", True), ("3.17.2", False), ("<title>Sign in</title>", False)]
    )
    async def test_what_a_release_of_mlflow_does_not_have_yet_is_asked_for_once(
        self, odd: Odd, version: str, kept: bool
    ) -> None:
        folder = f"mlflow-artifacts:/1/models/m-{'0' * 32}/artifacts"

        async def old(request: web.Request) -> web.StreamResponse:
            if request.path.endswith("model-versions/get"):
                return web.json_response({"model_version": {"source": folder}})
            if request.path.endswith("/version"):
                return web.Response(text=version, content_type="text/html")
            if "/logged-models/" in request.path:
                return web.Response(status=404, text=NO_ROUTE, content_type="text/html")
            return web.Response(status=500, text="Internal Server Error", content_type="text/html")

        odd.answer = old
        registry = odd.registry()
        if kept:
            assert "model" in getattr(await registry.facts("m", 1), "unread", ())
        else:
            with pytest.raises(Rejected, match="not the MLflow REST API"):
                await registry.facts("m", 1)
        await registry.close()

    @pytest.mark.parametrize(
        ("version", "says"), [("2.9.2", "is older than release 3 and sends no webhooks"), ("3.17.2", "correct the")]
    )
    async def test_a_release_of_mlflow_without_webhooks_is_told_by_its_version(
        self, odd: Odd, version: str, says: str
    ) -> None:
        async def old(request: web.Request) -> web.StreamResponse:
            if request.path.endswith("/version"):
                return web.Response(text=version, content_type="text/html")
            return web.Response(status=404, text=NO_ROUTE, content_type="text/html")

        odd.answer = old
        registry = odd.registry()
        said = await registry.subscribe(subscription("prod", "ml", "mlflow", "http://receiver", "a secret of both"))
        assert isinstance(said, Silent) and said.reason == "WebhookRefused" and says in said.message
        assert (await registry.unsubscribe("slipway-prod") is None) is (version == "2.9.2"), "there is none to remove"
        await registry.close()

    async def test_versions_of_several_models_are_listed_singly_where_mlflow_takes_no_list_of_names(
        self, odd: Odd
    ) -> None:
        async def old(request: web.Request) -> web.StreamResponse:
            where = request.query["filter"]
            if " IN (" in where:
                said = "Only the 'run_id' attribute supports comparison with a list of quoted string values."
                return web.json_response({"error_code": "INVALID_PARAMETER_VALUE", "message": said}, status=400)
            row = {"name": where.split("'")[1], "version": "1", "current_stage": "None"}
            return web.json_response({"model_versions": [row]})

        odd.answer = old
        registry = odd.registry()
        for requests in (3, 2):  # what it does not take is remembered
            odd.requests.clear()
            swept = await registry.versions(frozenset({"flights", "trains"}))
            assert (swept.whole, len(swept.versions), len(odd.requests)) == ({"flights", "trains"}, 2, requests)
        await registry.close()

    async def test_a_bucket_that_the_server_cannot_read_is_left_to_the_import(self, odd: Odd) -> None:
        async def without_bucket(request: web.Request) -> web.StreamResponse:
            if request.path.endswith("model-versions/get"):
                return web.json_response({"model_version": {"source": "s3://bucket/m"}})
            return web.Response(status=500)

        odd.answer = without_bucket
        registry = odd.registry()
        entry = await registry.resolve("m", 1)
        await registry.close()
        assert isinstance(entry, Entry)
        assert (entry.location, entry.mlmodel_digest, entry.flavors) == ("s3://bucket/m", None, ())

    @pytest.mark.parametrize(
        ("sources", "says"),
        [
            ({"m/1": "models:/n/2", "n/2": "models:/m/1"}, "a copy of itself"),
            ({f"m/{n}": f"models:/m/{n + 1}" for n in range(1, 9)}, "more than 5 times"),
            ({"m/1": "models:/m/Production"}, "register a version by its number"),
            ({"m/1": "mlflow-artifacts:/1/../2"}, "without ?, # and .."),
            ({"m/1": "mlflow-artifacts:/1/%252e%252e/2"}, "without ?, # and .."),
            ({"m/1": "mlflow-artifacts:/1/a?b"}, "without ?, # and .."),
            ({"m/1": ""}, "no address"),
        ],
    )
    async def test_a_source_that_leads_nowhere_is_told_at_once(
        self, odd: Odd, sources: dict[str, str], says: str
    ) -> None:
        async def chain(request: web.Request) -> web.StreamResponse:
            source = sources[f"{request.query['name']}/{request.query['version']}"]
            return web.json_response({"model_version": {"source": source}})

        odd.answer = chain
        registry = odd.registry()
        absent = await registry.resolve("m", 1)
        await registry.close()
        assert isinstance(absent, Absent) and absent.reason == "ArtifactMissing"
        assert says in absent.message
        assert len(odd.requests) <= 7

    @pytest.mark.parametrize(
        ("written", "hosts", "want"),
        [
            ("mlflow-artifacts://{here}/1/m", (), "mlflow-artifacts:/1/m"),
            ("mlflow-artifacts://mlflow.example:5000/1/m", ("mlflow.example:5000",), "mlflow-artifacts:/1/m"),
            ("mlflow-artifacts://MLflow.example/1/m", ("mlflow.example:80",), "mlflow-artifacts:/1/m"),
            ("mlflow-artifacts://mlflow.example/1/m", (), "mlflow-artifacts://mlflow.example/1/m"),
            ("mlflow-artifacts://mlflow.example:5001/1/m", ("mlflow.example:5000",), None),
        ],
    )
    async def test_another_name_of_the_server_is_a_name_of_it_only_if_it_was_said(
        self, odd: Odd, written: str, hosts: tuple[str, ...], want: str | None
    ) -> None:
        written = written.format(here=odd.uri.removeprefix("http://"))

        async def one_version(request: web.Request) -> web.StreamResponse:
            if request.path.endswith("model-versions/get"):
                return web.json_response({"model_version": {"source": written}})
            return web.Response(text="flavors: {sklearn: {}}")

        odd.answer = one_version
        registry = MLflowRegistry(Connection(odd.uri, artifact_hosts=hosts))
        entry = await registry.resolve("m", 1)
        await registry.close()
        assert isinstance(entry, Entry) and entry.location == (want or written)

    async def test_a_prefix_stays_before_every_path(self, odd: Odd) -> None:
        odd.answer = says(200, json.dumps({"model_version": {}}))
        registry = odd.registry("/ml/flow/")
        await registry.labels("m?&/", 1)
        await registry.close()
        assert odd.requests[0].path == "/ml/flow/api/2.0/mlflow/model-versions/get"
        assert odd.requests[0].query == {"name": "m?&/", "version": "1"}


class TestSilence:
    @pytest.mark.parametrize("first_words", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
    async def test_a_server_that_hangs_is_unreachable_in_bounded_time(self, first_words: bytes) -> None:
        done = asyncio.Event()

        async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(first_words)
            await done.wait()
            writer.close()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        registry = MLflowRegistry(Connection(f"http://127.0.0.1:{port}"), patience=QUICK)
        started = time.monotonic()
        with pytest.raises(Unreachable, match=r"did not answer within 0\.5 seconds"):
            await registry.resolve("m", 1)
        assert time.monotonic() - started < 2
        await registry.close()
        done.set()
        server.close()

    @pytest.mark.parametrize(("words", "want"), [(b"SSH-2.0-OpenSSH_9\r\n", Rejected), (b"", Unreachable)])
    async def test_a_server_of_another_protocol(self, words: bytes, want: type[AdapterError]) -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(words)
            writer.close()

        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            registry = MLflowRegistry(Connection(f"http://127.0.0.1:{port}"), patience=QUICK)
            with pytest.raises(want):
                await registry.labels("m", 1)
            await registry.close()

    async def test_a_host_that_does_not_exist(self) -> None:
        registry = MLflowRegistry(Connection("http://no-such-host.invalid"))
        with pytest.raises(Unreachable, match=r"no-such-host\.invalid is not known"):
            await registry.labels("m", 1)
        await registry.close()

    @pytest.mark.parametrize(
        "uri", ["", "mlflow", "ftp://host", "http://", "http://host:99999", f"http://me:{SECRET}@host"]
    )
    async def test_an_address_that_is_none_is_rejected(self, uri: str) -> None:
        registry = MLflowRegistry(Connection(uri))
        with pytest.raises(Rejected, match="URI") as caught:
            await registry.labels("m", 1)
        assert SECRET not in str(caught.value)
        await registry.close()

    @pytest.mark.parametrize("token", ["two words", "line\nbreak", "ümlaut"])
    async def test_a_token_that_no_header_can_carry_is_unauthorized(self, token: str) -> None:
        registry = MLflowRegistry(Connection("http://127.0.0.1:1", token=token))
        with pytest.raises(Unauthorized, match="characters") as caught:
            await registry.labels("m", 1)
        assert token not in str(caught.value)
        await registry.close()


class TestCredentials:
    async def test_a_bearer_token_is_sent_without_the_newline_of_its_file(self, odd: Odd) -> None:
        odd.answer = says(200, '{"model_version": {}}')
        registry = MLflowRegistry(Connection(odd.uri, token=f"{SECRET}\n"))
        await registry.labels("m", 1)
        await registry.close()
        assert odd.requests[0].headers["Authorization"] == f"Bearer {SECRET}"

    async def test_a_password_may_hold_any_character(self, odd: Odd) -> None:
        odd.answer = says(200, '{"model_version": {}}')
        registry = MLflowRegistry(Connection(odd.uri, username="me", password="pä:ß"))
        await registry.labels("m", 1)
        await registry.close()
        assert odd.requests[0].headers["Authorization"] == "Basic bWU6cMOkOsOf"  # me:pä:ß in UTF-8


@dataclass(frozen=True)
class Certified:
    uri: str
    authority: str  # PEM


@pytest.fixture
async def certified(tmp_path: Path) -> AsyncIterator[Certified]:
    """A server with a certificate that no system knows."""
    shown = self_signed("127.0.0.1")
    file = tmp_path / "server.pem"
    file.write_text(shown.private + shown.public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", says(200, '{"model_version": {}}'))
    server = TestServer(app, scheme="https", host="127.0.0.1")
    await server.start_server(ssl=context)
    yield Certified(f"https://127.0.0.1:{server.port}", shown.public)
    await server.close()


class TestCertificates:
    async def test_the_bundle_is_trusted_besides_the_system(self, certified: Certified) -> None:
        registry = MLflowRegistry(Connection(certified.uri, ca_certificates=certified.authority))
        assert isinstance(await registry.labels("m", 1), Labels)
        await registry.close()

    async def test_an_unknown_authority_is_told_with_the_remedy(self, certified: Certified) -> None:
        registry = MLflowRegistry(Connection(certified.uri))
        with pytest.raises(Unreachable, match=r"is not trusted .*self-signed.*caBundle"):
            await registry.labels("m", 1)
        await registry.close()

    async def test_a_bundle_without_a_certificate_is_rejected(self, certified: Certified) -> None:
        registry = MLflowRegistry(Connection(certified.uri, ca_certificates="no PEM"))
        with pytest.raises(Rejected, match="no readable PEM certificate"):
            await registry.labels("m", 1)
        await registry.close()


class TestClosed:
    """A rotated credential closes a client that calls still use."""

    async def test_a_running_call_ends_well_and_its_connection_with_it(self, odd: Odd) -> None:
        came, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: web.Request) -> web.StreamResponse:
            came.set()
            await go_on.wait()
            return web.json_response({"model_version": {"current_stage": "Staging"}})

        odd.answer = slow
        registry = MLflowRegistry(Connection(odd.uri))
        running = asyncio.create_task(registry.labels("m", 1))
        await came.wait()
        await registry.close()
        go_on.set()
        assert await running == Labels("Staging", (), {})
        assert registry._http._session is None

    async def test_a_call_that_comes_later_leaves_no_connection(self, odd: Odd) -> None:
        odd.answer = says(200, '{"model_version": {}}')
        registry = odd.registry()
        await registry.close()
        assert isinstance(await registry.labels("m", 1), Labels)
        assert registry._http._session is None


class TestDescribing:
    """MLflow dates a description as it dates a move: that it was none must be known whatever breaks on the way."""

    LINE = "**Slipway test/ml:** serving"

    @staticmethod
    def server(facts: dict[str, Any], good: list[int]) -> Answer:
        """A version of MLflow's, whose server breaks after so many writes."""

        async def answer(request: web.Request) -> web.StreamResponse:
            if request.method != "GET":
                if not good[0]:
                    return web.Response(status=502)
                good[0] -= 1
                asked = await request.json()
                if request.method == "PATCH":
                    facts.update(description=asked["description"], last_updated_timestamp=20)
                elif "stage" in asked:
                    facts.update(current_stage=asked["stage"], last_updated_timestamp=30)
                else:
                    kept = [one for one in facts["tags"] if one["key"] != asked["key"]]
                    facts["tags"] = [*kept, {"key": asked["key"], "value": asked["value"]}]
            return web.json_response({"model_version": facts})

        return answer

    @staticmethod
    async def moved(registry: MLflowRegistry) -> int:
        found = await registry.labels("m", 1)
        assert isinstance(found, Labels)
        return found.moved

    @pytest.mark.parametrize("good", range(4))
    async def test_a_break_between_its_calls_makes_it_no_move(self, odd: Odd, good: int) -> None:
        facts: dict[str, Any] = {"current_stage": "Production", "last_updated_timestamp": 10, "tags": []}
        left = [good]
        odd.answer = self.server(facts, left)
        registry, write = odd.registry(), Write(1, line=self.LINE)
        with suppress(Unreachable):
            await registry.write("m", write)
        assert await self.moved(registry) == 10, "at once"
        left[0] = 9
        await registry.write("m", write)
        assert (await self.moved(registry), facts["description"]) == (10, self.LINE)
        await registry.write("m", Write(1, "Archived"))
        await registry.write("m", Write(1, "Production"))
        assert await self.moved(registry) == 30, "what moves it afterwards counts"
        await registry.close()

    async def test_what_is_moved_after_a_break_counts_as_moved(self, odd: Odd) -> None:
        facts: dict[str, Any] = {"current_stage": "Staging", "last_updated_timestamp": 10, "tags": []}
        left = [2]
        odd.answer = self.server(facts, left)
        registry = odd.registry()
        with pytest.raises(Unreachable):
            await registry.write("m", Write(1, line=self.LINE))
        left[0] = 9
        await registry.write("m", Write(1, "Production"))
        await registry.write("m", Write(1, line=self.LINE))
        assert await self.moved(registry) == 30
        await registry.close()


class TestSweep:
    """What only an odd server does to a sweep."""

    async def test_a_page_that_is_too_large_is_read_in_parts(self, odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mlflow_lists, "PAGE_LIMIT_BYTES", 4096)
        models = [{"name": f"m{number}", "tags": [{"key": "k", "value": "x" * 200}]} for number in range(40)]

        async def paged(request: web.Request) -> web.StreamResponse:
            if request.path.endswith("model-versions/search"):
                return web.json_response({})
            start, size = int(request.query.get("page_token", "0")), int(request.query["max_results"])
            page = {"registered_models": models[start : start + size]}
            return web.json_response(page | ({"next_page_token": str(start + size)} if start + size < 40 else {}))

        odd.answer = paged
        registry = MLflowRegistry(Connection(odd.uri))
        swept = await registry.sweep(None, frozenset({"m0", "m39"}))
        await registry.close()
        assert [one.name for one in swept.models] == ["m0", "m39"] and swept.counted == 40 and swept.complete

    async def test_a_large_page_is_decoded_beside_the_event_loop(
        self, odd: Odd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads: list[threading.Thread] = []
        decode = mlflow_answers._parsed
        monkeypatch.setattr(
            mlflow_answers, "_parsed", lambda body: (threads.append(threading.current_thread()), decode(body))[1]
        )
        rows = [{"name": f"m{number}", "tags": [{"key": "k", "value": "x" * 90_000}]} for number in range(40)]
        small, large = says(200, "{}"), says(200, json.dumps({"registered_models": rows}))

        async def answer(request: web.Request) -> web.StreamResponse:
            return await (large if "registered-models" in request.path else small)(request)

        odd.answer = answer
        registry = MLflowRegistry(Connection(odd.uri))
        swept = await registry.sweep(None, frozenset({"m0", "m39"}))
        await registry.close()
        assert [one.name for one in swept.models] == ["m0", "m39"]
        assert [one is threading.main_thread() for one in threads] == [False, True]

    async def swept(
        self, odd: Odd, monkeypatch: pytest.MonkeyPatch, large: Collection[str], beginning: str, ignores: str = ""
    ) -> tuple[Sweep, list[str]]:
        """A sweep for the models a to d, and every filter that was asked with; rows of the large ones begin so."""
        monkeypatch.setattr(mlflow_lists, "PAGE_LIMIT_BYTES", 4096)
        names = sorted({*"abcd", *large})

        async def answer(request: web.Request) -> web.StreamResponse:
            if request.path.endswith("model-versions/search"):
                return web.json_response({})
            asked = request.query.get("filter", "")
            listed = [name for name in names if asked in ("", ignores) or (f"'{name}'" in asked) != ("NOT" in asked)]
            start, size = int(request.query.get("page_token", "0")), int(request.query["max_results"])
            rows = [f'{{"name": "{name}"}}' for name in listed]
            for number, name in enumerate(listed):
                if name in large:
                    rows[number] = beginning.replace("NAME", name) + "x" * 5000 + '"}'
            more = f', "next_page_token": "{start + size}"' if start + size < len(rows) else ""
            text = f'{{"registered_models": [{", ".join(rows[start : start + size])}]{more}}}'
            return web.Response(text=text, content_type="application/json")

        odd.answer = answer
        registry = odd.registry()
        found = await registry.sweep(None, frozenset("abcd"))
        await registry.close()
        return found, [request.query.get("filter", "") for request in odd.requests]

    async def test_one_that_is_too_large_and_does_not_begin_with_its_name_is_found_by_asking_for_each(
        self, odd: Odd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        swept, asked = await self.swept(odd, monkeypatch, {"c"}, '{"description": "')
        assert (swept.left_out, [one.name for one in swept.models]) == ({"c"}, ["a", "b", "d"])
        assert swept.complete and swept.listed and swept.by_name and swept.watermark and swept.watermark.by_name
        assert asked[-1] == "name IN ('d')"

    async def test_one_that_nobody_in_the_cluster_names_harms_nobody(
        self, odd: Odd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        swept, _ = await self.swept(odd, monkeypatch, {"zebra"}, '{"description": "')
        assert (swept.left_out, [one.name for one in swept.models]) == (frozenset(), ["a", "b", "c", "d"])
        assert swept.complete and swept.by_name

    async def test_more_than_a_filter_can_leave_out_harm_nobody(
        self, odd: Odd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mlflow_lists, "NAMES_BYTES", 60)
        large = {"b", *(f"large-{number}" for number in range(3))}
        swept, asked = await self.swept(odd, monkeypatch, large, '{"name": "NAME", "description": "')
        assert [one.name for one in swept.models] == ["a", "c", "d"]
        assert "b" in swept.left_out and swept.complete and swept.by_name
        assert all(len(one) < 60 for one in asked), "no filter is longer than a URL can carry"

    async def test_a_server_that_does_not_leave_it_out_is_not_asked_for_ever(
        self, odd: Odd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beginning = '{"name": "NAME", "description": "'
        swept, _ = await self.swept(odd, monkeypatch, {"c"}, beginning, ignores="name NOT IN ('c')")
        assert (swept.left_out, [one.name for one in swept.models]) == ({"c"}, ["a", "b", "d"])
        assert swept.complete and swept.by_name

    async def test_one_that_answers_too_much_to_everything_leaves_all_out(
        self, odd: Odd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mlflow_lists, "PAGE_LIMIT_BYTES", 4096)
        odd.answer = says(200, '{"registered_models": [{"description": "' + "x" * 5000)
        registry = odd.registry()
        swept = await registry.sweep(None, frozenset({"m", "n"}))
        assert swept.left_out == {"m", "n"}
        assert [request.query["max_results"] for request in odd.requests][-3:] == ["6", "3", "1"]
        await registry.close()

    async def test_pages_without_an_end_are_rejected(self, odd: Odd) -> None:
        odd.answer = says(200, '{"next_page_token": "again"}')
        registry = odd.registry()
        with pytest.raises(Rejected, match="without an end"):
            await registry.sweep(None, frozenset({"m"}))
        with pytest.raises(Rejected, match="without an end"):
            await registry.versions(frozenset({"m"}))
        refused = await registry.unsubscribe("w")
        assert refused is not None and "without an end" in refused.message
        await registry.close()

    async def test_a_list_of_something_else_is_rejected(self, odd: Odd) -> None:
        odd.answer = says(200, '{"model_versions": [{"version": "x"}]}')
        registry = odd.registry()
        swept = await registry.sweep(None, frozenset({"m"}))
        assert swept.broken_off is not None and swept.broken_off.reason == "RegistryRejected"
        with pytest.raises(Rejected, match="without a name or a number"):
            await registry.versions(frozenset({"m"}))
        await registry.close()


@pytest.mark.parametrize(("length", "known"), [(SIGNATURE_LIMIT, True), (SIGNATURE_LIMIT + 1, False)])
def test_a_signature_that_is_too_long_counts_as_none(length: int, known: bool) -> None:
    columns = '[{"name": "distance", "type": "long"}]'
    found = of_mlmodel(f"signature: {{inputs: '{columns:<{length}}'}}".encode())
    assert found.get("inputs") == ({"distance": "long"} if known else None)
