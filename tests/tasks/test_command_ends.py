"""How a command ends: told to, it reports that to its server before it ends the server."""

import subprocess
import sys

import pytest

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


USUAL = """
import atexit, sys, threading, time
from tasks.ends import ends

class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        print("gone through", flush=True)

def work():
    time.sleep(0.3)
    print("a thread is through")

kept = Cycle()
atexit.register(lambda: print("first asked, last done"))
atexit.register(lambda: print("last asked, first done", file=sys.stderr))
threading.Thread(target=work).start()
print("the work is over", end=" ")
ends.finish({code})
"""


@pytest.mark.parametrize(("code", "status"), [("0", 0), ("None", 0), ("2", 2), ("'why'", 1)])
def test_a_command_s_usual_end_leaves_out_only_that_memory_is_gone_through(code, status):
    """Threads, what was registered and what was printed come first, as Python has it."""
    words = [sys.executable, "-c", USUAL.format(code=code)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == status
    assert done.stdout == "the work is over a thread is through\nfirst asked, last done\n"
    assert done.stderr == ("why\n" if status == 1 else "") + "last asked, first done\n"
