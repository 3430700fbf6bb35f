from html import escape

from socketify_mw.middlewares import csrf_field

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
  body {{ font: 1.1rem/1.5 system-ui; max-width: 24rem; margin: 4rem auto; }}
  input, button {{ font: inherit; display: block; width: 100%; margin: 0 0 1rem;
    box-sizing: border-box; padding: .4rem; }}
</style>
<h1>{title}</h1>
{body}
"""


def page(response, title, body):
    response.header("Content-Type", "text/html; charset=utf-8")
    return PAGE.format(title=escape(title), body=body)


def login(request, response, message=""):
    message = message or request.session.get("message", "")
    return page(
        response,
        "Log in",
        f"""<p role="status">{escape(message)}</p>
<form method="post" action="/login">
  {csrf_field(request)}
  <label>Name <input name="name" autocomplete="username" required></label>
  <label>Password <input name="password" type="password" required
    autocomplete="current-password"></label>
  <button>Log in</button>
</form>""",
    )


def home(request, response):
    return page(
        response,
        f"Hello, {request.user()}",
        f"""<form method="post" action="/logout">
  {csrf_field(request)}
  <button>Log out</button>
</form>""",
    )
