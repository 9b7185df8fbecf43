"""A real Postfix for the tests: an instance of its own on a loopback port, in a directory of its own, ended by its pid.

It relays what it takes to another server. Only root may run one: Postfix insists on its own users.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import smtplib
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from servers import LOOPBACK, Authority, free_ports

MASTER = shutil.which("master", path="/usr/lib/postfix/sbin:/usr/libexec/postfix")
_SPOOL = "active bounce corrupt defer deferred flush hold incoming maildrop private public saved trace"

_MAIN = """
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
daemon_directory = {daemons}
maillog_file = {home}/log
maillog_file_prefixes = {home}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.prueba.test
mydestination =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{relay_port}
smtp_dns_support_level = disabled
message_size_limit = 100000
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = {tls}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access texthash:{home}/access
smtpd_data_restrictions = reject_unauth_pipelining
smtpd_timeout = {patience}s
smtpd_error_sleep_time = 0
in_flow_delay = 0
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
"""

_MASTER = """
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
tlsmgr unix - - n 1000? 1 tlsmgr
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """`answers`: recipient -> what it says at RCPT. `tls`: may, or encrypt. `patience`: seconds for a client's next
    word. `stop` and `start` let it go away and come back, on the same port and with what it has queued."""

    def __init__(
        self, authority: Authority, relay_port: int, answers: dict[str, str], tls: str = "encrypt", patience: int = 30
    ) -> None:
        assert MASTER, "Postfix is not installed"
        (self.port,) = free_ports(1)
        self._directory = tempfile.TemporaryDirectory(prefix="postfix-")
        self.home = Path(self._directory.name)
        self._process: subprocess.Popen[bytes] | None = None
        certificate, key = authority.sign()
        owner = pwd.getpwnam("postfix").pw_uid
        self.home.chmod(0o755)
        for name in ("etc", "spool", "data"):
            (self.home / name).mkdir()
        for name in _SPOOL.split():
            (self.home / "spool" / name).mkdir(mode=0o755 if name == "public" else 0o700)
            os.chown(self.home / "spool" / name, owner, -1)
        (self.home / "spool" / "pid").mkdir()
        os.chown(self.home / "data", owner, -1)
        self.answer(answers)
        shutil.copy(certificate, self.home / "certificate.pem")
        shutil.copy(key, self.home / "key.pem")
        main = _MAIN.format(
            home=self.home, daemons=Path(MASTER).parent, relay_port=relay_port, tls=tls, patience=patience,
            certificate=self.home / "certificate.pem", key=self.home / "key.pem",
        )  # fmt: skip
        self._write("etc/main.cf", main)
        self._write("etc/master.cf", _MASTER.format(port=f"127.0.0.1:{self.port}"))

    def answer(self, answers: dict[str, str]) -> None:
        """From the next start on."""
        self._write("access", "".join(f"{address} {said}\n" for address, said in answers.items()))

    def _write(self, name: str, text: str) -> None:
        (self.home / name).write_text(text)
        os.utime(self.home / name, (10**9, 10**9))  # it waits seconds for a file just written to settle

    def __enter__(self) -> Postfix:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        assert MASTER and self._process is None
        self._process = subprocess.Popen(
            [MASTER, "-c", str(self.home / "etc"), "-d"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        end = time.monotonic() + 20
        while time.monotonic() < end:
            assert self._process.poll() is None, f"Postfix ended at once: {self.log()}"
            with suppress(OSError, smtplib.SMTPException), smtplib.SMTP(LOOPBACK, self.port, timeout=5):
                return
            time.sleep(0.02)
        raise AssertionError(f"Postfix does not listen: {self.log()}")

    def stop(self) -> None:
        """Every connection ends, the port is free. Harmless when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(20)
        finally:
            with suppress(ProcessLookupError):  # its children, in its session
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)

    def close(self) -> None:
        self.stop()
        self._directory.cleanup()

    def log(self) -> str:
        """The last lines of its log, for a message."""
        path = self.home / "log"
        return "\n".join(path.read_text("utf-8", "replace").splitlines()[-20:]) if path.exists() else ""
