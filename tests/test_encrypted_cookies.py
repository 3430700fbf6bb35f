"""EncryptCookies: what a client may not read, and what it may not make up."""

import asyncio
import base64
import gc
import itertools
import time
import weakref
from email.utils import formatdate

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from socketify_mw import App, ConfigError, Get, Middleware, RouteError, middleware
from socketify_mw import keys as keys_module
from socketify_mw.keys import derive, new_key, parse_key
from socketify_mw.middlewares import EncryptCookies
from socketify_mw.vault import Vault

KEY = new_key()
OLD_KEY = new_key()
SECRET = "role=admin, and nobody may read it"


def vault_of(*keys, clock=time.time):
    return Vault(AESGCM, [derive(parse_key(it), "cookies") for it in keys], clock)


VAULT = vault_of(KEY)


@pytest.fixture(autouse=True)
def a_key(monkeypatch):
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("APP_KEY", KEY)
    monkeypatch.setattr(keys_module, "_given", None)
    monkeypatch.setattr(keys_module, "_generated", None)


def values_of(answer, vault=VAULT):
    """Return an answer's cookies, opened; none of them may be plain."""
    assert SECRET not in repr(answer.headers) and "admin" not in repr(answer.headers)
    found = {}
    for line in answer.all("set-cookie"):
        name, _, value = line.partition(";")[0].partition("=")
        found[name] = vault.open(name, value)
        assert found[name] is not None or value == "", f"{line!r} is plain"
    return found


# ---- what leaves: each kind of answer, each way to have the class run ----


def is_set(res):
    return res.set_cookie("a", SECRET)


def plain(res, req):
    is_set(res).end("x")


def empty(res, req):
    is_set(res).end_without_body()


def large(res, req):
    is_set(res).cork_end("x" * 100_000)


def redirected(res, req):
    is_set(res).redirect("/elsewhere")


def by_header(res, req):
    res.write_header(b"sEt-cOOkie", f"a={SECRET}").status(404).end("x")


def streamed(res, req):
    is_set(res).write("x")
    res.write("y")
    res.end("z")


def tried(res, req):
    is_set(res).try_end("xyz", 3)


def late(res, req):
    async def answer():
        await asyncio.sleep(0)
        is_set(res).end("x")

    res.run_async(answer())


def late_stream(res, req):
    async def answer():
        await asyncio.sleep(0)
        is_set(res).write("x")
        await asyncio.sleep(0)
        res.end("y")

    is_set(res).run_async(answer())


def late_tried(res, req):
    async def answer():
        await asyncio.sleep(0)
        is_set(res).try_end("xyz", 3)

    res.run_async(answer())


def by_callback(res, req):
    res.on_aborted(lambda res: None)
    is_set(res)
    res.app.loop.call_soon(res.end, "x")


async def awaited(res, req):
    is_set(res)
    await asyncio.sleep(0)
    is_set(res).end("x")


async def awaited_stream(res, req):
    await asyncio.sleep(0)
    is_set(res).write("x")
    await res.drain()
    res.end("y")


def handed_on(res, req):
    is_set(res)
    req.set_yield(True)


async def handed_on_later(res, req):
    is_set(res)
    await asyncio.sleep(0)
    req.set_yield(True)


def raised(res, req):
    is_set(res)
    raise ValueError("by the handler")


async def raised_later(res, req):
    is_set(res)
    await asyncio.sleep(0)
    raise ValueError("by the handler")


def broken(res, req):
    is_set(res).write_header("x", "a\r\nSet-Cookie: a=admin").end("x")


def broken_cookie(res, req):
    res.write_header("Set-Cookie", "a=1; Path=/\r\nSet-Cookie: b=admin").end("x")


def oversized(res, req):
    is_set(res).set_cookie("b", "admin" * 1000).end("x")


def unanswered(res, req):
    is_set(res)


KINDS = {  # what answers, whether its cookie goes
    plain: True,
    empty: True,
    large: True,
    redirected: True,
    by_header: True,
    streamed: True,
    tried: True,
    late: True,
    late_stream: True,
    late_tried: True,
    by_callback: True,
    awaited: True,
    awaited_stream: True,
    handed_on: True,
    handed_on_later: True,
    raised: False,
    raised_later: False,
    broken: False,
    broken_cookie: False,
    oversized: False,
    unanswered: False,
}


