"""HashIDMiddleware and `hashid`, as users and guessers meet them."""

import asyncio
import json
import random
import sys
import time

import pytest
from conftest import examples
from hypothesis import given
from hypothesis import strategies as st

from socketify_mw import App, ConfigError, Get, Middleware, Post, Route, RouteError
from socketify_mw import middleware as joined
from socketify_mw.middlewares import HashIDMiddleware, hashid
from socketify_mw.middlewares.hashids import _LETTERS, Codec

KEY = "0Ot1sNMvYpKkQ2w5zSLx7uGvyEnSGqBmFJdU8rBvfNA"
OTHER_KEY = "bZ2cEp5Qm0Y8x7J1vW3kRr6TtUuVvXx9yAaBbCcDdEe"
RAW = bytes(range(32))
FORM = "application/x-www-form-urlencoded"
MOST = 2**63 - 1

numbers = st.lists(st.integers(0, MOST), min_size=1, max_size=5)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("APP_ENV", "test")
    monkeypatch.setenv("APP_KEY", KEY)
    monkeypatch.setattr("socketify_mw.keys._given", None)
    monkeypatch.setattr("socketify_mw.keys._generated", None)


codec = Codec(RAW, "", 8)


class Noting(Middleware):
    def before(self, request, response, value):
        response.header("X-Noted", value)
        return request


class Kernel:
    route_middleware = {
        "web": [],
        "hashid": HashIDMiddleware,
        "salted": HashIDMiddleware.using(salt="b", min_length=12),
        "inputs": HashIDMiddleware.using(inputs=["id", "to"]),
        "noting": Noting,
    }


def show(request):
    return request.get_parameters()


def all_of(request):
    return request.all()


def client_of(*routes, kernel=Kernel):
    return App().kernel(kernel, routes=list(routes)).test_client()


# ---- ids ----


@pytest.mark.parametrize(
    "ids", [(0,), (1,), (10,), (MOST,), (0, 0), (1, 2, 3), (MOST,) * 8, (*range(50),)]
)
def test_an_id_means_its_numbers(ids):
    client = client_of(Get("/@id", show).middleware("hashid:id"))
    text = hashid(*ids)
    assert 8 <= len(text) <= 128 and set(text) <= set(_LETTERS)
    assert client.get(f"/{text}").json() == [",".join(map(str, ids))]


@given(numbers, st.integers(0, 64), st.sampled_from(["", "a", "ä€"]))
def test_every_id_means_its_numbers(ids, min_length, salt):
    made = Codec(RAW, salt, min_length)
    text = made.encode(ids)
    assert made.decode(text) == ids
    assert len(text) >= min_length


@examples(3)
@given(numbers, st.data())
def test_every_change_of_an_id_is_noticed(ids, data):
    text = codec.encode(ids)
    i = data.draw(st.integers(0, len(text) - 1))
    for letter in _LETTERS:
        for other in (text[:i] + letter + text[i + 1 :], text[:i] + letter + text[i:]):
            assert codec.decode(other) == ([] if other != text else ids)
    for other in (text[:i], text[i + 1 :], text[:i] + text[i + 1 :]):
        assert codec.decode(other) == []


def test_each_number_has_another_id_and_the_same_one_each_time():
    ids = [hashid(i) for i in range(2000)]
    assert len(set(ids)) == 2000
    assert ids == [hashid(i) for i in range(2000)]
    assert len({it.lower()[:3] for it in ids}) > 1000  # they do not look alike


