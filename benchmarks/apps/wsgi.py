"""Answer the benchmark routes as a bare WSGI application."""

import burner

runs = 0


def answer(start_response, body):
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


def app(environ, start_response):
    global runs
    if environ["PATH_INFO"] == "/count":
        return answer(start_response, b"%d" % runs)
    if environ["PATH_INFO"] == "/turns":
        return answer(start_response, b"%d" % burner.turns)
    if environ["PATH_INFO"] == "/echo":
        length = int(environ["CONTENT_LENGTH"])
        return answer(start_response, environ["wsgi.input"].read(length))
    runs += 1
    return answer(start_response, b"Hello, World!")