def with_data(handler):
    def member(res, req, data):
        return handler(res, req)

    member.__name__ = handler.__name__
    return member


class After(Middleware):
    def after(self, request, response):
        response.set_cookie("after", SECRET)
        return request


class AsyncAfter(Middleware):
    async def after(self, request, response):
        await asyncio.sleep(0)
        response.set_cookie("after", SECRET)
        return request


class Stop(Middleware):
    def before(self, request, response):
        response.set_cookie("a", SECRET)
        return "stopped", 403


def last(res, req):
    res.end("last")


def by_use(app, handler):
    app.use(EncryptCookies)
    app.get("/x", handler).any("/*", last)


def by_use_with_after(app, handler):
    app.use(EncryptCookies, After)
    app.get("/x", handler).any("/*", last)


def by_use_with_async_after(app, handler):
    app.use(EncryptCookies, AsyncAfter)
    app.get("/x", handler).any("/*", last)


def by_chain(app, handler):
    app.get("/x", middleware(EncryptCookies, with_data(handler))).any("/*", last)


def by_nested_chain(app, handler):
    inner = middleware(EncryptCookies, After, with_data(handler))

    async def outer(res, req, data):
        await asyncio.sleep(0)
        result = inner(res, req)
        return await result if result is not None else None

    def plain_outer(res, req, data=None):
        return inner(res, req)

    is_plain = not asyncio.iscoroutinefunction(handler)
    app.get("/x", plain_outer if is_plain else middleware(outer)).any("/*", last)


def by_kernel(app, handler):
    class Kernel:
        http_middleware = [EncryptCookies]

    app.kernel(Kernel)
    app.get("/x", handler).any("/*", last)


def by_kernel_with_after(app, handler):
    class Kernel:
        http_middleware = [EncryptCookies, After]

    app.kernel(Kernel)
    app.get("/x", handler).any("/*", last)


WAYS = [
    by_use,
    by_use_with_after,
    by_use_with_async_after,
    by_chain,
    by_nested_chain,
    by_kernel,
    by_kernel_with_after,
]


def set_plainly(error, res, req):
    res.set_cookie("e", SECRET)
    if not res.has_responded():
        res.status(500).end("by on_error")


async def set_later(error, res, req):
    await asyncio.sleep(0)
    res.set_cookie("e", SECRET).status(500).end("by on_error")


def set_only(error, res, req):
    res.set_cookie("e", SECRET)


def raising(line):
    raise ZeroDivisionError("by the log")


@pytest.mark.parametrize("way", WAYS, ids=lambda it: it.__name__)
@pytest.mark.parametrize("kind", KINDS, ids=lambda it: it.__name__)
def test_no_cookie_leaves_in_plain(kind, way):
    on_errors = (None, set_plainly, set_later, set_only)
    for on_error, log in itertools.product(on_errors, (None, raising)):
        if kind is by_callback and log:
            continue  # it raises in a callback of the loop, and nobody answers then
        app = App()
        way(app, kind)
        if on_error:
            app.on_error(on_error)
        if log:
            app.access_log(log)
        try:
            answer = app.test_client().get("/x")
        except ConnectionError:  # a hook has raised when a stream was to begin
            assert log is not None or kind is tried
            continue
        found = values_of(answer)
        is_late_try = way is by_use_with_async_after and kind in (tried, late_tried)
        if KINDS[kind] and log is None and not is_late_try:
            assert found["a"] == SECRET and answer.status < 500
        elif log is None and not is_late_try:
            assert "b" not in found and answer.status == 500
            assert on_error or "a" not in found  # else it answers with what there is


@pytest.mark.parametrize("is_explained", [False, True])
@pytest.mark.parametrize("after", [None, After, AsyncAfter])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/no", 404),
        ("PUT", "/x", 405),
        ("OPTIONS", "/x", 204),
        ("HEAD", "/", 404),
    ],
)
def test_misses_are_encrypted_too(method, path, status, after, is_explained):
    def adding(res, req, data):
        return res.set_cookie("a", SECRET)

    class Kernel:
        http_middleware = [EncryptCookies, adding, *([after] if after else [])]

    app = App().get("/x", last)
    app.kernel(Kernel)
    answer = app.test_client(explain=is_explained).request(method, path)
    assert answer.status == status
    assert values_of(answer) == {"a": SECRET} | ({"after": SECRET} if after else {})


