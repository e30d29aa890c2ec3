"""tests/integration/test_proxy.py: `tpmtls proxy`, the real program with keys in a TPM: what passes, who passes, what the
status says, what a file may say, what changes while it runs."""

import json
import os
import re
import socket
import ssl
import subprocess
import threading
import unittest

import harness

LAB = None
PROGRAM = harness.PROGRAM
CROWD = 60


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.make_identities()


def tearDownModule():
    LAB.close()


def echo(peer):
    while True:
        data = peer.recv(65536)
        if not data:
            break
        peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)


def first_port(p, tunnel):
    return p.wait_for(r"event=listening tunnel=%s address=127.0.0.1:(\d+)" % tunnel).group(1)


def round_trip(port, data=b"hello"):
    """What comes back until the end; an OSError where it was cut."""
    with socket.create_connection(("127.0.0.1", int(port)), timeout=harness.TIMEOUT) as s:
        sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        sender.start()
        parts = []
        try:
            while True:
                part = s.recv(65536)
                if not part:
                    return b"".join(parts)
                parts.append(part)
        finally:
            sender.join()


class Case(unittest.TestCase):
    def proxy(self, *args, options=()):
        p = LAB.background(PROGRAM, *options, "proxy", *args)
        self.addCleanup(p.__exit__)
        return p

    def listening(self, p, tunnel):
        return p.wait_for(r'event=listening tunnel=%s address=127.0.0.1:(\d+)' % tunnel).group(1)

    def server(self, *args, to=None, key="server-p256", who=("--allow-all",), options=()):
        at = to or harness.Programs(echo).at
        p = self.proxy("server", "--listen", "127.0.0.1:0", "--connect", at, "--key", key + ".key", "--cert", key + ".pem",
                       "--client-ca", "ca/ca.pem", *who, *args, options=options)
        p.port = self.listening(p, "server")
        return p

    def client(self, port, *args, key="client-p256", options=()):
        p = self.proxy("client", "--listen", "127.0.0.1:0", "--connect", "localhost:" + port, "--key", key + ".key", "--cert",
                       key + ".pem", "--ca", "ca/ca.pem", *args, options=options)
        p.port = self.listening(p, "client")
        return p

    def status(self, path, page):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(harness.TIMEOUT)
        s.connect(LAB.path(path))
        s.sendall(b"GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" % page.encode())
        text = b""
        while True:
            part = s.recv(65536)
            if not part:
                break
            text += part
        s.close()
        head, body = text.split(b"\r\n\r\n", 1)
        return int(head.split()[1]), body.decode()


