# Runs the unmodified `wstest` on PyPy 2.7, which has no bindings to OpenSSL: only twisted.internet.ssl is replaced, which ws:// does not use.
import sys
import types

stub = types.ModuleType("twisted.internet.ssl")
stub.ClientContextFactory = stub.ContextFactory = stub.DefaultOpenSSLContextFactory = stub.CertificateOptions = object
sys.modules["twisted.internet.ssl"] = stub
import twisted.internet

twisted.internet.ssl = stub
sys.argv = ["wstest"] + sys.argv[1:]
from autobahntestsuite.wstest import run

run()
