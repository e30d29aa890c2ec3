"""tests/integration/swtpm.py: a TPM of a test's own, whose power can be cut, and what tpm2-tools say about it."""

import os
import shutil
import subprocess
import time


class Swtpm:
    """swtpm on sockets in a folder. With on = False it has not had TPM2_Startup."""

    def __init__(self, folder, on=True):
        self.folder, self.on, self.process = folder, on, None
        os.makedirs(os.path.join(folder, "state"), exist_ok=True)
        self.tcti = "swtpm:path=" + os.path.join(folder, "socket")
        self.start()

    def start(self):
        sockets = [os.path.join(self.folder, name) for name in ("socket", "socket.ctrl")]
        flags = "not-need-init" + (",startup-clear" if self.on else "")
        for path in sockets:
            if os.path.exists(path):
                os.unlink(path)
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", "dir=" + os.path.join(self.folder, "state"), "--flags", flags,
             "--server", "type=unixio,path=" + sockets[0], "--ctrl", "type=unixio,path=" + sockets[1]],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(250):
            if all(os.path.exists(path) for path in sockets):
                return
            time.sleep(0.02)
        raise AssertionError("swtpm does not start")

    def cut_power(self):
        """Without TPM2_Shutdown; and on again."""
        self.process.kill()
        self.process.wait()
        self.start()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

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