@pytest.mark.parametrize("is_explained", [False, True])
@pytest.mark.parametrize("after", [None, After, AsyncAfter])
def test_a_stop_in_before_is_encrypted(after, is_explained):
    chain = [EncryptCookies, *([after] if after else []), Stop]
    app = App().get("/x", middleware(*chain, with_data(last)))
    answer = app.test_client(explain=is_explained).get("/x")
    assert (answer.status, answer.text) == (403, "stopped")
    assert values_of(answer) == {"a": SECRET} | ({"after": SECRET} if after else {})


def test_a_route_that_nobody_found_may_set_cookies():
    app = App()
    app.use(EncryptCookies)
    app.not_found(lambda res, req: is_set(res).status(404).end("none"))
    answer = app.test_client().get("/none")
    assert values_of(answer) == {"a": SECRET} and answer.status == 404


def test_what_was_set_before_the_class_ran_is_encrypted():
    def early(res, req, data):
        return res.set_cookie("a", SECRET)

    app = App().use(early, EncryptCookies).get("/", last)
    assert values_of(app.test_client().get("/")) == {"a": SECRET}


def test_a_hook_at_the_commit_may_set_a_cookie():
    def handler(res, req):
        def hook(head, body):
            head.add("Set-Cookie", f"a={SECRET}")
            return body

        res._on_commit(hook)
        res.end("x")

    app = App().use(EncryptCookies).get("/", handler)
    assert values_of(app.test_client().get("/")) == {"a": SECRET}


def test_a_deleted_cookies_old_value_does_not_leave():
    def handler(res, req):
        res.set_cookie("a", SECRET, {"max_age": 0})
        res.set_cookie("b", SECRET, {"max_age": -5})
        res.set_cookie("c", SECRET, {"expires": formatdate(0, usegmt=True)})
        res.delete_cookie("d")
        res.end("x")

    app = App().use(EncryptCookies).get("/", handler)
    answer = app.test_client().get("/")
    assert values_of(answer) == {"a": None, "b": None, "c": None, "d": None}
    assert answer.all("set-cookie")[0] == "a=; Max-Age=0; Path=/"
    assert answer.all("set-cookie")[3] == "d=; Path=/; Max-Age=0"


def test_attributes_stay_as_they_are():
    given = {"path": "/a", "secure": True, "httponly": True, "samesite": "Strict"}

    def handler(res, req):
        res.set_cookie("a", SECRET, {**given, "max_age": 60}).end("x")

    app = App().use(EncryptCookies).get("/", handler)
    line = app.test_client().get("/").header("set-cookie")
    assert line.endswith("; Path=/a; Secure; HttpOnly; SameSite=Strict; Max-Age=60")


# ---- what comes ----


def reader(**options):
    """Return a client of an app that tells the cookies it sees, and sets some."""

    async def handler(res, req):
        for name, value in req.get_queries().items():
            res.set_cookie(name, value[0])
        first = req.get_cookies()
        await asyncio.sleep(0)
        assert req.get_cookies() == first  # also when it was opened before
        assert all(req.get_cookie(it) == first[it] for it in first)
        res.json(first)

    app = App()
    app.use(EncryptCookies.using(**options) if options else EncryptCookies)
    return app.get("/", handler).test_client()


def seen(client, *pairs):
    jar = "; ".join(f"{name}={value}" for name, value in pairs)
    return client.get("/", headers={"Cookie": jar}).json()


def test_cookies_come_back():
    client = reader()
    client.get("/?a=1&b=%C3%A4%20%E2%82%AC%F0%9F%98%80&c=&d=%22x%22&e=%2525;%3D")
    found = client.get("/").json()
    # An empty value has nothing that could be hidden, and so nothing to prove.
    assert found == {"a": "1", "b": "ä €😀", "d": '"x"', "e": "%25;="}


