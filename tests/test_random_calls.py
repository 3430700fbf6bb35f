"""Any calls in any order: the process lives, and the next request is served."""

import asyncio
import random
import time

import pytest

from socketify_mw import Limits

CALLS = [
    lambda res, req: res.write_status(random.choice([201, "404 Gone", 99, "x", None])),
    lambda res, req: res.write_header("X-A", random.choice(["a", 1, "b\r\nc", b"d"])),
    lambda res, req: res.set_cookie("a", "b", random.choice([None, {"path": "/"}])),
    lambda res, req: res.write(random.choice(["part", b"x" * 30_000, None, {}])),
    lambda res, req: res.end(random.choice(["end", b"y" * 50_000, None, [1], object])),
    lambda res, req: res.send("sent", "text/plain", 200, [("X-B", "c")]),
    lambda res, req: res.try_end(b"z" * 40_000, random.choice([40_000, 80_000, 0])),
    lambda res, req: res.redirect("/elsewhere"),
    lambda res, req: res.on_data(lambda res, chunk, is_end: is_end and res.end("got")),
    lambda res, req: res.on_aborted(lambda res: None),
    lambda res, req: res.on_writable(lambda res, offset: res.end("writable")),
    lambda res, req: res.grab_aborted_handler(),
    lambda res, req: res.cork(lambda res: res.write_header("X-C", "d")),
    lambda res, req: res.pause(),
    lambda res, req: res.resume(),
    lambda res, req: res.close(),
    lambda res, req: res.run_async(answer_late(res)),
    lambda res, req: res.get_write_offset(),
    lambda res, req: res.has_responded() or res.aborted or res.get_remote_address(),
    lambda res, req: res.drain().cancel(),
    lambda res, req: res.send_chunk(b"c" * 20_000, 20_000).cancel(),
    lambda res, req: req.preserve(),
    lambda res, req: req.set_yield(True),
    lambda res, req: req.get_headers() and req.get_cookies() and req.get_queries(),
    lambda res, req: 1 / 0,
]


async def answer_late(res):
    await asyncio.sleep(0)
    res.end(await res.get_text())


def any_calls(res, req):
    for call in random.choices(CALLS, k=random.randint(0, 6)):
        if random.random() < 0.7:
            try:
                call(res, req)
            except Exception:
                continue
        else:
            call(res, req)


@pytest.mark.parametrize("seed", range(8))
def test_any_calls_in_any_order_leave_the_server_alive(serve, seed):
    random.seed(seed)
    server = serve(
        lambda app: app.any("/*", any_calls).get("/alive", alive),
        limits=Limits(send_timeout=0.2),
    )
    for number in range(60):
        client = server.client()
        client.socket.settimeout(0.02)
        # No more than sockets hold: a FIN behind what nobody reads is never seen.
        body = b"b" * random.choice([0, 3, 20_000])
        head = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
        data = (
            head % (number, len(body))
            + body
            + b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        try:
            client.socket.sendall(data[: random.choice([len(data), len(data) // 2])])
            client.socket.recv(1000)
        except OSError:  # nobody is owed an answer here
            pass
        if random.random() < 0.7:
            client.close()
    assert server.ask("/alive").body == b"alive"
    for client in server.clients:
        client.close()
    claims = server.app.loop.turns.claims
    deadline = time.monotonic() + 10
    while server.call(lambda: len(claims)) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = server.call(lambda: [vars_of(claim) for claim in claims.values()])
    assert left == []


def vars_of(claim):
    return {name: getattr(claim, name) for name in claim.__slots__}


def alive(res, req):
    res.end("alive")
