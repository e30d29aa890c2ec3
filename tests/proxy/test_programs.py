#!/usr/bin/env python3
"""tests/proxy/test_programs.py: programs that know nothing of a TPM, through `tpmtls proxy`: curl and nginx, psql and
PostgreSQL, mosquitto, redis, haproxy, Go, Java; peers that misbehave; a TPM that goes and comes back. What is not installed
is skipped."""
import base64
import glob
import hashlib
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness  # noqa: E402
import swtpm  # noqa: E402

LAB = None
PROGRAM = harness.PROGRAM
# What a run of hours takes more of: TPMTLS_PROXY_BULK=4096 TPMTLS_PROXY_SHORT=10000 TPMTLS_PROXY_RELOADS=200
BULK = int(os.environ.get("TPMTLS_PROXY_BULK", "32")) << 20  # bytes each way
SHORT = int(os.environ.get("TPMTLS_PROXY_SHORT", "400"))  # connections
RELOADS = int(os.environ.get("TPMTLS_PROXY_RELOADS", "20"))


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.make_identities()


def tearDownModule():
    LAB.close()


def needs(*programs):
    missing = [p for p in programs if find(p) is None]
    return unittest.skipIf(missing, "%s is not installed" % " and ".join(missing))


def find(program):
    """Also what lies beside the path of ordinary users, and PostgreSQL's own."""
    places = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:" + ":".join(sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True))
    return shutil.which(program, path=places)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait_for_port(port, program):
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            if program.process.poll() is not None:
                raise AssertionError(program.text.decode("utf-8", "replace")) from None
            time.sleep(0.05)
    raise AssertionError("%s does not listen" % program.command[0])


