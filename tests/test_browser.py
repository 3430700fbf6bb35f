"""The log-in example, as a browser's user meets it."""

import os
import shutil

import pytest
from test_programs import ROOT, run  # noqa: F401

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: no browser is driven"
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: no browser is driven"
)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--host-resolver-rules=MAP *.test 127.0.0.1",
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def program(run, monkeypatch):  # noqa: F811
    monkeypatch.setenv("APP_ENV", "testing")
    program = run(str(ROOT / "examples" / "login_app" / "app.py"), "0")
    yield program
    assert program.stop()[0] == 0


@pytest.fixture
def page(browser, program):
    context = browser.new_context(base_url=program.url)
    yield context.new_page()
    context.close()


def log_in(page, password="a long password"):
    page.goto("/login")
    page.fill("[name=name]", "ann")
    page.fill("[name=password]", password)
    page.click("button")
    return page.locator("h1").inner_text()


def test_logging_in_and_out_with_a_cookie_that_nobody_can_read(page, program):
    page.goto("/")
    assert page.url.endswith("/login")
    assert page.get_by_role("status").inner_text() == "Log in first."
    assert log_in(page) == "Hello, ann"
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert page.evaluate("document.cookie") == ""
    page.click("button")
    assert page.get_by_role("status").inner_text() == "Good bye."
    # The old cookie after the log-out, as somebody would send it who has kept it.
    page.context.clear_cookies()
    page.context.add_cookies([cookie])
    page.goto("/")
    assert page.url.endswith("/login")


def test_a_wrong_token_is_refused_where_the_browser_does_not_tell_the_origin(
    page, program
):
    # Over plain HTTP to another machine, browsers send no Fetch Metadata; and a page
    # that wants no referrer has the origin "null".
    port = program.url.rpartition(":")[2]
    for is_right in (False, True):
        page.goto(f"http://site.test:{port}/login")
        page.evaluate("""document.head.insertAdjacentHTML(
            "beforeend", "<meta name=referrer content=no-referrer>")""")
        page.fill("[name=name]", "ann")
        page.fill("[name=password]", "a long password")
        if not is_right:
            token = page.locator("[name=__token]")
            token.evaluate("it => { it.value = it.value.split('').reverse().join('') }")
        with (
            page.expect_request("**/login") as sent,
            page.expect_navigation() as found,
        ):
            page.click("button")
        headers = sent.value.all_headers()
        assert headers["origin"] == "null" and "sec-fetch-site" not in headers
        assert found.value.status == (200 if is_right else 403)
    assert page.locator("h1").inner_text() == "Hello, ann"


def test_a_form_of_another_site_is_refused(page, program):
    log_in(page)
    other = page.context.new_page()
    other.route(
        "http://other.test/",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<form method="post" action="{program.url}/logout">'
            "<button>Win a prize</button></form>",
        ),
    )
    other.goto("http://other.test/")
    with other.expect_navigation() as found:
        other.click("button")
    assert found.value.status == 403
    page.goto("/")
    assert page.locator("h1").inner_text() == "Hello, ann"


def test_five_wrong_passwords_are_enough(page):
    for _ in range(5):
        assert log_in(page, "wrong") == "Log in"
        assert page.get_by_role("status").inner_text() == "That is not right."
    page.fill("[name=name]", "ann")
    page.fill("[name=password]", "a long password")
    with page.expect_navigation() as found:
        page.click("button")
    assert found.value.status == 429
    assert int(found.value.headers["retry-after"]) > 0
