"""Run a Python thread that competes with the server for the interpreter."""

import os
import threading

turns = 0


def burn():
    global turns
    while True:
        turns += 1


def start_if_asked():
    if os.environ.get("BUSY") == "1":
        threading.Thread(target=burn, daemon=True).start()
