"""CPython's own tests of asyncio's event loop, with ours in place of its own."""

import asyncio
import gc
import importlib
import unittest

import pytest

from socketify_mw import Loop

pytest.importorskip(
    "test.test_asyncio", reason="this Python came without its own tests"
)

# Those whose setting up makes a loop that talks to the kernel. Left out is what says
# nothing more: the same mixins with another selector of asyncio, the parts that run on
# any loop (tasks, locks, queues), and start_tls, which TestSSL has again.
SUITES = {
    "test_base_events": ["BaseEventLoopWithSelectorTests"],
    "test_buffered_proto": ["BufferedProtocolSelectorTests"],
    "test_events": ["SelectEventLoopTests"],  # all of the mixin, and subprocesses
    "test_sendfile": ["SelectEventLoopTests"],
    "test_server": [
        "SelectorStartServerTests",
        "TestServer2",  # from 3.12 on
        "UnixServerCleanupTests",  # from 3.13 on
    ],
    "test_sock_lowlevel": ["SelectEventLoopTests"],
    "test_ssl": ["TestSSL"],
    "test_sslproto": ["SslProtoHandshakeTests"],
    "test_streams": ["StreamTests"],
    "test_subprocess": ["SubprocessPidfdWatcherTests"],
    "test_timeouts": ["TimeoutTests"],
    "test_unix_events": [
        "SelectorEventLoopSignalTests",
        "SelectorEventLoopUnixSockSendfileTests",
        "SelectorEventLoopUnixSocketTests",
        "TestFork",  # from 3.12 on
        "TestFunctional",
    ],
}

# Without these there would be too little left to call it a proof.
ESSENTIAL = {
    ("test_events", "test_call_soon_threadsafe"),
    ("test_events", "test_signal_handling_while_selecting"),
    ("test_events", "test_subprocess_interactive"),
    ("test_sock_lowlevel", "test_sock_client_ops"),
    ("test_ssl", "test_start_tls_server_1"),
    ("test_streams", "test_open_connection"),
    ("test_subprocess", "test_communicate"),
}


def _cases():
    for module_name, classes in SUITES.items():
        module = importlib.import_module(f"test.test_asyncio.{module_name}")
        for class_name in classes:
            case = getattr(module, class_name, None)
            if case is not None:
                for name in unittest.defaultTestLoader.getTestCaseNames(case):
                    yield module_name, class_name, case, name


CASES = list(_cases())


@pytest.fixture(autouse=True, scope="module")
def quick_collections():
    """Leave alone what the other tests have loaded: CPython's collect all the time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def count_of_ours(monkeypatch):
    """Have asyncio make our loops; return a function that tells how many it made."""
    count = 0

    class OurLoop(Loop):
        def __init__(self, selector=None):
            nonlocal count
            count += 1
            if selector is not None:
                selector.close()
            super().__init__()

    monkeypatch.setattr(asyncio, "SelectorEventLoop", OurLoop)
    # Private; what asyncio.new_event_loop() calls, whatever policy a test sets.
    monkeypatch.setattr(asyncio.DefaultEventLoopPolicy, "_loop_factory", OurLoop)
    return lambda: count


def run(case, name):
    """Run a test of unittest with what surrounds its class and its module."""
    result = unittest.TestResult()
    unittest.TestSuite([case(name)]).run(result)
    return result


# They raise SIGALRM themselves; and some fork beside the thread of that timeout.
@pytest.mark.timeout(method="thread")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("case", "name"),
    [pytest.param(*it[2:], id=f"{it[0]}-{it[1]}-{it[3]}") for it in CASES],
)
def test_what_cpython_asks_of_its_loop_holds_for_ours(
    case, name, count_of_ours, monkeypatch
):
    result = run(case, name)
    for _, trace in result.failures + result.errors:
        pytest.fail(trace, pytrace=False)
    assert not result.unexpectedSuccesses
    if result.skipped:
        monkeypatch.undo()  # and see whether it is skipped on asyncio's loop too
        reasons = [reason for _, reason in result.skipped]
        assert [reason for _, reason in run(case, name).skipped] == reasons
        pytest.skip(f"CPython skips it for its own loop too: {reasons[0]}")
    assert count_of_ours() > 0, "it has not run on our loop"


def test_the_suite_has_what_it_is_there_for():
    there = {(module, name) for module, _, _, name in CASES}
    assert not ESSENTIAL - there
    assert len(CASES) > 300
