"""nginx, haproxy and stunnel: as a server they stand in front of a plain TCP echo; as a client a plain TCP connection goes
through them to our server."""

import os
import re
import socket
import threading
import time

from interop.cases import PSK
from interop.lab import Failed
from interop.peer import Peer
from interop.run import Doc, Seen, Server, cannot_have_certificates, cannot_have_ml_kem

OPENSSL_GROUPS = {"x25519": "X25519", "secp256r1": "prime256v1", "secp384r1": "secp384r1", "secp521r1": "secp521r1", "x448": "X448"}
NO_PSK = "no setting for a pre-shared key"


def echo_backend():
    """The port of a plain TCP echo server in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(peer):
        with peer:
            try:
                data = peer.recv(65536)
                while data:
                    peer.sendall(data)
                    data = peer.recv(65536)
            except OSError:
                pass

    def serve():
        while True:
            threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def say(port, data):
    """The data in pieces over plain TCP; each comes back."""
    piece = min(len(data) // 4, 32768)
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        for at in range(0, len(data), piece):
            part, got = data[at:at + piece], b""
            plain.sendall(part)
            while len(got) < len(part):
                more = plain.recv(65536)
                if not more:
                    raise Failed("the proxy closed the connection")
                got += more
            if got != part:
                raise Failed("the echo is not what was sent")


class Proxy(Peer):
    _echo = None

    def echo(self):
        if Proxy._echo is None:
            Proxy._echo = echo_backend()
        return Proxy._echo

    def server_config(self, lab, case, port):
        raise NotImplementedError

    def client_config(self, lab, case, port, plain):
        raise NotImplementedError

    def start(self, lab, config):
        raise NotImplementedError

    def configure(self, lab, text):
        path = lab.path(self.key + ".conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        # haproxy wants the key with the certificate.
        for name in lab.kinds + ["client"]:
            with open(lab.path(name + "-both.pem"), "w", encoding="ascii") as f:
                for part in (name + ".pem", name + ".key"):
                    with open(lab.path(part), encoding="ascii") as g:
                        f.write(g.read())
        return path

    def serve(self, lab, case):
        port = lab.free_port()
        process = self.start(lab, self.configure(lab, self.server_config(lab, case, port)))
        lab.wait_listening(process, port)
        return Server(process, port)

    def connect(self, lab, case, port):
        plain = lab.free_port()
        process = self.start(lab, self.configure(lab, self.client_config(lab, case, port, plain)))
        try:
            lab.wait_listening(process, plain)
            for _ in range(2 if case.resume else 1):
                say(plain, lab.data[case.data])
                time.sleep(0.1)
        except (Failed, OSError) as why:
            time.sleep(0.2)
            raise Failed("%s: %s" % (why, self.log(lab, process))) from why
        time.sleep(0.1)
        return self.log(lab, process)

    def log(self, lab, process):
        return process.text()[-1500:]


class NginxHttp(Server):
    """Only the http module has early data: one request in it, another after it."""
    early = b"GET /early HTTP/1.1\r\nHost: localhost\r\n\r\n"

    @staticmethod
    def request(data):
        return b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"

    @staticmethod
    def is_answer(got, sent):
        return got.count(b"200 OK") == 3 and b"early=1" in got


class Nginx(Proxy):
    key, name = "nginx", "nginx"
    says = {
        "external PSK": Doc("nginx.org/en/docs/stream/ngx_stream_ssl_module.html: " + NO_PSK),
        ("client", "0-RTT"): Doc("nginx.org/en/docs/stream/ngx_stream_proxy_module.html: no proxy_ssl setting for early data"),
        **cannot_have_certificates("mldsa65"),
        **cannot_have_ml_kem(Seen(r'SSL_CTX_set1_curves_list\("\w+"\) failed'), Seen(r'SSL_CONF_cmd\("Groups", "\w+"\) failed')),
    }

    def version(self, lab):
        lab.find("nginx", "nginx-core")
        return lab.must("/usr/sbin/nginx", "-v").split(": ")[-1].strip()

    def wrap(self, lab, inner):
        module = "/usr/lib/nginx/modules/ngx_stream_module.so"
        load = "load_module %s;\n" % module if os.path.exists(module) else ""
        return (load + "daemon off; master_process off; pid nginx.pid; error_log stderr info; events { worker_connections 64; }\n"
                "stream { server { %s } }\n" % inner)

    def serve(self, lab, case):
        server = super().serve(lab, case)
        case.http = case.early
        return NginxHttp(server.process, server.port) if case.early else server

    def server_config(self, lab, case, port):
        if case.early:
            return ("daemon off; master_process off; pid nginx.pid; error_log stderr info; events { worker_connections 64; }\nhttp { access_log off; "
                    "server { listen 127.0.0.1:%d ssl; ssl_certificate %s.pem; ssl_certificate_key %s.key; ssl_protocols TLSv1.3; ssl_early_data on; "
                    'location / { return 200 "early=$ssl_early_data\\n"; } } }\n' % (port, lab.path(case.cert), lab.path(case.cert)))
        inner = ["listen 127.0.0.1:%d ssl" % port, "ssl_certificate %s.pem" % lab.path(case.cert), "ssl_certificate_key %s.key" % lab.path(case.cert),
                 "ssl_protocols TLSv1.3", "ssl_session_cache shared:s:1m", "proxy_pass 127.0.0.1:%d" % self.echo()]
        if case.group or case.retry:
            inner += ["ssl_ecdh_curve " + OPENSSL_GROUPS.get(case.group or "secp384r1", case.group or "")]
        if case.suite:
            inner += ["ssl_conf_command Ciphersuites " + case.suite]
        if case.client_cert:
            inner += ["ssl_verify_client on", "ssl_client_certificate " + lab.path("ca.pem")]
        return self.wrap(lab, "; ".join(inner) + ";")

    def client_config(self, lab, case, port, plain):
        inner = ["listen 127.0.0.1:%d" % plain, "proxy_pass 127.0.0.1:%d" % port, "proxy_ssl on", "proxy_ssl_verify on", "proxy_ssl_name localhost",
                 "proxy_ssl_server_name on", "proxy_ssl_trusted_certificate " + lab.path("ca.pem"), "proxy_ssl_protocols TLSv1.3"]
        if case.group:
            inner += ["proxy_ssl_conf_command Groups " + OPENSSL_GROUPS.get(case.group, case.group)]
        if case.suite:
            inner += ["proxy_ssl_conf_command Ciphersuites " + case.suite]
        if case.client_cert:
            inner += ["proxy_ssl_certificate " + lab.path("client.pem"), "proxy_ssl_certificate_key " + lab.path("client.key")]
        return self.wrap(lab, "; ".join(inner) + ";")

    def start(self, lab, config):
        return lab.spawn("/usr/sbin/nginx", "-p", lab.dir, "-e", "stderr", "-c", config)


NO_CURVES = Seen(r"the client offers no key exchange group of ours", "curves is a bind option only (docs.haproxy.org/2.6/configuration.html), its "
                 "libcrypto 3.0 has no ML-KEM, and our server says")


class Haproxy(Proxy):
    key, name = "haproxy", "haproxy"
    says = {
        "external PSK": Doc("docs.haproxy.org/2.6/configuration.html: " + NO_PSK),
        ("client", "0-RTT"): Doc("docs.haproxy.org/2.6/configuration.html, server option allow-0rtt: \"Note that early data will be sent only if the "
                                 "client used early data, or if the backend uses retry-on with the 0rtt-rejected keyword\": HTTP only"),
        **cannot_have_ml_kem(Seen(r"unable to set SSL curves list"), NO_CURVES),
        **cannot_have_certificates("mldsa65"),
    }

    def version(self, lab):
        return " ".join(lab.must(lab.find("haproxy", "haproxy"), "-v").split()[:3])

    def wrap(self, front, back):
        return ("global\n  nbthread 1\n  maxconn 50\n  log stderr format raw local0\ndefaults\n  mode tcp\n  log global\n  option tcplog\n  timeout connect 5s\n  timeout client 20s\n  "
                "timeout server 20s\nfrontend f\n  %s\n  default_backend b\nbackend b\n  %s\n" % (front, back))

    def server_config(self, lab, case, port):
        front = "bind 127.0.0.1:%d ssl crt %s ssl-min-ver TLSv1.3" % (port, lab.path(case.cert + "-both.pem"))
        if case.group or case.retry:
            front += " curves " + OPENSSL_GROUPS.get(case.group or "secp384r1", case.group or "")
        if case.suite:
            front += " ciphersuites " + case.suite
        if case.client_cert:
            front += " verify required ca-file " + lab.path("ca.pem")
        if case.early:
            front += " allow-0rtt"
        return self.wrap(front, "server e 127.0.0.1:%d" % self.echo())

    def client_config(self, lab, case, port, plain):
        back = "server s 127.0.0.1:%d ssl ssl-min-ver TLSv1.3 verify required ca-file %s sni str(localhost) verifyhost localhost" % (port, lab.path("ca.pem"))
        if case.suite:
            back += " ciphersuites " + case.suite
        if case.client_cert:
            back += " crt " + lab.path("client-both.pem")
        return self.wrap("bind 127.0.0.1:%d" % plain, back)

    def start(self, lab, config):
        return lab.spawn("/usr/sbin/haproxy", "-db", "-f", config)


class Stunnel(Proxy):
    key, name = "stunnel", "stunnel"
    says = {
        **cannot_have_certificates("mldsa65"),
        "0-RTT": Doc("stunnel.org/static/stunnel.html has no option for early data"),
        **cannot_have_ml_kem(Seen(r"Invalid groups list in 'curves'")),
    }

    def version(self, lab):
        return re.search(r"stunnel [0-9.]+", lab.run(lab.find("stunnel", "stunnel4"), "-version")[1]).group(0)

    def wrap(self, lab, case, words):
        words = ["sslVersion = TLSv1.3"] + words
        if case.group or (case.retry and case.role == "server"):
            words += ["curves = " + OPENSSL_GROUPS.get(case.group or "secp384r1", case.group or "")]
        if case.suite:
            words += ["ciphersuites = " + case.suite]
        if case.psk:
            with open(lab.path("stunnel.psk"), "w", encoding="ascii") as f:
                f.write(":".join(PSK) + "\n")
            os.chmod(lab.path("stunnel.psk"), 0o600)
            words += ["PSKsecrets = " + lab.path("stunnel.psk"), "ciphersuites = TLS_AES_128_GCM_SHA256"]
        return "foreground = yes\npid =\ndebug = info\nsyslog = no\n[s]\n" + "\n".join(words) + "\n"

    def server_config(self, lab, case, port):
        words = ["accept = 127.0.0.1:%d" % port, "connect = 127.0.0.1:%d" % self.echo()]
        if not case.psk:
            words += ["cert = %s.pem" % lab.path(case.cert), "key = %s.key" % lab.path(case.cert)]
        if case.client_cert:
            words += ["CAfile = " + lab.path("ca.pem"), "verifyChain = yes", "requireCert = yes"]
        return self.wrap(lab, case, words)

    def client_config(self, lab, case, port, plain):
        words = ["client = yes", "accept = 127.0.0.1:%d" % plain, "connect = 127.0.0.1:%d" % port, "sni = localhost"]
        if not case.psk:
            words += ["CAfile = " + lab.path("ca.pem"), "verifyChain = yes", "checkHost = localhost"]
        if case.client_cert:
            words += ["cert = " + lab.path("client.pem"), "key = " + lab.path("client.key")]
        return self.wrap(lab, case, words)

    def start(self, lab, config):
        return lab.spawn("/usr/bin/stunnel", config)