@pytest.mark.parametrize(
    "value",
    ["admin", "", "%00", "a" * 64, "====", "....", "\xe4", '"admin"', "A" * 7000],
)
def test_plain_text_is_dropped(value):
    assert seen(reader(), ("role", value)) == {}


def test_a_cookie_that_is_cut_off_is_dropped():
    client, sealed = reader(), VAULT.seal("a", "value", 60)
    pairs = [(f"a{n}", sealed[:n]) for n in range(len(sealed))]
    assert seen(client, *pairs) == {}
    assert all(VAULT.open("a", sealed[:n]) is None for n in range(len(sealed)))
    assert all(VAULT.open("a", sealed[n:]) is None for n in range(1, len(sealed)))
    assert seen(client, ("a", sealed)) == {"a": "value"}


def test_each_flipped_bit_is_noticed():
    sealed = VAULT.seal("a", "value", 60)
    data = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    for place, bit in itertools.product(range(len(data)), range(8)):
        forged = bytearray(data)
        forged[place] ^= 1 << bit
        text = base64.urlsafe_b64encode(bytes(forged)).decode()
        assert VAULT.open("a", text) is None
    for place, bit in itertools.product(range(len(sealed)), range(7)):
        other = chr(ord(sealed[place]) ^ 1 << bit)
        # Another spelling of the same bytes is no forgery.
        found = VAULT.open("a", sealed[:place] + other + sealed[place + 1 :])
        assert found is None or found == "value" and place == len(sealed) - 1


@given(st.text(max_size=80))
def test_no_text_that_is_made_up_opens(text):
    assert VAULT.open("a", text) is None


@given(st.binary(max_size=80))
def test_no_bytes_that_are_made_up_open(data):
    known = base64.urlsafe_b64decode(VAULT.seal("a", "", 60) + "==")[:4]
    for forged in (data, known + data):
        assert VAULT.open("a", base64.urlsafe_b64encode(forged).decode()) is None


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text("ab", min_size=1))
def test_what_was_sealed_opens_under_its_name_alone(text, name):
    sealed = VAULT.seal(name, text, 60)
    assert VAULT.open(name, sealed) == text
    assert VAULT.open(name + "a", sealed) is None
    assert VAULT.open(name.upper(), sealed) is None
    assert text == "" or VAULT.seal(name, text, 60) != sealed


def test_swapped_cookies_are_dropped():
    client = reader()
    client.get("/?user=1&theme=dark")
    user, theme = client.cookies["user"], client.cookies["theme"]
    assert seen(client, ("user", theme), ("theme", user)) == {}
    assert seen(client, ("USER", user), ("theme", theme)) == {"theme": "dark"}
    assert seen(client, ('"user"', user), ("user", f'"{user}"')) == {"user": "1"}


def test_keys_can_be_rotated():
    old, both, new = (
        reader(keys=[OLD_KEY]),
        reader(keys=[KEY, OLD_KEY]),
        reader(keys=[KEY]),
    )
    old.get("/?a=1")
    kept = ("a", old.cookies["a"])
    assert seen(both, kept) == {"a": "1"} and seen(new, kept) == {}
    both.get("/?a=1")
    kept = ("a", both.cookies["a"])
    assert seen(new, kept) == {"a": "1"} and seen(old, kept) == {}


def test_keys_of_other_purposes_open_nothing():
    for key in (parse_key(KEY), derive(parse_key(KEY), "other")):
        sealed = Vault(AESGCM, [key]).seal("a", "1", 60)
        assert seen(reader(), ("a", sealed)) == {}


