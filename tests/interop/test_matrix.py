"""tests/interop/test_matrix.py: the cells of the interop matrix that are quick on any machine: OpenSSL and GnuTLS of this
Debian, both ways. The whole matrix is `./dev interop`."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from interop.cases import columns
from interop.gnutls import GnuTLS37
from interop.lab import Lab
from interop.matrix import enter_namespace, namespace_command, run_cell
from interop.openssl import OpenSSL30

FEATURES = ("client certificate", "HRR", "resumption", "0-RTT", "external PSK", "KeyUpdate", "1 MB each way", "chacha20", "cert ed25519")
NOT_WITH_3_8 = ("gnutls-3.7", "client", "0-RTT")  # gnutls-cli of Debian 13 cannot, see gnutls.py


def main():
    missing = [name for name in ("unshare", "ip", "openssl", "gnutls-serv", "swtpm") if shutil.which(name) is None]
    if missing:
        print("1..0 # SKIP not installed: " + " ".join(missing))
        return
    if not os.environ.get("TPMTLS_INTEROP_NAMESPACE") and subprocess.run(namespace_command() + ["true"], check=False).returncode != 0:
        print("1..0 # SKIP no network namespace can be made here, and gnutls-serv listens on every address")
        return
    enter_namespace("-B", os.path.abspath(__file__))
    cells = [(peer, role, title, options) for peer in (OpenSSL30(), GnuTLS37()) for role in ("server", "client")
             for title, options in columns() if title in FEATURES and (peer.key, role, title) != NOT_WITH_3_8]
    print("1..%d" % len(cells))
    lab = Lab(kinds=("p256", "ed25519"))
    try:
        for number, (peer, role, title, options) in enumerate(cells, 1):
            cell = run_cell(lab, peer, title, options, role)
            fine = cell["status"] == "ok"
            print("%s %d - %s as the %s: %s" % ("ok" if fine else "not ok", number, peer.name.split()[0], role, title), flush=True)
            if not fine:
                print("\n".join("# " + line for line in (cell["status"] + ": " + cell["note"]).splitlines()))
    finally:
        lab.close()


main()