@pytest.mark.parametrize(
    ("ids", "error", "words"),
    [
        ((), ValueError, "at least one number"),
        ((-1,), ValueError, "from 0 to 2"),
        ((1, -1), ValueError, "not -1"),
        ((MOST + 1,), ValueError, "9223372036854775808"),
        ((10**500,), ValueError, "from 0 to 2"),
        (("10",), TypeError, "whole numbers, not of '10'"),
        ((b"1",), TypeError, "b'1'"),
        ((1.0,), TypeError, "1.0"),
        ((True,), TypeError, "True"),
        ((None,), TypeError, "None"),
        (([1, 2],), TypeError, r"\[1, 2\]"),
        ((MOST,) * 12, ValueError, "an id of 12 numbers would be too long"),
        (tuple(range(100)), ValueError, "128 characters at most"),
    ],
    ids=lambda it: str(it)[:20],
)
def test_what_has_no_id_is_told(ids, error, words):
    with pytest.raises(error, match=words):
        hashid(*ids)


@pytest.mark.parametrize(
    "options",
    [
        {"min_length": -1},
        {"min_length": 129},
        {"min_length": "8"},
        {"min_length": True},
        {"min_length": None},
        {"salt": None},
        {"salt": b"a"},
        {"salt": 5},
        {"inputs": "id"},
        {"inputs": b"id"},
        {"inputs": None},
        {"inputs": [5]},
    ],
    ids=str,
)
def test_options_that_cannot_be_meant_are_told_at_registration(options):
    cls = HashIDMiddleware.using(**options)
    name = next(iter(options))
    with pytest.raises(ConfigError, match=name):
        App().get("/:id", joined(cls, lambda res, req, data: res.end("x")))
    with pytest.raises(RouteError, match=f"HashIDMiddleware: {name}"):
        client_of(Get("/@id", show).middleware(cls))
    if name != "inputs":
        with pytest.raises(ConfigError, match=name):
            hashid(1, **options)


def test_an_option_that_is_none_is_told_with_the_nearest_one():
    with pytest.raises(ConfigError, match="did you mean 'salt'"):
        HashIDMiddleware.using(sald="a")


@pytest.mark.parametrize("min_length", [0, 1, 8, 100, 128])
def test_ids_have_a_least_length(min_length):
    cls = HashIDMiddleware.using(min_length=min_length)
    client = client_of(Get("/@id", show).middleware(cls))
    for number in (0, MOST):
        text = hashid(number, min_length=min_length)
        assert len(text) >= min_length
        assert client.get(f"/{text}").json() == [str(number)]


# ---- what is no id ----


def test_of_another_salt_or_key_nothing_is_decoded(monkeypatch):
    route = Get("/@id", show).middleware("hashid:id")
    ids = range(300)
    here = [hashid(i) for i in ids]
    salted = [hashid(i, salt="b") for i in ids]
    monkeypatch.setenv("APP_KEY", OTHER_KEY)
    foreign = [hashid(i) for i in ids]
    monkeypatch.setenv("APP_KEY", KEY)
    client = client_of(route)
    assert client.get(f"/{here[7]}").json() == ["7"]
    for text in (*salted, *foreign):
        assert text not in here
        assert client.get(f"/{text}").status == 404


def test_a_kernels_key_counts(monkeypatch):
    monkeypatch.delenv("APP_KEY")

    class Keyed(Kernel):
        key = OTHER_KEY

    client = client_of(Get("/@id", show).middleware("hashid:id"), kernel=Keyed)
    assert client.get(f"/{hashid(5)}").json() == ["5"]
    monkeypatch.setattr("socketify_mw.keys._given", None)
    monkeypatch.setenv("APP_KEY", OTHER_KEY)
    assert client.get(f"/{hashid(5)}").json() == ["5"]


def test_without_a_key_production_does_not_begin(monkeypatch):
    monkeypatch.delenv("APP_KEY")
    monkeypatch.setenv("APP_ENV", "production")
    with pytest.raises(RouteError, match="no key"):
        client_of(Get("/@id", show).middleware("hashid:id"))
    with pytest.raises(ConfigError, match="no key"):
        hashid(1)


def test_the_case_of_letters_counts():
    for i in range(200):
        text = codec.encode([i])
        assert codec.decode(text) == [i]
        for other in (text.swapcase(), text.upper(), text.lower()):
            assert other == text or codec.decode(other) == []


