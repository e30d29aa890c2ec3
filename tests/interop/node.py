"""Node's tls module."""

import os

from interop.lab import PEERS
from interop.peer import ProgramPeer
from interop.run import Doc, Seen, cannot_have_certificates, cannot_have_ml_kem

NO_GROUP = Seen(r"Failed to set ECDH curve")


class Node(ProgramPeer):
    key, name = "node", "Node"
    says = {"0-RTT": Doc("nodejs.org/api/tls.html: no function for early data"),
            **cannot_have_ml_kem(NO_GROUP), **cannot_have_certificates("mldsa65")}

    def command(self, lab):
        return [lab.find("node", "nodejs"), os.path.join(PEERS, "peer.js")]

    def version(self, lab):
        return lab.must(lab.find("node", "nodejs"), "-p", "'Node ' + process.versions.node + ' with OpenSSL ' + process.versions.openssl").strip()