def test_a_cookie_ends_with_its_time():
    now = [1000.0]
    vault = vault_of(KEY, clock=lambda: now[0])
    sealed = vault.seal("a", "value", 60)
    for moment, is_good in ((0, True), (59.9, True), (60, False), (1e6, False)):
        now[0] = 1000 + moment
        assert (vault.open("a", sealed) == "value") is is_good


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        ("", 2592000),
        ("; Max-Age=60", 60),
        ("; max-age = 60 ; Path=/", 60),
        ("; Max-Age=1; Max-Age=60", 60),
        ("; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 60),
        ("; Max-Age=soon", 2592000),
        ("; Max-Age=" + "9" * 30, 9e9),
        ("; Max-Age=" + "9" * 400, 9e9),
        ("; Expires=never", 2592000),
        ("; Expires=Fri, 31 Dec 9999 23:59:59 GMT", 9e9),
        ("; Expires=in an hour GMT", 3600),
        ("; Expires=in an hour -0000", 3600),
        ("; HttpOnly", 2592000),
    ],
)
def test_a_cookies_time_is_that_of_its_attributes(attributes, seconds):
    hour = formatdate(time.time() + 3600, usegmt=True).removesuffix(" GMT")
    attributes = attributes.replace("in an hour", hour)

    def handler(res, req):
        res.write_header("Set-Cookie", f"a={SECRET}{attributes}").end("x")

    app = App().use(EncryptCookies).get("/", handler)
    answer = app.test_client().get("/")
    assert values_of(answer) == {"a": SECRET} or seconds == 3600
    value = answer.header("set-cookie").partition(";")[0][2:]
    slack = 100 if "Expires" in attributes else 10
    at = [time.time() + seconds - slack]
    vault = vault_of(KEY, clock=lambda: at[0])
    if seconds < 9e9:
        assert vault.open("a", value) == SECRET
        at[0] += 2 * slack
        assert vault.open("a", value) is None
    else:
        at[0] = time.time() + 86400 * 365  # far away, and no error
        assert vault.open("a", value) == SECRET


def test_the_lifetime_holds_for_cookies_without_a_time():
    now = [time.time()]
    vault = vault_of(KEY, clock=lambda: now[0])
    client = reader(lifetime=100)
    client.get("/?a=1")
    now[0] += 90
    assert vault.open("a", client.cookies["a"]) == "1"
    now[0] += 20
    assert vault.open("a", client.cookies["a"]) is None


def test_a_lifetime_without_an_end_is_no_error():
    client = reader(lifetime=float("inf"))
    client.get("/?a=1")
    assert client.get("/").json() == {"a": "1"}


def test_exceptions_are_left_as_they_are_both_ways():
    client = reader(except_=["plain"])
    client.get("/?plain=as%20it%20is&other=1")
    assert client.cookies["plain"] == "as%20it%20is"
    found = {"plain": "as it is", "other": "1"}
    assert client.get("/").json() == found
    other = client.cookies["other"]
    pairs = ("plain", '"x"'), ("Plain", "y"), ("other", other)
    assert seen(client, *pairs) == {"plain": "x", "other": "1"}


def test_of_several_with_one_name_the_first_one_counts():
    one, two = VAULT.seal("a", "1", 60), VAULT.seal("a", "2", 60)
    assert seen(reader(), ("a", one), ("a", two)) == {"a": "1"}


def test_each_of_several_cookies_with_one_name_is_encrypted():
    def handler(res, req):
        res.set_cookie("a", SECRET, {"path": "/one"}).set_cookie("a", SECRET).end("x")

    app = App().use(EncryptCookies).get("/", handler)
    answer = app.test_client().get("/")
    assert values_of(answer) == {"a": SECRET}
    assert len({it.partition(";")[0] for it in answer.all("set-cookie")}) == 2


@pytest.mark.parametrize("value", ['"a b"', "a%20b", '"a%20b"', "a b", '"'])
def test_a_cookie_reads_as_it_would_without_the_class(value):
    def handler(res, req):
        res.write_header("Set-Cookie", f"a={value}").json(req.get_cookies())

    found = []
    for app in (App(), App().use(EncryptCookies)):
        client = app.get("/", handler).test_client()
        client.get("/")
        found.append(client.get("/").json())
    assert found[0] == found[1]


def test_what_browsers_would_drop_is_an_error():
    errors = []
    client = reader()
    client._app.on_error(lambda error, res, req: errors.append(str(error)))
    assert client.get("/?a=" + "x" * 2900).status == 200
    assert client.get("/?a=" + "x" * 3100).status == 500
    assert "'a' has 4" in errors[0] and "4096" in errors[0]


# ---- how it is set up ----


def test_it_runs_once_where_it_is_listed_twice():
    app = App().use(EncryptCookies)
    app.get("/", middleware(EncryptCookies, with_data(plain)))
    assert values_of(app.test_client().get("/")) == {"a": SECRET}