class Data(Case):
    def test_through_two_tunnels(self):
        for kind in harness.Lab.KINDS:
            server = self.server(key="server-" + kind)
            client = self.client(server.port, key="client-" + kind)
            data = os.urandom(2_000_000)
            self.assertEqual(round_trip(client.port, data), data)
            self.assertEqual(client.stop().code, 0)
            self.assertEqual(server.stop().code, 0)

    def test_a_burst_costs_one_signature(self):
        server = self.server()
        client = self.client(server.port, "--status", "unix:burst.sock")
        got = []
        threads = [threading.Thread(target=lambda i=i: got.append(round_trip(client.port, b"%d" % i) == b"%d" % i))
                   for i in range(CROWD)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(got, [True] * CROWD)
        tunnel = json.loads(self.status("burst.sock", "/_status")[1])["tunnels"][0]
        self.assertEqual(tunnel["handshakes"], {"full": 1, "resumed": CROWD - 1, "delegated": 0})

    def test_sessions_outlive_the_process(self):
        for mode in ("sealed", "held"):
            state = {"XDG_STATE_HOME": LAB.path("state-" + mode)}
            LAB.env.update(state)
            self.addCleanup(lambda: LAB.env.pop("XDG_STATE_HOME", None))
            server = self.server()
            first = self.client(server.port, "--resume", mode, "--status", "unix:first.sock")
            self.assertEqual(round_trip(first.port), b"hello")
            for _ in range(100):
                if json.loads(self.status("first.sock", "/_status")[1])["tunnels"][0]["sessions"]["kept"] > 0:
                    break
                threading.Event().wait(0.1)
            first.stop()
            second = self.client(server.port, "--resume", mode, "--status", "unix:second.sock")
            self.assertEqual(round_trip(second.port), b"hello", mode)
            tunnel = json.loads(self.status("second.sock", "/_status")[1])["tunnels"][0]
            self.assertEqual((tunnel["handshakes"]["full"], tunnel["handshakes"]["resumed"]), (0, 1), mode)
            second.stop()
            server.stop()


class Who(Case):
    """A rule decides who passes, and says so; TLS decides before."""

    def talk(self, server, *args):
        return LAB.run("openssl", "s_client", "-connect", "127.0.0.1:" + server.port, "-CAfile", "ca/ca.pem", "-quiet",
                       *args, stdin=b"hello\n")

    def test_rules(self):
        for rule, passes in ((("--allow-cn", "localhost"), True), (("--allow-cn", "localhos"), False),
                             (("--allow-dns", "localhost"), True), (("--allow-dns", "other.example"), False),
                             (("--allow-ou", "localhost"), False), (("--allow-uri", "spiffe://a/b"), False),
                             (("--allow-ou", "x", "--allow-cn", "localhost"), True), (("--allow-all",), True)):
            server = self.server(who=rule)
            done = LAB.tpmtls("connect", "localhost:" + server.port, "--ca", "ca/ca.pem", "--key", "soft.key", "--cert",
                              "soft.pem", stdin=b"hello\n")
            self.assertEqual((done.code, done.out), (0, b"hello\n") if passes else (5, b""), (rule, done.err))
            if not passes:
                self.assertIn("access_denied", done.err, rule)
                refused = server.wait_for(r"event=refused .*").group(0)
                self.assertIn("cause=rule", refused)
                self.assertIn("CN=localhost", refused)
            server.stop()

    def test_who_is_refused_gets_its_alert(self):
        server = self.server()
        self.assertIn("alert certificate required", self.talk(server).err)
        self.assertIn("alert unknown ca", self.talk(server, "-cert", "other/ca.pem", "-key", "other/ca.key").err)
        old = LAB.run("openssl", "s_client", "-connect", "127.0.0.1:" + server.port, "-tls1_2")
        self.assertIn("alert protocol version", old.err)
        with socket.create_connection(("127.0.0.1", int(server.port))) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            s.settimeout(20)
            s.recv(100)
        server.wait_for("HTTP")


class Whom(Case):
    """A client says whose certificate it takes, and hides whom it wants."""

    @classmethod
    def setUpClass(cls):
        LAB.tpm_identity("named", "p256", "/CN=named", "both", "DNS:web.example", "URI:spiffe://example.org/web",
                         "IP:127.0.0.1")
        LAB.tpm_identity("double", "p256", "/CN=double", "both", "DNS:double.example", "URI:spiffe://example.org/web", "URI:urn:other")

    def answer(self, server, *names):
        """What passes, or what the log says where nothing does."""
        client = self.client(server.port, *names)
        try:
            return round_trip(client.port)
        except OSError:
            return client.wait_for(r"event=refused .*").group(0)
        finally:
            client.stop()

    def test_names(self):
        server = self.server(key="named")
        for names in (("--verify-dns", "web.example"), ("--verify-dns", "a.example", "--verify-dns", "web.example"),
                      ("--verify-uri", "spiffe://example.org/web"), ("--verify-dns", "127.0.0.1", "--verify-uri", "urn:x"),
                      ("--verify-dns", "a.example", "--verify-uri", "urn:x", "--verify-uri", "spiffe://example.org/web")):
            self.assertEqual(self.answer(server, *names), b"hello", names)
        for names in (("--verify-dns", "a.example", "--verify-dns", "b.example"), ("--verify-uri", "spiffe://example.org/we"),
                      ("--verify-uri", "spiffe://example.org/web/x"), ("--verify-dns", "127.0.0.2", "--verify-uri", "urn:x")):
            self.assertRegex(self.answer(server, *names), "certificate is not for .*(spiffe|nor for 1 other)", names)

    def test_resumed_too(self):
        """Whose session it is belongs to it."""
        server = self.server(key="named", who=("--allow-all",))
        client = self.client(server.port, "--verify-uri", "spiffe://example.org/web", "--verify-dns", "a.example", "--status",
                             "unix:whom.sock")
        for _ in range(3):
            self.assertEqual(round_trip(client.port), b"hello")
        tunnel = json.loads(self.status("whom.sock", "/_status")[1])["tunnels"][0]
        self.assertEqual((tunnel["handshakes"]["full"], tunnel["handshakes"]["resumed"]), (1, 2))

    def test_a_spiffe_id_stands_alone(self):
        server = self.server(key="double")
        self.assertEqual(self.answer(server, "--verify-uri", "urn:other"), b"hello")
        self.assertIn("is not for", self.answer(server, "--verify-uri", "spiffe://example.org/web"))

    def test_what_is_no_name(self):
        for args, words in ((("--verify-uri", "web"), "is no URI"),
                            (("--psk", "x"), "a proxy has certificates, no external PSK"),
                            (("--verify-dns", "a") * 9 + ("--verify-uri", "u:") * 8, "too many names")):
            done = LAB.tpmtls("proxy", "client", "--listen", "127.0.0.1:0", "--connect", "localhost:1", "--ca", "ca/ca.pem", *args)
            self.assertEqual(done.code, 2, done.err)
            self.assertIn(words, done.err)

    def test_the_name_is_hidden(self):
        """Encrypted Client Hello: accepted; and rejected by a server with other keys, which says what they are."""
        configs = {}
        for name in ("first", "second"):
            configs[name] = LAB.must(PROGRAM, "ech-key", "-o", name + ".ech", "--public-name", "localhost").out.decode().strip()
        server = self.server("--ech-key", "first.ech", options=("-v",))
        for name, tries in (("first", 0), ("second", 1)):
            client = self.client(server.port, "--ech", configs[name], "--ech-required", options=("-v",))
            self.assertEqual(round_trip(client.port), b"hello", name)
            self.assertEqual(client.stop().err.count("event=ech_again"), tries, name)
        plain = self.server()
        client = self.client(plain.port, "--ech", configs["first"], "--ech-required")
        with self.assertRaises(OSError):
            round_trip(client.port)
        client.wait_for("event=refused .*cause=handshake")
        client = self.client(plain.port, "--ech", "first.ech")
        self.assertEqual(round_trip(client.port), b"hello")


class Status(Case):
    def test_pages(self):
        server = self.server("--status", "unix:status.sock")
        client = self.client(server.port)
        round_trip(client.port)
        code, page = self.status("status.sock", "/_metrics")
        self.assertEqual(code, 200)
        self.assertIn("tpmtls_proxy_tpm_rebuilds_total 0\n", page)
        self.assertIn('tpmtls_proxy_handshakes_total{tunnel="server",kind="full"} 1\n', page)
        self.assertEqual(self.status("status.sock", "/_live")[0], 200)
        self.assertEqual(self.status("status.sock", "/_ready")[0], 200)
        self.assertEqual(self.status("status.sock", "/other")[0], 404)
        tunnel = json.loads(self.status("status.sock", "/_status")[1])["tunnels"][0]
        self.assertEqual((tunnel["role"], tunnel["accepted"]), ("server", 1))

    def test_json_log(self):
        server = self.proxy("server", "--listen", "127.0.0.1:0", "--connect", "127.0.0.1:1", "--key", "server-p256.key",
                            "--cert", "server-p256.pem", "--client-ca", "ca/ca.pem", "--allow-all", options=("--json",))
        server.wait_for('"event":"listening"')
        for line in server.stop().err.splitlines():
            self.assertIn("event", json.loads(line))


class File(Case):
    GOOD = """
        ; a comment
        [proxy]
        threads = 1
        [server in]
        listen = 127.0.0.1:0
        connect = %s
        key = server-p256.key
        cert = server-p256.pem
        client-ca = ca/ca.pem
        allow-cn = nobody
        allow-cn = device-p256
        [client out]
        listen = unix:out.sock
        connect = localhost:1
        ca = ca/ca.pem
    """

    def test_run(self):
        LAB.write("good.conf", self.GOOD % harness.Programs(echo).at)
        checked = LAB.tpmtls("proxy", "check", "good.conf")
        self.assertEqual(checked.code, 0, checked.err)
        self.assertIn(b"in: TLS 127.0.0.1:0 -> plaintext", checked.out)
        self.assertIn(b"lets in   common name device-p256", checked.out)
        p = self.proxy("run", "good.conf")
        port = self.listening(p, "in")
        self.assertEqual(round_trip(self.client(port).port), b"hello")
        self.assertEqual(p.stop().code, 0)

    def test_long_names_stay_apart(self):
        """inih alone would cut both to one name (findings/libinih-cut.sh)."""
        names = ["edge-" * 12 + end for end in "ab"]
        LAB.write("long.conf", "".join("[client %s]\nlisten = unix:%s.sock\nconnect = localhost:1\nca = ca/ca.pem\n" % (name, name[-1])
                                       for name in names))
        checked = LAB.tpmtls("proxy", "check", "long.conf")
        self.assertEqual(checked.code, 0, checked.err)
        for name in names:
            self.assertIn("%s: plaintext unix:" % name, checked.out.decode())

    def test_tunnels_come_and_go(self):
        """Each change of the file, with connections that are there through all of it."""
        at = harness.Programs(echo).at
        own = "connect = %s\nkey = server-p256.key\ncert = server-p256.pem\nclient-ca = ca/ca.pem\nlisten = 127.0.0.1:0\n" % at
        common = "[proxy]\nstatus = unix:come.sock\n"

        def change(text):
            LAB.write("come.new", text)
            os.rename(LAB.path("come.new"), LAB.path("come.conf"))

        def held(port):
            s = socket.create_connection(("127.0.0.1", int(port)), timeout=harness.TIMEOUT)
            self.addCleanup(s.close)
            return s

        def echoes(s):
            s.sendall(b"hello")
            return s.recv(5)
        change(common + "[server in]\nallow-all = yes\n" + own)
        p = self.proxy("run", "come.conf")
        first = self.client(self.listening(p, "in"))
        through_in = held(first.port)
        self.assertEqual(echoes(through_in), b"hello")

        change(common + "[server more]\nallow-all = yes\n" + own + "[server in]\nallow-cn = nobody\n" + own)
        p.wait_for("event=replaced tunnel=in")
        more = self.listening(p, "more")
        second = self.client(more)
        through_more = held(second.port)
        self.assertEqual((echoes(through_in), echoes(through_more)), (b"hello", b"hello"))
        with self.assertRaises(OSError):  # by the listener that was there, and the new rule
            round_trip(self.client(first_port(p, "in")).port)
        p.wait_for("event=refused tunnel=in .*cause=rule")

        change(common + "[server in]\nallow-cn = device-p256\n" + own)
        p.wait_for("event=removed tunnel=more open=1")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(more)), timeout=5).close()
        self.assertEqual((echoes(through_in), echoes(through_more)), (b"hello", b"hello"))
        p.wait_for(r"(?s)event=replaced tunnel=in.*event=replaced tunnel=in")
        self.assertEqual(round_trip(first.port), b"hello")

        change("[server in]\nno value\n")
        p.wait_for("event=reload_failed .*come.conf has 6 faults")
        self.assertEqual(round_trip(first.port), b"hello")
        status = json.loads(self.status("come.sock", "/_status")[1])
        self.assertIn("come.conf has 6 faults", status["reload_error"])
        self.assertEqual([t["name"] for t in status["tunnels"]], ["in"])
        self.assertIn("tpmtls_proxy_file_refused 1\n", self.status("come.sock", "/_metrics")[1])

        late = ("[server late]\nallow-all = yes\n" + own).replace("server-p256.key", "late.key")
        change("[proxy]\nstatus = unix:other.sock\n" + late + "[server in]\nallow-cn = device-p256\n" + own)
        p.wait_for("event=not_reloaded section=proxy")
        p.wait_for("event=reload_failed tunnel=late .*in_force=\"no tunnel of that name\"")
        LAB.must("cp", "server-p256.key", "late.key")  # which is watched
        self.assertEqual(round_trip(self.client(self.listening(p, "late")).port), b"hello")
        self.assertEqual((echoes(through_in), echoes(through_more)), (b"hello", b"hello"))
        self.assertEqual(json.loads(self.status("come.sock", "/_status")[1]).get("reload_error"), None)
        through_in.close()
        through_more.close()
        self.assertEqual(p.stop().code, 0)

    def test_all_faults_at_once(self):
        LAB.write("bad.conf", "key = x\n[server a]\nlisten = 127.0.0.1:0\nlisten = 127.0.0.1:1\nconect = 127.0.0.1:1\n"
                  "idle-timeout = soon\n[client]\n[clinet b]\n[client c]\nlisten = 0.0.0.0:8443\nconnect = a:443\nno value\n"
                  "[server d]\nlisten = 127.0.0.1:1\nconnect = 127.0.0.1:2\nkey = k\ncert = c\nclient-ca = ca\n"
                  + "x" * 300 + "\n")
        for command in ("check", "run"):
            done = LAB.tpmtls("proxy", command, "bad.conf")
            self.assertEqual(done.code, 2, done.err)
            for line, words in ((1, "before the first section"), (4, "given already"), (5, "there is no key 'conect'"),
                                (6, "not a number"), (7, "no name"), (8, "not known"), (9, "other machines could connect"),
                                (12, "neither a section nor"), (13, "which clients may pass"), (19, "too long")):
                self.assertRegex(done.err, r"bad.conf:%d: .*%s" % (line, re.escape(words)))
            self.assertIn("did you mean connect?", done.err)

    def test_all_faults_of_a_section(self):
        """Not only its first one."""
        LAB.write("worse.conf", "[proxy]\nstatus = 0.0.0.0:9999\ntakeover = here\n[client a]\nlisten = 0.0.0.0:8443\nconnect = nowhere\n"
                  "verify-uri = nothing\ngroups = X25519,nonsense\nresume-pcrs = sha256:0\nresume = held\nneither\n[server b]\n"
                  "connect = 192.0.2.1:80\nallow-pin = xyz\nallow-dns = a..b\nnor this\n[server c]\nlisten = 127.0.0.1:1\n")
        for command in ("check", "run"):
            done = LAB.tpmtls("proxy", command, "worse.conf")
            self.assertEqual(done.code, 2, done.err)
            for line, words in ((1, "others than this machine"), (1, "takeover is no path"), (4, "other machines could connect"),
                                (4, "the port is missing"), (4, "verify-uri is no URI"), (4, "nonsense"), (4, "resume-pcrs goes with"),
                                (11, "neither a section nor"), (12, "listen where?"), (12, "leave this machine"), (12, "xyz"),
                                (12, "a..b"), (12, "needs key and cert"), (12, "are to be believed"), (16, "neither a section nor"),
                                (17, "connect where?"), (17, "needs key and cert"), (17, "are to be believed"), (17, "which clients may pass")):
                self.assertRegex(done.err, r"worse.conf:%d: .*%s" % (line, re.escape(words)))
            self.assertIn("worse.conf has 19 faults", done.err)
        self.assertFalse(os.path.exists(LAB.path("here")))

    def test_no_file(self):
        for path, words in (("nofile.conf", "No such file"), ("ca", "Is a directory")):
            done = LAB.tpmtls("proxy", "check", path)
            self.assertEqual(done.code, 1, done.err)
            self.assertRegex(done.err, "cannot read %s: %s" % (path, words))

    def test_all_faults_of_the_options(self):
        done = LAB.tpmtls("proxy", "server", "--listen", "127.0.0.1:0", "--connect", "192.0.2.1:80", "--status", "0.0.0.0:1", "--groups",
                          "nonsense")
        self.assertEqual(done.code, 2, done.err)
        for words in ("leave this machine", "needs key and cert", "are to be believed", "which clients may pass", "nonsense",
                      "others than this machine"):
            self.assertIn(words, done.err)

    def test_options_too(self):
        for args, words in (
                (("client", "--listen", "0.0.0.0:1", "--connect", "a:1"), "in plaintext"),
                (("server", "--listen", "127.0.0.1:0", "--connect", "192.0.2.1:80", "--key", "k", "--cert", "c", "--client-ca",
                  "x", "--allow-all"), "leave this machine"),
                (("server", "--listen", "127.0.0.1:0", "--connect", "127.0.0.1:1", "--key", "k", "--cert", "c", "--client-ca",
                  "x"), "which clients may pass"),
                (("client", "--listen", "127.0.0.1:0", "--connect", "0177.0.0.1:1"), "no host name and no address"),
                (("client", "--listen", "127.0.0.1:0", "--connect", "a:1", "--verify-dns", ".a.example"), "a part of it is empty"),
                (("client", "--listen", "127.0.0.1:0"), "connect where?")):
            done = LAB.tpmtls("proxy", *args)
            self.assertEqual(done.code, 2, done.err)
            self.assertIn(words, done.err)