def test_random_text_is_no_id():
    seeded = random.Random(5)
    for _ in range(100_000):
        text = "".join(seeded.choices(_LETTERS, k=seeded.randint(1, 16)))
        assert codec.decode(text) == []


def test_well_formed_text_without_the_right_proof_is_no_id():
    # What somebody makes who knows the order of the letters, but not the key.
    seeded = random.Random(6)
    sqids = codec._sqids
    for i in range(5_000):
        for ids in ([i], [i, seeded.getrandbits(24)], [i, 0], [0, i, 2**24]):
            assert codec.decode(sqids.encode(ids)) == []


def test_other_spellings_of_the_same_numbers_are_no_ids():
    spell = codec._sqids._Sqids__encode_numbers
    text = codec.encode([10])
    others = {spell([10, codec._proof([10])], i) for i in range(1, 62)} - {text}
    assert len(others) > 50
    for other in others:
        assert codec._sqids.decode(other) == [10, codec._proof([10])]
        assert codec.decode(other) == []
    short = Codec(RAW, "", 0).encode([10])
    assert codec.decode(short) == ([10] if len(short) >= 8 else [])


def test_a_number_over_the_most_is_no_id_even_with_its_proof():
    spell = codec._sqids._Sqids__encode_numbers
    for ids in ([MOST + 1], [1, 2**200]):
        assert codec.decode(spell([*ids, codec._proof(ids)], 0)) == []


@pytest.mark.parametrize(
    "wrong", [None, 5, True, b"abcdefgh", ["abcdefgh"], {}, "", "ä", "\0", "a b", "٣"]
)
def test_what_is_no_text_of_letters_is_no_id(wrong):
    assert codec.decode(wrong) == []


def test_long_text_is_cheap():
    start = time.perf_counter()
    for length in (128, 129, 1000, 8000, 1_000_000):
        for letter in "aZ0":
            assert codec.decode(letter * length) == []
    assert time.perf_counter() - start < 1
    client = client_of(Get("/@id", show).middleware("hashid:id"))
    assert client.get("/" + "a" * 8000).status == 404


# ---- parameters of the URL ----


@pytest.mark.parametrize(
    "wrong",
    ["10", "0", "-1", "abc", "abcdefgh", "a%00b", "%ff", "%C3%A4", "a%20b", "%2F", ","],
)
def test_what_is_no_id_is_404_for_a_name_and_stays_without_one(wrong):
    client = client_of(
        Get("/named/@id", show).middleware("hashid:id"),
        Get("/plain/@id", show).middleware("hashid"),
        Get("/raw/@id", show),
    )
    found = client.get(f"/named/{wrong}")
    assert (found.status, found.text) == (404, "Not Found")
    assert client.get(f"/plain/{wrong}").json() == client.get(f"/raw/{wrong}").json()


def test_named_ones_alone_are_decoded_and_each_one_without_names():
    ten, two = hashid(10), hashid(2)
    client = client_of(
        Get("/one/@a/@b", show).middleware("hashid:a"),
        Get("/two/@a/@b", show).middleware("hashid:a,b"),
        Get("/all/@a/@b/@c", show).middleware("hashid"),
    )
    assert client.get(f"/one/{ten}/{two}").json() == ["10", two]
    assert client.get(f"/one/{ten}/2").json() == ["10", "2"]
    assert client.get(f"/one/10/{two}").status == 404
    assert client.get(f"/two/{ten}/{two}").json() == ["10", "2"]
    assert client.get(f"/two/{ten}/2").status == 404
    assert client.get(f"/all/{ten}/2/{two}").json() == ["10", "2", "2"]


