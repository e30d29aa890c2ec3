"""tests/integration/test_pkcs11_networks.py: the PKCS#11 module in what lets a machine into a network: OpenVPN, and EAP-TLS as
wpa_supplicant does it (eapol_test is its code without the radio). TLS 1.3, each with a P-256 and an RSA key, with and
without a PIN. A program that is not there is skipped, by name."""

import os
import re
import shutil
import socket
import subprocess
import time
import unittest

import harness
from tokens import MODULE, PIN, TOKENS, TokenLab, free_port, needs

LAB = None


def setUpModule():
    global LAB
    LAB = TokenLab()


def tearDownModule():
    LAB.close()


class Management:
    """OpenVPN's management interface, in which it asks for a PIN."""

    def __init__(self, path):
        self.socket, self.text = socket.socket(socket.AF_UNIX), ""
        self.socket.settimeout(harness.TIMEOUT)
        limit = time.monotonic() + harness.TIMEOUT
        while self.socket.connect_ex(path) != 0:
            if time.monotonic() > limit:
                raise AssertionError("openvpn does not listen at " + path)
            time.sleep(0.05)

    def say(self, line):
        self.socket.sendall(line.encode() + b"\n")

    def wait_for(self, pattern):
        while True:
            match = re.search(pattern, self.text)
            if match:
                return match
            more = self.socket.recv(4096).decode()
            if not more:
                raise AssertionError("openvpn: no '%s' in:\n%s" % (pattern, self.text))
            self.text += more


@needs("openvpn")
class OpenVPN(unittest.TestCase):
    """Over TCP, between two processes, without a network device."""

    def test_tls(self):
        listed = LAB.must("openvpn", "--show-pkcs11-ids", MODULE).out.decode()
        ids = dict(re.findall(r"CN=(\S+)\s.*?Serialized id:\s*(\S+)", listed, re.S))
        self.assertEqual(sorted(ids), sorted(TOKENS))
        for token in TOKENS:
            self.connect(token, ids[token])

    def connect(self, token, serialized):
        at = LAB.path("ovpn-" + token)
        port, common = free_port(), ("--dev", "null", "--ca", "ca/ca.pem", "--tls-version-min", "1.3", "--data-ciphers", "AES-256-GCM",
                                     "--cipher", "AES-256-GCM", "--verb", "3")
        with LAB.background("openvpn", "--tls-server", "--proto", "tcp-server", "--local", "127.0.0.1", "--lport", port, "--cert",
                            "soft.pem", "--key", "soft.key", "--dh", "none", *common) as server:
            server.wait_for("Listening for incoming TCP")
            with LAB.background("openvpn", "--tls-client", "--proto", "tcp-client", "--nobind", "--remote", "127.0.0.1", port,
                                "--pkcs11-providers", MODULE, "--pkcs11-id", serialized, "--management", at, "unix",
                                "--management-query-passwords", *common) as client:
                asks = Management(at)
                if token.startswith("pin-"):
                    asks.wait_for("Need '%s token' password" % token)
                    asks.say("password '%s token' %s" % (token, PIN))
                client.wait_for(r"(?s)Control Channel: TLSv1\.3.*Initialization Sequence Completed")
                server.wait_for(r"\[%s\] Peer Connection Initiated" % token)


ENGINES = subprocess.run(["openssl", "version", "-e"], capture_output=True, text=True, check=True).stdout.split('"')[1]
TRUSTED = os.path.join(os.path.dirname(ENGINES), "pkcs11")  # wpa_supplicant takes modules below /usr/lib only


@needs("eapol_test", "hostapd", os.path.join(ENGINES, "pkcs11.so"), TRUSTED)
class EAP(unittest.TestCase):
    """hostapd is the RADIUS server; the module is where the package puts it."""

    def test_eap_tls(self):
        os.mkdir(LAB.path("libs"))
        shutil.copy(MODULE, LAB.path("libs/libtpmtls-pkcs11.so"))
        command, port = LAB.bound("libs", TRUSTED), free_port()
        LAB.write("radius.clients", "127.0.0.1 secret\n")
        LAB.write("eap.users", "* TLS\n")
        LAB.write("hostapd.conf", "driver=none\ninterface=lo\nradius_server_clients=radius.clients\nradius_server_auth_port=%s\n"
                  "eap_server=1\neap_user_file=eap.users\nca_cert=ca/ca.pem\nserver_cert=soft.pem\nprivate_key=soft.key\n"
                  "tls_flags=[ENABLE-TLSv1.3][DISABLE-TLSv1.2]\n" % port)
        with LAB.background("hostapd", "-dd", "hostapd.conf") as server:
            server.wait_for("Setup of interface done")
            for token in TOKENS:
                LAB.write("eap.conf", """pkcs11_engine_path=%s/pkcs11.so
pkcs11_module_path=%s/libtpmtls-pkcs11.so
network={
    key_mgmt=WPA-EAP
    eap=TLS
    identity="%s"
    ca_cert="ca/ca.pem"
    engine=1
    engine_id="pkcs11"
    key_id="%s"
    cert_id="%s"
    pin="%s"
    phase1="tls_disable_tlsv1_3=0"
}
""" % (ENGINES, TRUSTED, token, LAB.uri(token, "private"), LAB.uri(token, "cert"), PIN))
                done = LAB.run(*command, "eapol_test", "-c", "eap.conf", "-a", "127.0.0.1", "-p", port, "-s", "secret", "-t", "30")
                self.assertEqual(done.code, 0, done.out.decode("utf-8", "replace")[-4000:])
                self.assertIn(b"Using TLS version TLSv1.3", done.out)
                server.wait_for("peer certificate: depth=0 .*CN=%s\\b" % token)


if __name__ == "__main__":
    harness.tap_main()