class Case(unittest.TestCase):
    def chip_with(self, name):
        """A swtpm of its own, with the key of a server in it: NAME.key, NAME.pem."""
        chip = swtpm.Swtpm(LAB.path(name + "-chip"))
        self.addCleanup(chip.stop)
        env = {"TPMTLS_TPM": chip.tcti}
        LAB.must(PROGRAM, "key", "create", "--type", "p256", "-o", name + ".key", env=env)
        LAB.must(PROGRAM, "csr", "--key", name + ".key", "--subject", "/CN=localhost", "--san", "DNS:localhost", "-o", name + ".csr", env=env)
        LAB.must(PROGRAM, "ca", "sign", "--dir", "ca", name + ".csr", "--profile", "server", "-o", name + ".pem")
        return chip

    def start(self, *command, port=None):
        p = LAB.background(*command)
        self.addCleanup(p.__exit__)
        if port is not None:
            wait_for_port(port, p)
        return p

    def proxy(self, role, at, *args, tpm=None):
        options = ["--tpm", tpm] if tpm else []
        p = self.start(PROGRAM, *options, "proxy", role, "--listen", "127.0.0.1:0", "--connect", at, *args)
        p.port = int(p.wait_for(r"event=listening tunnel=%s address=127.0.0.1:(\d+)" % role).group(1))
        p.at = "127.0.0.1:%d" % p.port
        return p

    def client(self, port, *args, key="client-p256", **kw):
        return self.proxy("client", "localhost:%d" % port, "--key", key + ".key", "--cert", key + ".pem", "--ca", "ca/ca.pem",
                          *args, **kw)

    def server(self, at, *args, key="server-p256", who=("--allow-all",), **kw):
        return self.proxy("server", at, "--key", key + ".key", "--cert", key + ".pem", "--client-ca", "ca/ca.pem", *who, *args,
                          **kw)

    def nginx(self, server, extra=""):
        """nginx with one server block; PORT stands for its port."""
        folder = LAB.path("nginx-%d" % free_port())
        os.makedirs(folder)
        port = free_port()
        paths = " ".join("%s_temp_path %s/%s;" % (w, folder, w) for w in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(os.path.join(folder, "nginx.conf"), "w", encoding="utf-8") as f:
            f.write("daemon off; master_process off; pid %s/pid; error_log stderr; events {}\n%s\nhttp { access_log off; %s\n"
                    "server { %s } }\n" % (folder, extra, paths, server.replace("PORT", str(port))))
        self.start(find("nginx"), "-e", "stderr", "-p", folder, "-c", os.path.join(folder, "nginx.conf"), port=port)
        return port

    def tls_nginx(self, listen="127.0.0.1:PORT ssl", body="return 200 \"$ssl_client_verify $ssl_client_s_dn $server_protocol\\n\";"):
        return self.nginx("listen %s; server_name localhost; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.3; "
                          "ssl_client_certificate %s; ssl_verify_client on; location / { %s }"
                          % (listen, LAB.path("soft.pem"), LAB.path("soft.key"), LAB.path("ca/ca.pem"), body))


class Web(Case):
    @needs("curl", "nginx")
    def test_curl_and_nginx(self):
        port = self.tls_nginx()
        direct = LAB.run("curl", "-sS", "--cacert", "ca/ca.pem", "https://localhost:%d/" % port)
        self.assertNotIn(b"SUCCESS", direct.out)  # the control: without the proxy there is no certificate
        proxy = self.client(port)
        urls = ["http://%s/%d" % (proxy.at, i) for i in range(20)]
        done = LAB.must("curl", "-sS", "--parallel", *urls)
        self.assertEqual(done.out.count(b"SUCCESS CN=device-p256,O=Example HTTP/1.1\n"), 20, done.out)

    @needs("curl", "nginx")
    def test_http2(self):
        proxy = self.client(self.tls_nginx("127.0.0.1:PORT ssl http2"), "--alpn", "h2")
        done = LAB.must("curl", "-sS", "--http2-prior-knowledge", "http://%s/" % proxy.at)
        self.assertIn(b"HTTP/2.0", done.out)

    @needs("curl", "nginx")
    def test_curl_to_a_server_behind_the_proxy(self):
        behind = self.nginx("listen 127.0.0.1:PORT; location / { return 200 \"plain\\n\"; }")
        proxy = self.server("127.0.0.1:%d" % behind, who=("--allow-cn", "localhost"))
        url = "https://localhost:%d/" % proxy.port
        done = LAB.must("curl", "-sS", "--cacert", "ca/ca.pem", "--cert", "soft.pem", "--key", "soft.key", url)
        self.assertEqual(done.out, b"plain\n")
        without = LAB.run("curl", "-sS", "--cacert", "ca/ca.pem", url)
        self.assertNotEqual(without.code, 0)
        old = LAB.run("curl", "-sS", "--tls-max", "1.2", "--cacert", "ca/ca.pem", "--cert", "soft.pem", "--key", "soft.key", url)
        self.assertNotEqual(old.code, 0)
        proxy.wait_for("TLS 1.3")
        LAB.run("curl", "-sS", "http://localhost:%d/" % proxy.port)
        proxy.wait_for("HTTP request")

    @needs("go", "nginx")
    def test_go(self):
        LAB.write("get.go", 'package main\nimport ("fmt"; "io"; "net/http"; "os")\nfunc main() {\n r, err := http.Get(os.Args[1])\n'
                  ' if err != nil { panic(err) }\n b, _ := io.ReadAll(r.Body)\n fmt.Print(string(b))\n}\n')
        proxy = self.client(self.tls_nginx())
        done = LAB.must("go", "run", "get.go", "http://%s/" % proxy.at, env={"GOCACHE": LAB.path("go-cache"), "HOME": LAB.dir, "GO111MODULE": "off"},
                        timeout=240)
        self.assertIn(b"SUCCESS CN=device-p256", done.out)

    @needs("javac", "nginx")
    def test_java(self):
        LAB.write("Get.java", 'import java.net.*;\npublic class Get { public static void main(String[] a) throws Exception {\n'
                  ' System.out.write(new URL(a[0]).openStream().readAllBytes()); System.out.flush(); } }\n')
        proxy = self.client(self.tls_nginx())
        done = LAB.must("java", "Get.java", "http://%s/" % proxy.at, timeout=240)
        self.assertIn(b"SUCCESS CN=device-p256", done.out)


class Behind(Case):
    """Who reads our PROXY protocol header."""

    def get(self, proxy, path="/"):
        return LAB.must("curl", "-sS", "--cacert", "ca/ca.pem", "--cert", "soft.pem", "--key", "soft.key", "--local-port",
                        "20000-60000", "https://localhost:%d%s" % (proxy.port, path)).out.decode()

    @needs("curl", "nginx")
    def test_nginx(self):
        port = self.nginx("listen 127.0.0.1:PORT proxy_protocol; location / { "
                          "return 200 \"$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port\\n\"; }")
        proxy = self.server("127.0.0.1:%d" % port, "--proxy-protocol")
        source, source_port, own_port = self.get(proxy).split()
        self.assertEqual((source, own_port), ("127.0.0.1", str(proxy.port)))
        self.assertNotEqual(source_port, own_port)
        without = self.server("127.0.0.1:%d" % port)  # the control: nginx demands the header
        done = LAB.run("curl", "-sS", "--cacert", "ca/ca.pem", "--cert", "soft.pem", "--key", "soft.key",
                       "https://localhost:%d/" % without.port)
        self.assertNotEqual(done.code, 0)

    @needs("curl", "haproxy")
    def test_haproxy(self):
        """haproxy checks the CRC32C, too."""
        port = free_port()
        LAB.write("haproxy.cfg", "defaults\n mode http\n timeout client 10s\n timeout server 10s\n timeout connect 5s\n"
                  "frontend f\n bind 127.0.0.1:%d accept-proxy\n http-request return status 200 content-type text/plain "
                  "lf-string \"%%[src] %%[dst_port] %%[fc_pp_authority]\"\n" % port)
        haproxy = self.start(find("haproxy"), "-db", "-f", LAB.path("haproxy.cfg"), port=port)
        proxy = self.server("127.0.0.1:%d" % port, "--proxy-protocol")
        self.assertEqual(self.get(proxy), "127.0.0.1 %d localhost" % proxy.port)
        self.assertIsNone(haproxy.process.poll())

    def test_every_field(self):
        """Read by hand: the first bytes that the program gets."""
        heard = []

        def hear(peer):
            data = b""
            while b"hello" not in data:
                part = peer.recv(4096)
                if not part:
                    break
                data += part
            heard.append(data)
            peer.sendall(b"done")
        with harness.OneShotServer(hear) as program:
            proxy = self.server("127.0.0.1:" + program.port, "--proxy-protocol", "--alpn", "http/1.1")
            context = ssl.create_default_context(cafile=LAB.path("ca/ca.pem"))
            context.load_cert_chain(LAB.path("soft.pem"), LAB.path("soft.key"))
            context.set_alpn_protocols(["http/1.1"])
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=harness.TIMEOUT) as raw:
                with context.wrap_socket(raw, server_hostname="localhost") as s:
                    s.sendall(b"hello")
                    self.assertEqual(s.recv(10), b"done")
                    from_port = s.getsockname()[1]
        data = heard[0]
        self.assertEqual(data[:16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(data) - 5 - 16))
        self.assertEqual(data[16:28], socket.inet_aton("127.0.0.1") * 2 + struct.pack("!HH", from_port, proxy.port))
        fields = self.fields(data[28:-5])
        self.assertEqual((fields[1], fields[2]), (b"http/1.1", b"localhost"))
        client, verify = struct.unpack("!BI", fields[0x20][:5])
        self.assertEqual((client, verify), (7, 0))
        ssl_fields = self.fields(fields[0x20][5:])
        self.assertEqual((ssl_fields[0x21], ssl_fields[0x22]), (b"TLSv1.3", b"localhost"))
        self.assertTrue(ssl_fields[0x23].startswith(b"TLS_"))
        self.assertEqual((ssl_fields[0x25], ssl_fields[0x24]), (b"EC256", b"ecdsa-with-SHA256"))

    def fields(self, data):
        found = {}
        while data:
            kind, length = struct.unpack("!BH", data[:3])
            self.assertNotIn(kind, found)
            found[kind] = data[3:3 + length]
            self.assertEqual(len(found[kind]), length)
            data = data[3 + length:]
        return found