def test_all_readers_see_the_number_and_the_url_stays_as_it_was_sent():
    def read(request):
        url = [request.get_url(), request.get_full_url(), request.get_path()]
        readers = (request.get_parameter, request.param)
        values = [reader("id") for reader in readers]
        return [*url, *values, request.get_parameter(0), request.get_parameters()]

    text = hashid(1, 2)
    client = client_of(Get("/a/@id/z", read).middleware("hashid:id"))
    found = client.get(f"/a/{text}/z?id={text}", headers={"X-A": "b"}).json()
    path = f"/a/{text}/z"
    assert found == [path, f"{path}?id={text}", path, "1,2", "1,2", "1,2", ["1,2"]]


def test_the_rest_of_the_request_stays_readable():
    async def read(request):
        return [
            request.get_header("x-a"),
            request.get_headers()["x-b"],
            request.cookie("c"),
            request.all(),
            request.get_method(),
            request.get_parameters(),
        ]

    client = client_of(Route.put("/@a/@id/@b", read).middleware("hashid:id"))
    headers = {"X-A": "1", "X-B": "2", "Cookie": "c=3"}
    found = client.put(f"/x/{hashid(10)}/y?q=4", headers=headers, form={"f": "5"})
    assert found.json() == [
        "1",
        "2",
        "3",
        {"q": "4", "f": "5"},
        "PUT",
        ["x", "10", "y"],
    ]


def test_an_id_may_be_percent_encoded():
    text = hashid(10)
    encoded = "".join(f"%{ord(it):02x}" for it in text)
    client = client_of(Get("/@id", show).middleware("hashid:id"))
    assert client.get(f"/{encoded}").json() == ["10"]
    assert client.get(f"/%{ord(text[0]):02X}{text[1:]}").json() == ["10"]
    twice = encoded.replace("%", "%25")
    assert client.get(f"/{twice}").status == 404
    assert client.get(f"/{text}%00").status == 404
    assert client.get(f"/{text}+").status == 404
    assert client.get(f"/%20{text}").status == 404


def test_controllers_get_the_number_by_its_annotation():
    def typed(id: int):
        return [id]

    def plain(id):
        return [id]

    client = client_of(
        Get("/typed/@id", typed).middleware("hashid:id"),
        Get("/plain/@id", plain).middleware("hashid:id"),
    )
    assert client.get(f"/typed/{hashid(10)}").json() == [10]
    assert client.get(f"/plain/{hashid(10)}").json() == ["10"]
    assert client.get(f"/typed/{hashid(1, 2)}").status == 404
    assert client.get(f"/typed/{hashid(MOST)}").json() == [MOST]


def test_a_typed_parameter_of_the_url_is_what_was_sent():
    # The router decides before: `@id:int` finds no route for an id.
    client = client_of(Get("/@id:int", show).middleware("hashid"))
    assert client.get("/10").json() == ["10"]
    assert client.get(f"/{hashid(10)}").status == 404


def test_other_middleware_sees_the_number_behind_it():
    client = client_of(
        Get("/behind/@id", show).middleware("hashid:id", "noting:@id"),
        Get("/before/@id", show).middleware("noting:@id", "hashid:id"),
    )
    text = hashid(10)
    assert client.get(f"/behind/{text}").header("x-noted") == "10"
    assert client.get(f"/before/{text}").header("x-noted") == text


def test_an_optional_parameter_may_be_absent():
    def optional(request, id: int | None = None):
        return [id, request.get_parameter("id")]

    for spec in ("hashid", "hashid:id"):
        client = client_of(Get("/a/?id", optional).middleware(spec))
        assert client.get("/a").json() == [None, None]
        assert client.get(f"/a/{hashid(10)}").json() == [10, "10"]
    assert client.get("/a/10").status == 404


