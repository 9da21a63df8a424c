"""A command that is told to end reports that to its server before it ends the server."""

import subprocess
import sys

CODE = """
import atexit, logging, os, signal
from tasks.ends import ends

class Reports(logging.Handler):
    told = False

    def flush(self):
        if not self.told:
            self.told = True
            print("reports", flush=True)

atexit.register(lambda: print("the server ends", flush=True))
logging.getLogger("a run").addHandler(Reports())
ends.watch()
with ends.deferred():
    os.kill(os.getpid(), signal.SIGINT)
ends.finish(0)
"""


def test_reports_come_before_the_end_of_the_server():
    """Otherwise they wait for it until the command is ended by force."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (130, "reports\nthe server ends\n", "")