class Databases(Case):
    def postgres(self):
        """A server on a unix socket and TCP, in plaintext, as a user that is not root."""
        user = "postgres" if os.geteuid() == 0 else None
        folder = "/tmp/tpmtls-pg-%d" % free_port()
        os.mkdir(folder, 0o700)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        if user:
            shutil.chown(folder, user, user)
        as_user = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"] if user else []
        port = free_port()
        LAB.must(*as_user, find("initdb"), "-D", folder + "/data", "-U", "tester", "-A", "trust", "--no-sync", env={"HOME": folder})
        self.start(*as_user, find("postgres"), "-D", folder + "/data", "-p", str(port), "-k", folder, "-c",
                   "listen_addresses=127.0.0.1", "-c", "fsync=off", port=port)
        return port

    @needs("psql", "initdb", "postgres", "setpriv")
    def test_psql(self):
        """psql 15 cannot begin with TLS; the tunnels do it for both sides."""
        if os.geteuid() == 0 and LAB.run("id", "postgres").code != 0:
            self.skipTest("there is no user postgres")
        inside = self.server("127.0.0.1:%d" % self.postgres(), who=("--allow-cn", "device-p256"))
        outside = self.client(inside.port)

        def psql(*words, stdin=b""):
            return LAB.must(find("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(outside.port), "-U", "tester", "-d",
                            "postgres", "-At", *words, stdin=stdin, env={"PGSSLMODE": "disable", "HOME": LAB.dir})
        psql("-c", "create table t (n int, s text)")
        rows = b"".join(b"%d\t%s\n" % (i, hashlib.sha256(b"%d" % i).hexdigest().encode() * 4) for i in range(20000))
        psql("-c", "copy t from stdin", stdin=rows)
        self.assertEqual(psql("-c", "copy (select * from t order by n) to stdout").out, rows)
        self.assertEqual(psql("-c", "select count(*), sum(n) from t").out, b"20000|199990000\n")

    @needs("redis-cli", "redis-server")
    def test_redis(self):
        port = free_port()
        server = self.start(find("redis-server"), "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--tls-cert-file", LAB.path("soft.pem"),
                            "--tls-key-file", LAB.path("soft.key"), "--tls-ca-cert-file", LAB.path("ca/ca.pem"),
                            "--tls-auth-clients", "yes", "--save", "")
        server.wait_for("Ready to accept connections|[Ff]ailed|Bad directive")
        if b"Bad directive" in server.text:
            self.skipTest("this redis has no TLS")
        proxy = self.client(port)

        def redis(*words, stdin=b""):
            return LAB.must("redis-cli", "-p", str(proxy.port), *words, stdin=stdin).out
        self.assertEqual(redis("ping"), b"PONG\n")
        value = os.urandom(200000).hex().encode()
        self.assertEqual(redis("-x", "set", "k", stdin=value), b"OK\n")
        self.assertEqual(redis("get", "k").strip(), value)
        self.assertIn(b"replies: 10000", redis("--pipe", stdin=b"INCR n\r\n" * 10000))
        self.assertEqual(redis("get", "n"), b"10000\n")

    @needs("mosquitto", "mosquitto_pub", "mosquitto_sub")
    def test_mosquitto(self):
        port = free_port()
        LAB.write("broker.conf", "per_listener_settings true\nlistener %d 127.0.0.1\nallow_anonymous false\ncafile %s\ncertfile %s\nkeyfile %s\n"
                  "require_certificate true\nuse_identity_as_username true\ntls_version tlsv1.3\n"
                  % (port, LAB.path("ca/ca.pem"), LAB.path("soft.pem"), LAB.path("soft.key")))
        if os.geteuid() == 0:
            LAB.write("broker.conf", LAB.read("broker.conf") + b"user root\n")
        self.start(find("mosquitto"), "-c", LAB.path("broker.conf"), port=port)
        proxy = self.client(port)
        for word in ("one", "two", "three"):
            LAB.must("mosquitto_pub", "-h", "127.0.0.1", "-p", str(proxy.port), "-t", "a/" + word, "-q", "1", "-r", "-m", word)
        done = LAB.must("mosquitto_sub", "-h", "127.0.0.1", "-p", str(proxy.port), "-t", "a/#", "-q", "1", "-C", "3")
        self.assertEqual(sorted(done.out.split()), [b"one", b"three", b"two"])
        direct = LAB.run("mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "--cafile", "ca/ca.pem", "-t", "a", "-m", "x", "-q", "1")
        self.assertNotEqual(direct.code, 0)  # the control: the broker demands a certificate


def pump(source, sink):
    """All of it, then the end."""
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Peers(Case):
    """Between two tunnels: whatever the ends do arrives as it was done."""

    def tunnels(self, talk, *args, **kw):
        program = harness.Programs(talk)
        self.addCleanup(program.listener.close)
        inside = self.server(program.at, *args, **kw)
        outside = self.client(inside.port, **kw)
        outside.program, outside.inside = program, inside
        return outside

    def dial(self, tunnel):
        s = socket.create_connection(("127.0.0.1", tunnel.port), timeout=harness.TIMEOUT)
        self.addCleanup(s.close)
        return s

    def test_much_both_ways(self):
        block = os.urandom(1 << 20)
        seen = []

        def talk(peer):
            writer = threading.Thread(target=lambda: [peer.sendall(block) for _ in range(BULK >> 20)] and peer.shutdown(socket.SHUT_WR))
            writer.start()
            seen.append(self.digest(peer))
            writer.join()
        s = self.dial(self.tunnels(talk))
        writer = threading.Thread(target=lambda: [s.sendall(block) for _ in range(BULK >> 20)] and s.shutdown(socket.SHUT_WR))
        writer.start()
        sent = hashlib.sha256()
        for _ in range(BULK >> 20):
            sent.update(block)
        want = sent.hexdigest()
        self.assertEqual(self.digest(s), want)
        writer.join()
        limit = time.monotonic() + harness.TIMEOUT
        while not seen and time.monotonic() < limit:
            time.sleep(0.01)
        self.assertEqual(seen, [want])

    def digest(self, s):
        h = hashlib.sha256()
        while True:
            data = s.recv(1 << 18)
            if not data:
                return h.hexdigest()
            h.update(data)

    def test_half_closed_either_way(self):
        def talk(peer):
            peer.sendall(b"first")
            peer.shutdown(socket.SHUT_WR)  # the server's side ends first
            data = b""
            while True:
                part = peer.recv(100)
                if not part:
                    break
                data += part
            got.append(data)
        got = []
        tunnel = self.tunnels(talk)
        s = self.dial(tunnel)
        self.assertEqual(s.recv(100), b"first")
        self.assertEqual(s.recv(100), b"")
        s.sendall(b"still here")  # the other way goes on
        s.shutdown(socket.SHUT_WR)
        self.assertTrue(tunnel.program.ended.acquire(timeout=harness.TIMEOUT))
        self.assertEqual(got, [b"still here"])

    def test_reset(self):
        """A reset of one end is a cut at the other, not an orderly end; and the tunnel lives."""
        went = threading.Event()

        def talk(peer):
            peer.recv(1)
            went.wait(harness.TIMEOUT)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        tunnel = self.tunnels(talk)
        s = self.dial(tunnel)
        s.sendall(b"x")
        went.set()
        try:
            self.assertEqual(s.recv(10), b"")
        except ConnectionResetError:
            pass
        again = self.dial(tunnel)
        again.sendall(b"x")
        again.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        again.close()
        self.assertTrue(tunnel.program.ended.acquire(timeout=harness.TIMEOUT))
        self.assertTrue(tunnel.program.ended.acquire(timeout=harness.TIMEOUT))
        self.assertIsNone(tunnel.process.poll())
        self.assertIsNone(tunnel.inside.process.poll())

    def test_who_does_not_read_holds_up_nobody(self):
        """A peer that stalls fills the buffers of its own connection only, and no more than those."""
        def talk(peer):
            if peer.recv(1) == b"s":
                stalled.wait(harness.TIMEOUT)
            else:
                pump(peer, peer)
        stalled = threading.Event()
        tunnel = self.tunnels(talk)
        stuck = self.dial(tunnel)
        stuck.sendall(b"s")
        stuck.settimeout(2)
        sent = 0
        with self.assertRaises(TimeoutError):
            while sent < 1 << 30:
                sent += stuck.send(b"x" * 65536)
        self.assertLess(sent, 64 << 20)
        other = self.dial(tunnel)
        other.sendall(b"e" + b"hello")
        other.shutdown(socket.SHUT_WR)
        self.assertEqual(other.recv(100), b"hello")
        stalled.set()

    def test_a_byte_at_a_time(self):
        tunnel = self.tunnels(lambda peer: pump(peer, peer))
        s = self.dial(tunnel)
        for i in range(20):
            s.sendall(bytes([i]))
            self.assertEqual(s.recv(10), bytes([i]))

    def test_many_short_ones(self):
        tunnel = self.tunnels(lambda peer: pump(peer, peer))
        failed = []

        def one(count):
            for i in range(count):
                with socket.create_connection(("127.0.0.1", tunnel.port), timeout=harness.TIMEOUT) as s:
                    s.sendall(b"%d" % i)
                    s.shutdown(socket.SHUT_WR)
                    if s.recv(100) != b"%d" % i:
                        failed.append(i)
        threads = [threading.Thread(target=one, args=(SHORT // 8,)) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])


class Browser(Case):
    """A page with a WebSocket (RFC 6455), which asks for what it got: all of it through both tunnels."""

    PAGE = (b"<script>const w = new WebSocket('ws://' + location.host + '/ws');"
            b"w.onopen = () => w.send('from the page'); w.onmessage = e => fetch('/got?' + e.data.length + e.data);</script>")

    def talk(self, peer):
        peer.settimeout(harness.TIMEOUT)
        data = b""
        while b"\r\n\r\n" not in data:
            part = peer.recv(4096)
            if not part:
                return
            data += part
        path = data.split(b" ")[1].decode()
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", data)
        if key:
            accept = base64.b64encode(hashlib.sha1(key.group(1) + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            frame = peer.recv(4096)
            size, mask = frame[1] & 127, frame[2:6]
            text = bytes(b ^ mask[i % 4] for i, b in enumerate(frame[6:6 + size]))
            answer = text.upper() * 200
            peer.sendall(b"\x81\x7e" + struct.pack("!H", len(answer)) + answer)
            peer.recv(100)
            return
        if path.startswith("/got?"):
            self.got.append(path[5:])
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(self.PAGE)
                     + self.PAGE)

    @needs("chromium")
    def test_page_and_websocket(self):
        self.got = []
        program = harness.Programs(self.talk)
        self.addCleanup(program.listener.close)
        outside = self.client(self.server(program.at).port)
        self.start("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--remote-debugging-port=0", "--user-data-dir=" + LAB.path("browser"), "http://%s/" % outside.at)
        limit = time.monotonic() + harness.TIMEOUT
        while not self.got and time.monotonic() < limit:
            time.sleep(0.05)
        self.assertEqual([re.sub("%20", " ", g) for g in self.got[:1]], ["2600" + "FROM THE PAGE" * 200])


class Load:
    """Connections one after the other on some threads; each is echoed, or is a failure with its time."""

    def __init__(self, port, threads=4):
        self.port, self.done, self.failed, self.stopped = port, [], [], threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self):
        while not self.stopped.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=harness.TIMEOUT) as s:
                    s.sendall(b"hello")
                    s.shutdown(socket.SHUT_WR)
                    data = b""
                    while True:
                        part = s.recv(100)
                        if not part:
                            break
                        data += part
                if data != b"hello":
                    raise OSError("cut: %r" % data)
                self.done.append(time.monotonic())
            except OSError as e:
                self.failed.append((time.monotonic(), e))
                time.sleep(0.05)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *unused):
        self.stopped.set()
        for t in self.threads:
            t.join()

    def wait(self, more):
        """Until so many more were echoed."""
        want, limit = len(self.done) + more, time.monotonic() + harness.TIMEOUT
        while len(self.done) < want and time.monotonic() < limit:
            time.sleep(0.01)
        assert len(self.done) >= want, self.failed[-3:]


class UnderLoad(Case):
    """What changes while connections come and go costs none of them."""

    def held(self, port):
        s = socket.create_connection(("127.0.0.1", port), timeout=harness.TIMEOUT)
        self.addCleanup(s.close)
        return s

    def echoed(self, s):
        s.sendall(b"hello")
        return s.recv(5)

    def test_renewals_and_reloads(self):
        program = harness.Programs(lambda peer: pump(peer, peer))
        self.addCleanup(program.listener.close)
        LAB.must("cp", "server-p256.pem", "loaded.pem")
        LAB.must("cp", "server-p256.key", "loaded.key")
        inside = self.server(program.at, key="loaded")
        outside = self.client(inside.port, "--resume", "off")  # each connection sees the certificate of the moment
        first = self.held(outside.port)
        self.assertEqual(self.echoed(first), b"hello")
        with Load(outside.port) as load:
            load.wait(5)
            for i in range(RELOADS):
                if i % 5 == 0:  # another certificate
                    LAB.must(PROGRAM, "ca", "sign", "--dir", "ca", "server-p256.csr", "--profile", "server", "-o", "loaded.new")
                    os.rename(LAB.path("loaded.new"), LAB.path("loaded.pem"))
                os.kill(inside.process.pid, signal.SIGHUP)
                load.wait(2)
        said = [line for p in (outside, inside) for line in p.text.splitlines() if b"event=reloaded" not in line]
        self.assertEqual(load.failed, [], said[-40:])
        self.assertGreaterEqual(len(re.findall(b"event=reloaded", inside.text)), 2)
        self.assertEqual(self.echoed(first), b"hello")

    def test_a_tpm_that_is_killed(self):
        chip = self.chip_with("killed")
        program = harness.Programs(lambda peer: pump(peer, peer))
        self.addCleanup(program.listener.close)
        inside = self.server(program.at, "--status", "unix:killed.sock", key="killed", tpm=chip.tcti)
        outside = self.client(inside.port, "--resume", "off")
        first = self.held(outside.port)
        self.assertEqual(self.echoed(first), b"hello")
        with Load(outside.port) as load:
            load.wait(5)
            chip.process.kill()
            chip.process.wait()
            for _ in range(10):  # who is there needs no chip
                self.assertEqual(self.echoed(first), b"hello")
                time.sleep(0.05)
            chip.start()
            back = time.monotonic()
            load.wait(10)
        self.assertEqual(self.echoed(first), b"hello")
        self.assertIsNone(inside.process.poll())
        late = [e for at, e in load.failed if at > back + 15]
        self.assertEqual(late, [])


class Away(Case):
    """The TPM is killed and started again while connections are open."""

    def test_a_tpm_that_comes_back(self):
        chip = self.chip_with("away")
        program = harness.Programs(lambda peer: pump(peer, peer))
        self.addCleanup(program.listener.close)
        proxy = self.server(program.at, key="away", tpm=chip.tcti)

        def connect():
            context = ssl.create_default_context(cafile=LAB.path("ca/ca.pem"))
            context.load_cert_chain(LAB.path("soft.pem"), LAB.path("soft.key"))
            raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=harness.TIMEOUT)
            s = context.wrap_socket(raw, server_hostname="localhost")
            self.addCleanup(s.close)
            return s

        def echoed(s):
            s.sendall(b"hello")
            return s.recv(10)
        first = connect()
        self.assertEqual(echoed(first), b"hello")
        chip.cut_power()
        self.assertEqual(echoed(first), b"hello")  # who is connected needs no chip
        self.assertEqual(echoed(connect()), b"hello")  # and the next handshake has it again
        self.assertIsNone(proxy.process.poll())


class Metrics(Case):
    """The page by the rules of Prometheus."""

    def page(self):
        proxy = self.client(1, "--status", "unix:metrics.sock")
        limit = time.monotonic() + 20
        while not os.path.exists(LAB.path("metrics.sock")) and time.monotonic() < limit:
            time.sleep(0.02)
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(harness.TIMEOUT)
        s.connect(LAB.path("metrics.sock"))
        with s:
            s.sendall(b"GET /_metrics HTTP/1.0\r\n\r\n")
            text = b""
            while True:
                part = s.recv(65536)
                if not part:
                    break
                text += part
        self.assertIsNone(proxy.process.poll())
        return text.split(b"\r\n\r\n", 1)[1].decode()

    def test_form(self):
        page, kinds, helped = self.page(), {}, set()
        self.assertTrue(page.endswith("\n"))
        for line in page.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.assertNotIn(name, kinds)
                kinds[name] = kind
                continue
            if line.startswith("# HELP "):
                helped.add(line.split(" ")[2])
                continue
            match = re.fullmatch(r'([a-z][a-z0-9_]*)(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? (\+Inf|-?[0-9.e+-]+)', line)
            self.assertIsNotNone(match, line)
            name = match.group(1)
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            kind = kinds.get(name) or kinds.get(base)
            self.assertIsNotNone(kind, line)
            self.assertEqual(name.endswith("_total"), kind == "counter", line)
            self.assertNotRegex(name, r"_(ms|us|milliseconds|minutes|kb|kilobytes)(_|$)", "base units")
        self.assertEqual(set(kinds), helped)
        self.assertGreater(len(kinds), 5)

    @needs("promtool")
    def test_promtool(self):
        done = LAB.run("promtool", "check", "metrics", stdin=self.page().encode())
        self.assertEqual((done.code, done.err), (0, ""))
        bad = LAB.run("promtool", "check", "metrics", stdin=b"# TYPE x counter\nx 1\n")
        self.assertNotEqual(bad.code, 0)


if __name__ == "__main__":
    harness.tap_main()