def test_twice_in_a_chain_is_as_once():
    class Grouped(Kernel):
        route_middleware = {**Kernel.route_middleware, "web": [HashIDMiddleware]}

    client = client_of(
        Get("/again/@id", show).middleware("hashid:id", "hashid"),
        Get("/salted/@id", show).middleware("salted:id"),
        Get("/both/@id/@to", show).middleware("salted:to", "hashid:id"),
        kernel=Grouped,
    )
    text = hashid(10)
    salted = hashid(11, salt="b", min_length=12)
    assert client.get(f"/again/{text}").json() == ["10"]
    assert client.get("/again/10").status == 404
    # The group's has decoded what is none of the other salt's.
    assert client.get(f"/salted/{text}").status == 404
    assert client.get(f"/salted/{salted}").json() == ["11"]
    assert client.get(f"/both/{text}/{salted}").json() == ["10", "11"]
    assert client.get(f"/both/{salted}/{text}").status == 404

    class Http(Kernel):
        http_middleware = [HashIDMiddleware]

    client = client_of(Get("/@id", show).middleware("hashid:id"), kernel=Http)
    assert client.get(f"/{text}").json() == ["10"]
    assert client.get("/10").status == 404


def test_a_route_that_a_request_is_handed_on_to_decodes_anew():
    def on(request):
        request.set_yield(True)

    client = client_of(
        Get("/a/@id", on).middleware("hashid:id"),
        Get("/@id/@to", show).middleware("hashid:to"),
        Get("/*", lambda request: "rest"),
    )
    assert client.get(f"/a/{hashid(10)}").json() == ["a", "10"]

    client = client_of(
        Get("/a/@id", on).middleware("hashid:id"),
        Get("/@id/@to", show),
    )
    text = hashid(10)
    assert client.get(f"/a/{text}").json() == ["a", text]


def test_around_every_request():
    class Http:
        http_middleware = [HashIDMiddleware]

    client = client_of(Get("/@id", show), kernel=Http)
    assert client.get(f"/{hashid(10)}").json() == ["10"]
    assert client.get("/a/b").status == 404


def test_in_chains_of_functions():
    def end(res, req, data=None):
        res.end(req.get_parameter("id"))

    app = App().get("/a/:id", joined(HashIDMiddleware, end))
    assert app.test_client().get(f"/a/{hashid(10)}").text == "10"
    app = App().get("/a/:id", end).use(HashIDMiddleware)
    assert app.test_client().get(f"/a/{hashid(10)}").text == "10"


def test_requests_of_one_connection_do_not_mix(serve):
    def setup(app):
        routes = [
            Get("/now/@a/@b", show).middleware("hashid"),
            Get("/later/@a/@b", later).middleware("hashid:a"),
            Get("/raw/@a/@b", show),
        ]
        app.kernel(Kernel, routes=routes)

    async def later(request):
        await asyncio.sleep(0.001)
        return request.get_parameters()

    asked = b""
    expected = []
    for i in range(120):
        kind = ("now", "later", "raw")[i % 3]
        one, two = hashid(i), hashid(i, i + 1)
        asked += f"GET /{kind}/{one}/{two} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        pair = [str(i), f"{i},{i + 1}"]
        expected.append({"now": pair, "later": [str(i), two], "raw": [one, two]}[kind])
    client = serve(setup).client()
    client.send(asked)
    assert [json.loads(client.read().body) for _ in expected] == expected


# ---- inputs ----

INPUTS = [Get("/in", all_of).middleware("inputs"), Post("/in", all_of)]
INPUTS[1].middleware("inputs")


def test_inputs_that_are_told_are_decoded_wherever_they_stand():
    client = client_of(*INPUTS)
    id, to = hashid(10), hashid(1, 2)
    both = {"id": "10", "to": "1,2"}
    query = f"/in?id={id}&to={to}"
    assert client.get(query).json() == both
    assert client.post(query).json() == both
    assert client.post("/in", form={"id": id, "to": to}).json() == both
    assert client.post("/in", json={"id": id, "to": to}).json() == both
    assert client.post(f"/in?id={id}", json={"to": to}).json() == both
    # What is not told stays, and what is absent is absent.
    assert client.post("/in", form={"x": id, "id": to}).json() == {"x": id, "id": "1,2"}
    assert client.get("/in").json() == client.post("/in").json() == {}
    # Of a name that both have, the body's counts.
    assert client.post("/in?id=10", form={"id": id}).json() == {"id": "10"}
    assert client.post(f"/in?id={id}", form={"id": "10"}).status == 400


