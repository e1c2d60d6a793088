"""The aggregator's end of the link: a gRPC server in one thread, whatever the number of clients. Leads messages to and from the hub."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from edgefl.common.journal import printable, say
from edgefl.common.settings import Tls, host_port
from edgefl.link import wire
from edgefl.link.bodies import Bodies, Body, Queue
from edgefl.link.hub import Hub, Pod, RefusedError
from edgefl.link.refused import RefusedConnections
from edgefl.link.turns import CHUNK, Turns

AT_ONCE = 64
"""Chunks that are being sent at a time."""

Message = tuple[dict[str, Any], bytes, Sequence[bytes]]
Admit = Callable[[dict[str, Any], frozenset[str]], None]
"""Raises RefusedError for a greeting, and the names in the certificate that came with it, that may not join."""


class Endpoint:
    """Opens the port when it is made; raises OSError when that can't be done. Answers wait in `folder`, where the run has room for models."""

    def __init__(
        self, hub: Hub, address: str, tls: Tls | None, welcome: dict[str, Any], admit: Admit, folder: Path | None
    ) -> None:
        self._bodies = Bodies(folder)
        self._hub, self._address, self._tls, self._welcome, self._admit = hub, address, tls, welcome, admit
        self._reported: set[str] = set()
        self._error: BaseException | None = None
        opened = threading.Event()
        threading.Thread(target=self._run, args=(opened,), name="link", daemon=True).start()
        opened.wait()
        if self._error is not None:
            raise OSError(
                f"{address} can't be opened: it is already in use, or not an address of this machine; end what uses it, or choose another --server_address"
            )

    def _run(self, opened: threading.Event) -> None:
        try:
            asyncio.run(self._serve(opened))
        except BaseException as err:
            self._error = err
            opened.set()

    async def _serve(self, opened: threading.Event) -> None:
        self._loop, self._sending = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)
        self._queue, self._turns, self._cut = Queue(self._bodies), Turns(), wire.Cut()
        server = grpc.aio.server(options=wire.server_options(self._hub.most))
        method = {wire.METHOD: grpc.stream_stream_rpc_method_handler(self._join)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, method),))
        self._refused = None
        if self._tls is None:
            port = server.add_insecure_port(self._address)
        else:
            tls, self._refused = self._tls, RefusedConnections(host_port(self._address)[1])
            first = grpc.ssl_server_certificate_configuration([(tls.key, tls.certificate)], tls.ca)
            port = server.add_secure_port(
                self._address, grpc.dynamic_ssl_server_credentials(first, self._refused.note, True)
            )
        if not port:
            raise OSError("gRPC gave no port")
        await server.start()
        opened.set()
        await self._loop.create_future()  # for ever

    async def _join(self, _requests: Any, call: Any) -> None:
        if self._refused is not None:
            self._refused.call(call.peer())
        try:
            pod, holds, outbox = await self._greet(call)
            wanted = self._hub.enter(pod, holds)
        except (wire.FrameError, RefusedError, TimeoutError) as err:
            reason = printable(str(err) or f"a client did not say who it is within {wire.GREETING:g} s")
            self._report(call, reason)
            app = getattr(err, "app", "")
            await call.abort(
                grpc.StatusCode.PERMISSION_DENIED, reason, ((wire.OTHER_APP, app.encode()),) if app else ()
            )
            return
        sender = None
        try:
            await call.write(wire.greeting(self._welcome | {"node": pod.id, "wanted": wanted, "over": self._hub.over}))
            sender = asyncio.create_task(self._send(pod, outbox, call))
            await self._receive(pod, call)
        except wire.FrameError as err:
            say(f"{pod} is cut off: {err}")
            await call.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(err))
        except (asyncio.CancelledError, grpc.aio.BaseError, _ClosedError):
            pass  # the connection was lost, or has been replaced
        finally:
            if sender is not None:
                sender.cancel()
            if self._hub.leave(pod):
                self._loop.call_later(self._hub.grace, self._hub.expire, pod.id)

    async def _greet(self, call: Any) -> tuple[Pod, list[str], asyncio.Queue[Message | None]]:
        frame = await asyncio.wait_for(call.read(), wire.GREETING)
        if frame is grpc.aio.EOF:
            raise wire.FrameError("a client said nothing")
        about = wire.greeted(frame)
        texts = {name: about.get(name) for name in ("node", "pod", "instance", "app", "settings")}
        for name, value in texts.items():
            if not isinstance(value, str) or len(value) > 253 or not value.isprintable():
                raise wire.FrameError(f"a greeting without {name}")
        holds = about.get("holds")
        if not isinstance(holds, list) or not isinstance(about.get("about"), dict):
            raise wire.FrameError("a greeting that is not whole")
        names = [
            name.decode(errors="replace")
            for key, values in call.auth_context().items()
            if key in ("x509_common_name", "x509_subject_alternative_name")
            for name in values
            if name
        ]
        self._admit(about, frozenset(names))
        outbox: asyncio.Queue[Message | None] = asyncio.Queue()

        def post(note: dict[str, Any], head: bytes, body: Sequence[bytes]) -> None:
            self._loop.call_soon_threadsafe(outbox.put_nowait, (note, head, body))

        task = asyncio.current_task()
        assert task is not None

        def close(_reason: str) -> None:
            self._loop.call_soon_threadsafe(task.cancel)

        more = about["about"] | {"app": about["app"]}
        pod = Pod(about["node"], about["pod"], about["instance"], post, close, call.peer().partition(":")[2], more)
        return pod, [str(key) for key in holds], outbox

    def _report(self, call: Any, reason: str) -> None:
        """Once for each reason: it comes back until its pod is gone."""
        if reason in self._reported:
            return
        if len(self._reported) >= 1000:
            self._reported.clear()
        self._reported.add(reason)
        say(f"refused: {reason} (from {call.peer().partition(':')[2]})")

    async def _receive(self, pod: Pod, call: Any) -> None:
        while True:
            frame = await call.read()
            if frame is grpc.aio.EOF:
                return
            size, note, head = wire.heading(frame)
            key = note.get("key")
            if not isinstance(key, str):
                raise wire.FrameError("a reply to nothing")
            if self._hub.expects(pod, key):
                body, begin = await self._queue.place(size, pod.quick), time.monotonic()
                try:
                    await self._rest(call, size, body)
                finally:
                    self._queue.whole(body)
                if size >= wire.LEAST_CHUNK:
                    pod.quick = size >= wire.QUICK * (time.monotonic() - begin)
                self._hub.deliver(pod, key, note, head, body)
                del body  # else each client's last reply stays until its next
            else:
                await self._rest(call, size, None)
            del frame, head

    async def _rest(self, call: Any, size: int, body: Body | None) -> None:
        """The chunks of a body of so many bytes; None: it is nobody's answer, and takes no memory."""
        got = 0
        while got < size:
            chunk = await call.read()
            if chunk is grpc.aio.EOF:
                raise _ClosedError
            got += len(chunk)
            if got > size:
                raise wire.FrameError("sent more than it announced")
            if body is not None:
                body.add(chunk)
                self._queue.came(body)
            del chunk

    async def _send(self, pod: Pod, outbox: asyncio.Queue[Message | None], call: Any) -> None:
        while True:
            message = await outbox.get()
            if message is None:
                return
            note, head, body = message
            size = wire.chunk(self._hub.connected, pod.quick, self._tls is not None)
            async with self._turns.take() if pod.quick else nullcontext():
                chunk = max(size, CHUNK) if pod.quick else size
                for frame in wire.frames(note | {"chunk": size}, head, body, chunk, self._cut):
                    async with self._sending:
                        await call.write(frame)
                    del frame
            del message, head, body


class _ClosedError(Exception):
    """The stream ended in the middle of a message."""


def admission(app: str, hub: Hub, tls: Tls | None, settings: dict[str, str]) -> Admit:
    """Takes clients of this app, and of any when the hub's work is over; with `tls` only those whose certificate has their node's name, with `settings`
    (by node) only those that have theirs.
    """

    def admit(about: dict[str, Any], names: frozenset[str]) -> None:
        node, who = about["node"], f"{about['node']}/{about['pod']}"
        if tls is not None and node not in names:
            raise RefusedError(
                f"one with the certificate of {', '.join(sorted(names)) or 'nobody'} says it is node {node}"
            )
        if about["app"] != app and not hub.over:
            raise RefusedError(f"{who} has app {about['app']}, not {app}: left out; give it the same --app", app)
        if settings and about["settings"] != settings.get(node):
            raise RefusedError(
                f"{who} has other settings than this run's: it is of an earlier deployment, and its pod is to be deleted"
            )

    return admit