class Start(Case):
    """What cannot be had is said, and nothing stays."""

    def test_a_port_that_is_taken(self):
        server = self.server()
        done = LAB.tpmtls("proxy", "client", "--listen", "127.0.0.1:" + server.port, "--connect", "localhost:1", "--ca",
                          "ca/ca.pem")
        self.assertEqual(done.code, 1)
        self.assertIn("cannot listen on 127.0.0.1:%s" % server.port, done.err)

    def test_a_status_that_is_not_of_this_machine(self):
        done = LAB.tpmtls("proxy", "client", "--listen", "127.0.0.1:0", "--connect", "localhost:1", "--ca", "ca/ca.pem",
                          "--status", "0.0.0.0:0")
        self.assertEqual(done.code, 2, done.err)

    def test_a_key_that_does_not_fit(self):
        done = LAB.tpmtls("proxy", "server", "--listen", "127.0.0.1:0", "--connect", "127.0.0.1:1", "--key", "client-p256.key",
                          "--cert", "server-p256.pem", "--client-ca", "ca/ca.pem", "--allow-all")
        self.assertEqual(done.code, 2, done.err)
        self.assertIn("does not belong to the key", done.err)


class Limit(Case):
    def test_out_of_descriptors(self):
        """Who is there goes on, who comes too many is closed and said, and it is over when they are gone."""
        p = LAB.background("sh", "-c", 'ulimit -n 64; exec "$0" "$@"', PROGRAM, "proxy", "server", "--listen", "127.0.0.1:0", "--connect",
                           harness.Programs(echo).at, "--key", "server-p256.key", "--cert", "server-p256.pem", "--client-ca", "ca/ca.pem",
                           "--allow-all", "--threads", "1")
        self.addCleanup(p.__exit__)
        port = self.listening(p, "server")
        client = self.client(port, "--resume", "off")
        held = socket.create_connection(("127.0.0.1", int(client.port)), timeout=harness.TIMEOUT)
        self.addCleanup(held.close)
        held.sendall(b"hello")
        self.assertEqual(held.recv(5), b"hello")
        crowd = [socket.create_connection(("127.0.0.1", int(port)), timeout=harness.TIMEOUT) for _ in range(100)]
        p.wait_for('event=refused tunnel=server cause=limit error="Too many open files".*LimitNOFILE')
        self.assertEqual(crowd[-1].recv(1), b"")  # by the descriptor that was kept for it
        held.sendall(b"again")
        self.assertEqual(held.recv(5), b"again")
        for s in crowd:
            s.close()
        for attempt in range(100):
            try:
                self.assertEqual(round_trip(client.port), b"hello")
                break
            except OSError:
                self.assertLess(attempt, 99)
                threading.Event().wait(0.1)
        self.assertIsNone(p.process.poll())


