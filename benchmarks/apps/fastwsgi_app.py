"""Serve the WSGI application with fastwsgi."""

import sys

import fastwsgi
import wsgi

fastwsgi.run(wsgi_app=wsgi.app, host="127.0.0.1", port=int(sys.argv[1]))
