"""Answer the benchmark routes as a bare WSGI application."""

import burner

runs = 0


def answer(start_response, body):
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


# As WSGI programs write them: each has the next one, and what it hands on in environ.
def authorized(inner):
    def outer(environ, start_response):
        environ["data"] = {"authorization": environ["HTTP_AUTHORIZATION"]}
        return inner(environ, start_response)

    return outer


def compared(inner):
    def outer(environ, start_response):
        data = environ["data"]
        data["same"] = environ["HTTP_AUTHORIZATION"] == data["authorization"]
        return inner(environ, start_response)

    return outer


def measured(inner):
    def outer(environ, start_response):
        environ["data"]["length"] = len(environ["HTTP_AUTHORIZATION"])
        return inner(environ, start_response)

    return outer


@authorized
@compared
@measured
def sync(environ, start_response):
    return answer(start_response, b"Hello, World!")


def app(environ, start_response):
    global runs
    if environ["PATH_INFO"] == "/sync":
        return sync(environ, start_response)
    if environ["PATH_INFO"] == "/count":
        return answer(start_response, b"%d" % runs)
    if environ["PATH_INFO"] == "/turns":
        return answer(start_response, b"%d" % burner.turns)
    if environ["PATH_INFO"] == "/echo":
        length = int(environ["CONTENT_LENGTH"])
        return answer(start_response, environ["wsgi.input"].read(length))
    runs += 1
    return answer(start_response, b"Hello, World!")
