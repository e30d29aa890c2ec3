"""Go's crypto/tls: 1.19 of Debian 12, 1.24 of Debian 13, 1.27 of unstable."""

import glob
import os

from interop.lab import PEERS, SID, TRIXIE
from interop.peer import ProgramPeer
from interop.run import Doc, Seen, cannot_have_certificates, cannot_have_ml_kem

NO_GROUP = Seen(r"CurvePreferences includes unsupported curve|no supported elliptic curves|no key exchanges supported by both|no supported key ?shares?|the client offers no key exchange group|"
                r"no ECDHE curve supported by both client and server")
NO_PSK = Doc("pkg.go.dev/crypto/tls: Config has no field for an external pre-shared key")
NO_EARLY = Doc("pkg.go.dev/crypto/tls: early data is for QUIC only (QUICConn, QUICSessionTicketOptions.EarlyData)")


class Go119(ProgramPeer):
    key, name = "go-1.19", "Go 1.19"
    ech_file, no_ech = "peer_no_ech.go", "pkg.go.dev/crypto/tls: EncryptedClientHelloConfigList was added in Go 1.23, EncryptedClientHelloKeys in 1.24"
    says = {"external PSK": NO_PSK, "0-RTT": NO_EARLY, "x448": NO_GROUP, **cannot_have_ml_kem(NO_GROUP),
            **cannot_have_certificates("rsapss", "ed448", "mldsa65")}

    def go(self, lab):
        lab.find("go", "golang-go")
        return "go"

    def goroot(self):
        return {}

    def version(self, lab):
        return lab.must(self.go(lab), "version", env=self.goroot()).split(" linux")[0].replace("go version ", "Go ")

    def prepare(self, lab):
        env = dict(self.goroot(), GOCACHE=lab.path(self.key + "-cache"), GO111MODULE="off", CGO_ENABLED="0", GOFLAGS="-p=2", GOTOOLCHAIN="local")
        lab.must(self.go(lab), "build", "-o", lab.path(self.key), os.path.join(PEERS, "peer.go"), os.path.join(PEERS, self.ech_file), env=env, seconds=300)

    def command(self, lab):
        return [lab.path(self.key)]

    def env(self, lab):
        """Without a go.mod that asks for 1.24 the hybrid group is off."""
        return {"GODEBUG": "tlsmlkem=1"}


class Go124(Go119):
    key, name = "go-1.24", "Go 1.24"
    says = {feature: words for feature, words in Go119.says.items() if feature[1] != "X25519MLKEM768"}
    ech = (("server", "accept"), ("server", "retry"), ("client", "accept"), ("client", "retry"))
    ech_file, root = "peer_ech.go", TRIXIE

    def go(self, lab):
        # A static program that finds its tools by GOROOT: it runs without chroot.
        lab.trixie("go", "golang-go", self.root)
        return glob.glob(os.path.join(self.root, "usr/lib/go-1.*/bin/go"))[0]

    def goroot(self):
        """Debian's GOROOT is made of absolute links into the root: make one that leads there."""
        return {"GOROOT": os.path.dirname(os.path.dirname(glob.glob(os.path.join(self.root, "usr/lib/go-1.*/bin/go"))[0]))}


class Go127(Go124):
    key, name = "go-1.27", "Go 1.27"
    root = SID
    says = {feature: words for feature, words in Go124.says.items() if "MLKEM" not in feature[1]
            and feature != ("client", "cert mldsa65")}
    says[("client", "x448")] = says[("server", "x448")] = Seen(r"no supported key exchange methods|the client offers no key exchange group|handshake_failure")