class Handover(Case):
    """The sockets outlive the process."""

    def free_port(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    def start(self, port, *args, key="server-p256"):
        return self.proxy("server", "--listen", "127.0.0.1:%d" % port, "--connect", self.at, "--key", key + ".key", "--cert",
                          "server-p256.pem", "--client-ca", "ca/ca.pem", "--allow-all", "--status", "unix:hand.sock", *args)

    def test_takeover(self):
        self.at = harness.Programs(echo).at
        port = self.free_port()
        first = self.start(port, "--takeover", "unix:take.sock")
        first.wait_for("event=listening")
        client = self.client(str(port))
        held = socket.create_connection(("127.0.0.1", int(client.port)), timeout=harness.TIMEOUT)
        self.addCleanup(held.close)
        held.sendall(b"hello")
        self.assertEqual(held.recv(5), b"hello")
        stop, failed, done = threading.Event(), [], []

        def load():
            while not stop.is_set():
                try:
                    done.append(round_trip(client.port, b"x"))
                except OSError as e:
                    failed.append(e)
        worker = threading.Thread(target=load)
        worker.start()
        try:
            second = self.start(port, "--takeover", "unix:take.sock")
            first.wait_for('event=takeover state="a new process listens"')
            second.wait_for("event=status")
            before = len(done)
            held.sendall(b"again")  # still the first one's
            self.assertEqual(held.recv(5), b"again")
            limit = threading.Event()
            for _ in range(400):
                if len(done) > before + 5:
                    break
                limit.wait(0.05)
        finally:
            stop.set()
            worker.join()
        self.assertEqual(failed, [])
        self.assertGreater(len(done), before + 5)
        held.close()
        self.assertEqual(first.finish().code, 0)
        # One that cannot start changes nothing.
        third = self.start(port, "--takeover", "unix:take.sock", key="client-p256")
        self.assertNotEqual(third.finish().code, 0)
        second.wait_for('event=takeover state="the new process did not start"')
        self.assertEqual(round_trip(client.port), b"hello")
        self.assertEqual(self.status("hand.sock", "/_ready")[0], 200)
        self.assertEqual(second.stop().code, 0)
        self.assertFalse(os.path.exists(LAB.path("take.sock")))

    def test_systemd_keeps_the_sockets(self):
        """As systemd's file descriptor store does: what the first process gave is passed to the second."""
        self.at = harness.Programs(echo).at
        port = self.free_port()
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.settimeout(20)
        manager.bind(LAB.path("notify.sock"))
        LAB.env.update({"NOTIFY_SOCKET": LAB.path("notify.sock"), "FDSTORE": "16"})
        self.addCleanup(lambda: [LAB.env.pop(name, None) for name in ("NOTIFY_SOCKET", "FDSTORE", "LISTEN_FDS", "LISTEN_FDNAMES")])
        first = self.start(port)
        stored, ready = None, False
        while stored is None or not ready:
            text, fds, _, _ = socket.recv_fds(manager, 4096, 4)
            if b"FDSTORE=1" in text:
                stored = fds[0], re.search(rb"FDNAME=(\S+)", text).group(1).decode()
            ready = ready or b"READY=1" in text
        client = self.client(str(port))
        self.assertEqual(round_trip(client.port), b"hello")
        self.assertEqual(first.stop().code, 0)
        waiting = socket.create_connection(("127.0.0.1", port), timeout=5)  # nobody is there, and nobody is refused
        waiting.close()
        os.dup2(stored[0], 3, inheritable=True) if stored[0] != 3 else os.set_inheritable(3, True)
        LAB.env.update({"LISTEN_FDS": "1", "LISTEN_FDNAMES": stored[1]})
        again = subprocess.Popen(["sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@"', PROGRAM, "proxy", "server", "--listen",
                                  "127.0.0.1:%d" % port, "--connect", self.at, "--key", "server-p256.key", "--cert", "server-p256.pem",
                                  "--client-ca", "ca/ca.pem", "--allow-all"], env=LAB.env, cwd=LAB.dir, pass_fds=[3],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            for line in again.stderr:
                if b"event=listening" in line:
                    break
            self.assertEqual(round_trip(client.port), b"hello")
        finally:
            again.terminate()
            again.stderr.close()
            again.wait(20)
            os.close(stored[0])


class Sandbox(Case):
    def state_of(self, p):
        with open("/proc/%d/status" % p.process.pid, encoding="ascii") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)

    def test_is_on_unless_it_is_off(self):
        on, off = self.server(), self.server("--sandbox", "off")
        on.wait_for('event=sandbox state=".*system calls filtered')
        off.wait_for('event=sandbox state="off, as asked"')
        self.assertEqual([self.state_of(p)["Seccomp"] for p in (on, off)], ["2", "0"])
        self.assertEqual([self.state_of(p)["NoNewPrivs"] for p in (on, off)], ["1", "0"])


class Change(Case):
    def test_a_new_certificate_is_taken_up(self):
        LAB.must("cp", "soft.key", "new.key")
        LAB.must("cp", "soft.pem", "new.pem")
        server = self.server(key="new")
        before = self.serial(server)
        LAB.must(PROGRAM, "ca", "sign", "--dir", "ca", "soft.csr", "--profile", "both", "-o", "newer.pem")
        os.rename(LAB.path("newer.pem"), LAB.path("new.pem"))
        server.wait_for("event=reloaded")
        self.assertNotEqual(self.serial(server), before)

    def serial(self, server):
        context = ssl.create_default_context(cafile=LAB.path("ca/ca.pem"))
        context.load_cert_chain(LAB.path("soft.pem"), LAB.path("soft.key"))
        with socket.create_connection(("127.0.0.1", int(server.port)), timeout=20) as s:
            with context.wrap_socket(s, server_hostname="localhost") as tls:
                return tls.getpeercert()["serialNumber"]

    def test_a_pair_that_does_not_fit_changes_nothing(self):
        LAB.must("cp", "server-p256.key", "fit.key")
        LAB.must("cp", "server-p256.pem", "fit.pem")
        server = self.server("--status", "unix:fit.sock", key="fit")
        before = self.serial(server)
        LAB.write("other.pem", LAB.read("soft.pem"))
        os.rename(LAB.path("other.pem"), LAB.path("fit.pem"))
        server.wait_for("event=reload_failed .*does not belong to the key")
        self.assertEqual(self.serial(server), before)
        tunnel = json.loads(self.status("fit.sock", "/_status")[1])["tunnels"][0]
        self.assertIn("does not belong", tunnel["reload_error"])


if __name__ == "__main__":
    harness.tap_main()
