"""Java's JSSE."""

import os

from interop.lab import PEERS
from interop.peer import ProgramPeer
from interop.run import Doc, Seen, cannot_have_certificates, cannot_have_ml_kem

NO_GROUP = Seen(r"(contains no supported named groups|No supported named group|IllegalArgument|named groups|No appropriate protocol|handshake_failure|key exchange group)")


class Java(ProgramPeer):
    key, name = "java", "Java JSSE"
    says = {"external PSK": Doc("JEP 332: \"No new public APIs are required for the minimal implementation\": SSLContext and SSLParameters know no pre-shared key"),
            "0-RTT": Doc("JEP 332: \"It is also not a goal to support every feature of TLS 1.3\"; early data is not among those that follow, and SSLSocket has no method for it"),
            **cannot_have_ml_kem(NO_GROUP), **cannot_have_certificates("mldsa65")}

    def command(self, lab):
        return [lab.find("java", "openjdk-17-jdk-headless"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", lab.path("java"), "Peer"]

    def version(self, lab):
        return lab.run(lab.find("java", "openjdk-17-jdk-headless"), "-version")[1].splitlines()[0].replace('"', "")

    def prepare(self, lab):
        lab.make_pkcs12()
        lab.must(lab.find("javac", "openjdk-17-jdk-headless"), "-d", lab.path("java"), os.path.join(PEERS, "Peer.java"))
