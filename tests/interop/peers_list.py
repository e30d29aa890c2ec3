"""tests/interop/peers_list.py: the rows of the matrix, in their order."""

from interop.boringssl import BoringSSL
from interop.botan import Botan
from interop.chromium import Chromium
from interop.curl import Curl
from interop.erlang import Erlang
from interop.gnutls import GnuTLS37, GnuTLS38, GnuTLSNext
from interop.go import Go119, Go124, Go127
from interop.java import Java
from interop.mbedtls import MbedTLS
from interop.node import Node
from interop.nss import NSS, NSS13, NSSNext
from interop.openssl import OpenSSL30, OpenSSL35, OpenSSL36, OpenSSL40
from interop.proxy import Haproxy, Nginx, Stunnel
from interop.python_ssl import Python
from interop.rustls import Rustls
from interop.wolfssl import WolfSSL

PEERS = [OpenSSL30(), OpenSSL35(), GnuTLS37(), GnuTLS38(), NSS(), NSS13(), Go119(), Go124(), Java(), Node(), Python(), Erlang(), Nginx(), Haproxy(),
         Stunnel(), Curl(), WolfSSL(), Rustls(), MbedTLS(), Botan(),
         OpenSSL36(), OpenSSL40(), GnuTLSNext(), NSSNext(), Go127(), BoringSSL(), Chromium()]
