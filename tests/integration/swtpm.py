"""tests/integration/swtpm.py: a TPM of a test's own, whose power can be cut, and what tpm2-tools say about it."""

import os
import shutil
import socket
import subprocess
import time


class Swtpm:
    """swtpm on sockets in a folder, or at a TCP port of this machine and the next one. With on = False it has not had
    TPM2_Startup. The one place of the tests that starts swtpm and waits for its end, never for ever."""

    def __init__(self, folder, on=True, port=None):
        self.folder, self.on, self.port, self.process = folder, on, port, None
        os.makedirs(os.path.join(folder, "state"), exist_ok=True)
        self.tcti = "swtpm:port=%d" % port if port else "swtpm:path=" + os.path.join(folder, "socket")
        self.start()

    def start(self):
        sockets = [os.path.join(self.folder, name) for name in ("socket", "socket.ctrl")]
        flags = "not-need-init" + (",startup-clear" if self.on else "")
        for path in sockets:
            if os.path.exists(path):
                os.unlink(path)
        at = ["type=tcp,bindaddr=127.0.0.1,port=%d" % p for p in (self.port, self.port + 1)] if self.port else \
             ["type=unixio,path=" + path for path in sockets]
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", "dir=" + os.path.join(self.folder, "state"), "--flags", flags,
             "--server", at[0], "--ctrl", at[1]],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1000):
            if self.listens(sockets[1]):
                return
            time.sleep(0.02)
        raise AssertionError("swtpm does not start")

    def listens(self, path):
        try:
            if self.port:
                socket.create_connection(("127.0.0.1", self.port + 1), 1).close()
            else:
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(path)
            return True
        except OSError:
            return False

    def lose(self):
        """Without TPM2_Shutdown: it is gone, its sockets, too."""
        self.process.kill()
        self.process.wait(20)
        for name in ("socket", "socket.ctrl"):
            if os.path.exists(os.path.join(self.folder, name)):
                os.remove(os.path.join(self.folder, name))

    def cut_power(self):
        """Without TPM2_Shutdown; and on again."""
        self.lose()
        self.start()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)

    def tools(self, *command):
        """A command of tpm2-tools: its output."""
        done = subprocess.run(command, cwd=self.folder, env=dict(os.environ, TPM2TOOLS_TCTI=self.tcti), capture_output=True,
                              timeout=60, check=False)
        if done.returncode != 0:
            raise AssertionError("%s: %s" % (" ".join(command), done.stderr.decode()))
        return done.stdout.decode()

    def wrong_passwords(self):
        """The TPM's lockout counter."""
        for line in self.tools("tpm2_getcap", "properties-variable").splitlines():
            if "LOCKOUT_COUNTER" in line:
                return int(line.split(":")[1], 0)
        raise AssertionError("no lockout counter")


def manufactured(folder, *options):
    """A Swtpm whose endorsement keys and certificates swtpm_setup has made; None where that program is not there."""
    if shutil.which("swtpm_setup") is None:
        return None
    state, ca = os.path.join(folder, "state"), os.path.join(folder, "ca")
    for path in (state, ca):
        os.makedirs(path)
    with open(os.path.join(folder, "localca.conf"), "w", encoding="ascii") as f:
        f.write("statedir = %s\nsigningkey = %s/key.pem\nissuercert = %s/issuer.pem\ncertserial = %s/serial\n" % (ca, ca, ca, ca))
    with open(os.path.join(folder, "localca.options"), "w", encoding="ascii") as f:
        f.write("--platform-manufacturer tests\n--platform-version 1\n--platform-model tests\n")
    with open(os.path.join(folder, "setup.conf"), "w", encoding="ascii") as f:
        f.write("create_certs_tool = %s\ncreate_certs_tool_config = %s/localca.conf\ncreate_certs_tool_options = %s/localca.options\n"
                "active_pcr_banks = sha256\n" % (shutil.which("swtpm_localca"), folder, folder))
    done = subprocess.run(["swtpm_setup", "--tpm2", "--tpmstate", state, "--config", os.path.join(folder, "setup.conf"),
                           "--runas", str(os.getuid()), "--create-ek-cert", "--lock-nvram", *options],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        raise AssertionError("swtpm_setup: %s" % (done.stdout + done.stderr).decode())
    return Swtpm(folder)
