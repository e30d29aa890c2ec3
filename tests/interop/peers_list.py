"""tests/interop/peers_list.py: the rows of the matrix, in their order."""

from interop.curl import Curl
from interop.gnutls import GnuTLS37, GnuTLS38
from interop.openssl import OpenSSL30, OpenSSL35
from interop.proxy import Haproxy, Nginx, Stunnel
from interop.python_ssl import Python

PEERS = [OpenSSL30(), OpenSSL35(), GnuTLS37(), GnuTLS38(), Python(), Curl(), Nginx(), Haproxy(), Stunnel()]
