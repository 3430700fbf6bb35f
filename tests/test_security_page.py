"""What docs/security.md says of requests and answers, over the wire."""

import pytest

from socketify_mw import App

MALFORMED = {
    "a line end without CR": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\nab",
    "a length beside a coding": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a blank before a colon": b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_refused_and_its_connection_closed(serve, name):
    client = serve(lambda app: app.any("/", lambda res, req: res.end("x"))).client()
    client.send(MALFORMED[name] + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.read().status == 400
    with pytest.raises((EOFError, ConnectionError)):
        client.read()


def test_nothing_of_a_value_that_breaks_out_of_its_line_is_sent():
    def handler(res, req):
        res.write_header("X-Name", req.get_query("name")).end("x")

    answer = (
        App().get("/", handler).test_client().get("/?name=a%0d%0aSet-Cookie:%20b=c")
    )
    assert answer.status == 500
    assert answer.header("set-cookie") is None and answer.header("x-name") is None


def test_an_error_s_answer_has_its_name_alone():
    def handler(res, req):
        raise ValueError("a secret of the program")

    answer = App().get("/", handler).test_client().get("/")
    assert (answer.status, answer.text) == (500, "Internal Server Error")
    assert "secret" not in str(answer.headers)