@pytest.mark.parametrize("wrong", ["10", "", "x", " ", "\0", "ä", "a" * 5000])
def test_inputs_that_are_no_ids_are_400(wrong):
    client = client_of(*INPUTS)
    for options in ({"form": {"id": wrong}}, {"json": {"id": wrong}}):
        found = client.post("/in", **options)
        assert (found.status, found.text) == (400, "Bad Request")
    assert client.post("/in", form={"id": [hashid(1), hashid(2)]}).status == 400
    assert client.get("/in?id=10").status == 400
    assert client.get(f"/in?id={hashid(1)}&id={hashid(1)}").status == 400


@pytest.mark.parametrize("wrong", [10, 1.5, None, True, [], {}, ["x"], [10]])
def test_inputs_in_json_have_to_be_text(wrong):
    client = client_of(*INPUTS)
    assert client.post("/in", json={"id": wrong}).status == 400
    assert client.post("/in", json={"id": [hashid(10)]}).status == 400
    assert client.post("/in", json={"a": {"id": wrong}}).status == 200


def test_inputs_twice_in_a_chain_are_as_once():
    other = HashIDMiddleware.using(inputs=("id",))
    salted = HashIDMiddleware.using(inputs=("id",), salt="b")
    client = client_of(
        Post("/twice", all_of).middleware("inputs", other),
        Post("/salted", all_of).middleware("inputs", salted),
    )
    assert client.post("/twice", form={"id": hashid(10)}).json() == {"id": "10"}
    assert client.post("/twice", form={"id": "10"}).status == 400
    assert client.post("/salted", form={"id": hashid(10)}).status == 400


def test_inputs_are_decoded_beside_functions():
    def end(res, req, data=None):
        res.end(req.all())

    chain = joined(HashIDMiddleware.using(inputs=["id"]), end)
    client = App().post("/", chain).get("/", chain).test_client()
    text = hashid(10)
    assert client.post("/", form={"id": text}).json() == {"id": "10"}
    assert client.post("/", form={"id": "x"}).status == 400
    assert client.get(f"/?id={text}").json() == {"id": "10"}


# ---- the library ----


def test_without_the_library_pips_command_is_told_at_registration(monkeypatch):
    monkeypatch.setitem(sys.modules, "sqids", None)
    cure = r"pip install 'socketify-mw\[hashids\]'"
    with pytest.raises(ConfigError, match=cure):
        App().get("/:id", joined(HashIDMiddleware, lambda res, req, data: None))
    with pytest.raises(RouteError, match=cure):
        client_of(Get("/@id", show).middleware("hashid"))
    with pytest.raises(ConfigError, match=cure):
        hashid(1, salt="a salt that was not used before")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hashid:idd", "no parameter 'idd'; did you mean 'id'"),
        ("hashid:@id", "takes names, not values"),
        ("hashid:id,other", "no parameter 'other'"),
    ],
)
def test_hashed_ids_of_parameters_that_the_url_lacks(spec, message):
    kernel = type("Kernel", (), {"route_middleware": {"hashid": HashIDMiddleware}})
    route = Get("/posts/@id/?page", lambda request: "x").middleware(spec)
    with pytest.raises(RouteError, match=message) as caught:
        App().kernel(kernel, [route])
    assert "GET /posts/@id/?page" in str(caught.value)
    for good in ("hashid", "hashid:id", "hashid:id,page"):
        route = Get("/posts/@id/?page", lambda request: "x").middleware(good)
        App().kernel(kernel, [route])