def test_a_function_that_has_answered_may_let_others_run():
    def early(res, req, data):
        res.set_cookie("b", "1").end("early")
        return True

    raised = []
    app = App().use(early, EncryptCookies)
    app.on_error(lambda error, res, req: raised.append(error))
    app.get("/", lambda res, req: None)
    answer = app.test_client().get("/")
    # The order is the program's: what is sent before the class runs, it cannot see.
    assert (answer.status, answer.text, raised) == (200, "early", [])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kesy": [KEY]}, "has no option 'kesy'; did you mean 'keys'"),
        ({"except": ["a"]}, "has no option 'except'; did you mean 'except_'"),
        ({"_sealed": None}, "has no option '_sealed'"),
        ({"before": None}, "has no option 'before'"),
    ],
)
def test_an_option_that_does_not_exist_is_an_error(options, words):
    with pytest.raises(ConfigError) as error:
        EncryptCookies.using(**options)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"keys": []},
        {"keys": KEY},
        {"keys": KEY.encode()},
        {"keys": ["short"]},
        {"keys": [None]},
        {"keys": [KEY, None]},
        {"keys": [7]},
        {"lifetime": 0},
        {"lifetime": -1},
        {"lifetime": float("nan")},
        {"except_": "session"},
    ],
)
def test_an_option_that_cannot_be_meant_is_an_error_at_the_start(options):
    app = App()
    with pytest.raises(ConfigError):
        app.use(EncryptCookies.using(**options))
    with pytest.raises(ConfigError):
        App().get("/", middleware(EncryptCookies.using(**options), with_data(last)))


def test_a_subclass_may_set_options():
    class Mine(EncryptCookies):
        except_ = ("plain",)

    client = App().use(Mine).get("/", plain).test_client()
    assert values_of(client.get("/")) == {"a": SECRET}
    assert EncryptCookies.except_ == ()
    assert Mine.using(lifetime=5).except_ == ("plain",)


def test_a_missing_library_is_told_with_the_command_that_installs_it(monkeypatch):
    name = "cryptography.hazmat.primitives.ciphers.aead"
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install 'socketify-mw\[sessions\]'"):
        App().get("/", middleware(EncryptCookies, with_data(last)))
    with pytest.raises(ConfigError, match="EncryptCookies needs a library"):
        App().use(EncryptCookies)

    class Kernel:
        http_middleware = [EncryptCookies]

    with pytest.raises(RouteError) as error:
        App().kernel(Kernel, routes=[Get("/", "NoController@show").middleware("no")])
    text = str(error.value)
    assert "pip install 'socketify-mw[sessions]'" in text
    assert "NoController" in text and "'no'" in text and "3 things are wrong" in text


def test_a_missing_key_is_told_once_with_the_other_errors(monkeypatch):
    monkeypatch.delenv("APP_KEY")

    class Kernel:
        http_middleware = [EncryptCookies]

    with pytest.raises(RouteError) as error:
        App().kernel(Kernel, routes=[Get("/", "NoController@show")])
    assert "2 things are wrong" in str(error.value)
    assert "python -m socketify_mw key" in str(error.value)


def test_requests_leave_nothing_to_the_garbage_collector():
    refs = []

    class Noted:
        pass

    async def handler(res, req):
        req.state.kept = Noted()
        refs.append(weakref.ref(req.state.kept))
        await asyncio.sleep(0)
        assert req.get_cookie("a") in (None, SECRET)
        res.set_cookie("a", SECRET).end("x")

    client = App().use(EncryptCookies, After).get("/", handler).test_client()
    client.get("/")
    gc.collect()
    gc.disable()
    try:
        refs.clear()
        for _ in range(3):
            client.get("/")
        client._app.loop.run_until_complete(asyncio.sleep(0))
        assert [it() for it in refs] == [None] * 3
    finally:
        gc.enable()


def test_a_cookie_without_an_equals_sign_is_no_plain_one():
    # Browsers take it for the value of a cookie whose name is empty (RFC 6265bis 5.6).
    app = App().use(EncryptCookies)
    app.get("/", lambda res, req: res.write_header("Set-Cookie", "secret").end("x"))
    assert "secret" not in repr(app.test_client().get("/").headers)
