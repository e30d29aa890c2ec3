"""tests/interop/peers_list.py: the rows of the matrix, in their order."""

from interop.openssl import OpenSSL30, OpenSSL35

PEERS = [OpenSSL30(), OpenSSL35()]
