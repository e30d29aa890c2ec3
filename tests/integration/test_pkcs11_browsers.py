"""tests/integration/test_pkcs11_browsers.py: the PKCS#11 module in Chromium and Firefox: a page of nginx that demands a
certificate, chosen by policy; P-256 and RSA keys. Without a PIN headless; with one on a display that nobody sees, since only
the browser's own window asks for it. What the page shows is the name in the certificate that nginx was given."""

import json
import os
import shutil
import time
import unittest

import harness
from tokens import KINDS, PIN, TokenLab, needs

LAB = SERVER = None


def setUpModule():
    global LAB, SERVER
    LAB = TokenLab()
    SERVER = LAB.nginx() if shutil.which("nginx") else None


def tearDownModule():
    if SERVER:
        SERVER.stop()
    LAB.close()


class Display:
    """An X server without a screen, and a hand on its keyboard. -noreset: it would begin anew after each client that goes, the
    hand too, and refuse a browser that comes just then."""

    def __enter__(self):
        self.server = LAB.background("Xvfb", "-noreset", "-displayfd", "1", "-nolisten", "tcp", "-screen", "0", "1024x768x24")
        self.env = {"DISPLAY": ":" + self.server.wait_for(r"(?m)^(\d+)$").group(1)}
        return self

    def __exit__(self, *unused):
        self.server.stop()

    def tool(self, *args):
        return LAB.run("xdotool", *args, env=dict(self.env, LC_ALL="C.UTF-8"))  # Firefox's titles are not ASCII

    def window(self, title, browser, seconds=harness.TIMEOUT):
        """The window with this in its title, or None when it does not come."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            for window in self.tool("search", "--onlyvisible", "--name", ".").out.decode().split():
                if title in self.tool("getwindowname", window).out.decode():
                    return window
            if browser.process.poll() is not None:
                raise AssertionError("the browser ended:\n" + browser.text.decode("utf-8", "replace"))
            time.sleep(0.2)
        return None

    def type_pin(self, title, page, browser):
        """Into the window that asks. What is typed before it listens is lost, so it is asked and typed once more then."""
        for _ in range(3):
            asks = self.window(title, browser)
            if not asks:
                break
            self.tool("windowfocus", "--sync", asks)
            self.tool("type", PIN)
            self.tool("key", "Return")
            if self.window(page, browser, 10):
                return True
        return False


@needs("nginx", "certutil", "modutil")
class Browser(unittest.TestCase):
    def see_with_pin(self, token, asks, command, env):
        with Display() as display, harness.Background(command, dict(LAB.env, **display.env, **env), LAB.dir) as browser:
            page = "you are CN=%s,O=Example" % token
            self.assertTrue(display.type_pin(asks, page, browser), browser.text.decode("utf-8", "replace"))


@needs("chromium")
class Chromium(Browser):
    """All tokens are there, and the policy says which one."""

    @classmethod
    def setUpClass(cls):
        LAB.nss("home/.pki/nssdb")
        os.makedirs(LAB.path("chromium/policies/managed"))
        cls.bound = LAB.bound("chromium", "/etc/chromium")

    def command(self, token, *more):
        choice = {"pattern": "https://localhost:" + SERVER.port, "filter": {"SUBJECT": {"CN": token}}}
        LAB.write("chromium/policies/managed/tpmtls.json", json.dumps({"AutoSelectCertificateForUrls": [json.dumps(choice)]}))
        return (*self.bound, "chromium", "--no-sandbox", "--disable-gpu", "--no-first-run", "--user-data-dir=" + LAB.path("chromium-" + token),
                *more, "https://localhost:%s/" % SERVER.port)

    def test_headless(self):
        for token in KINDS:
            done = LAB.must(*self.command(token, "--headless=new", "--dump-dom"))
            self.assertIn(b"<title>you are CN=%s,O=Example</title>" % token.encode(), done.out)

    @needs("Xvfb", "xdotool")
    def test_pin(self):
        for token in KINDS:
            self.see_with_pin("pin-" + token, "Unlock Security Device", self.command("pin-" + token), {})


@needs("firefox-esr")
class Firefox(Browser):
    """It takes the first certificate that fits, so it gets one token."""

    def command(self, token, *more):
        profile = "firefox-" + token
        LAB.nss(profile)
        LAB.write(profile + "/user.js", "".join("user_pref(%s, %s);\n" % (json.dumps(k), json.dumps(v)) for k, v in {
            "security.default_personal_cert": "Select Automatically", "browser.shell.checkDefaultBrowser": False,
            "browser.aboutwelcome.enabled": False, "datareporting.policy.dataSubmissionEnabled": False,
            "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False}.items()))
        return ("firefox-esr", "--no-remote", "--profile", LAB.path(profile), *more, "https://localhost:%s/" % SERVER.port)

    def test_headless(self):
        """A picture of the page; that the page came is what nginx says."""
        for token in KINDS:
            shot = LAB.path(token + ".png")
            LAB.must(*self.command(token, "--headless", "--screenshot", shot), env=LAB.only(token))
            self.assertGreater(os.path.getsize(shot), 0)
            SERVER.wait_for("seen CN=%s,O=Example" % token)

    @needs("Xvfb", "xdotool")
    def test_pin(self):
        for token in KINDS:
            self.see_with_pin("pin-" + token, "Password Required", self.command("pin-" + token), LAB.only("pin-" + token))


if __name__ == "__main__":
    harness.tap_main()
