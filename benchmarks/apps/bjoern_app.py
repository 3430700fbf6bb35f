"""Serve the WSGI application with bjoern."""

import sys

import bjoern
import burner
import wsgi

burner.start_if_asked()
bjoern.run(wsgi.app, "127.0.0.1", int(sys.argv[1]))
