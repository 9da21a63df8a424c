#!/usr/bin/env bash
# Prefect: a flow returns up to a second after its function, and its own variable can't turn that off.
#
# Versions: prefect 3.8.8, each flow called by Python, with the server that Prefect starts by itself.
# Guess:    an empty flow costs what its requests to the server cost, some hundredths of a second. If
#           heartbeats cost anything, PREFECT_FLOWS_HEARTBEAT_FREQUENCY=None turns them off.
# What is:  a flow that is not async waits at its end for the thread of its heartbeats, which looks once
#           a second whether the flow has ended: each flow, and each subflow, lasts whole seconds, and
#           five empty subflows take five of them. Async flows do not wait. Heartbeats are on since March 2026 (one each
#           180 s); None turns them off, but no text in the variable is None: "None", "null" and "" are
#           no numbers, 0 is less than 30, and Prefect refuses to start. What works is JSON in the variable
#           of the group, PREFECT_FLOWS='{"heartbeat_frequency": null}', and in Python
#           temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}).
# Seen:     as it comes: a flow returns 1 s after its function, a subflow 1 s, an async one 0 s
#           without heartbeats: a flow returns 0 s after its function, a subflow 0 s, an async one 0 s
#           PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None refused, null refused, "" refused, 0 refused
# Matters:  a second at the end of each run, and of each test of a flow.
# Source:   _send_heartbeats in prefect/flow_engine.py: `time.sleep(1)`, `thread.join(timeout=2)`;
#           prefect/settings/models/flows.py. PrefectHQ/prefect#21058 made 180 the default and says that
#           None turns heartbeats off; Prefect's own tests then took nearly twice as long, and turn
#           them off in Python (#21062).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check prefect==3.8.8 "fastapi<0.151"
cat > "$folder/ends.py" <<'PY'
import asyncio
import statistics
import time

from prefect import flow


@flow
def nothing():
    return time.monotonic()


@flow
async def nothing_async():
    return time.monotonic()


@flow
def parent():
    return late(nothing)


def late(call):
    """Whole seconds from the function's end to the flow's, the median of five."""
    return f"{statistics.median(-call() + time.monotonic() for _ in range(5)):.0f} s"


nothing()  # the server is there
print(
    f"a flow returns {late(nothing)} after its function, a subflow {parent()},"
    f" an async one {late(lambda: asyncio.run(nothing_async()))}"
)
PY
export PREFECT_HOME="$folder/home" PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1
export PREFECT_LOGGING_LEVEL=ERROR PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=true
unset PREFECT_API_URL PREFECT_PROFILE PREFECT_FLOWS PREFECT_FLOWS_HEARTBEAT_FREQUENCY
cd "$folder"
python="$folder/venv/bin/python"
refused() {
  PREFECT_FLOWS_HEARTBEAT_FREQUENCY="$1" "$python" -c "from prefect import flow" 2> "$folder/said" || true
  if grep -q "^heartbeat_frequency" "$folder/said"; then echo refused; else echo taken; fi
}
seen="as it comes: $("$python" ends.py)
without heartbeats: $(PREFECT_FLOWS='{"heartbeat_frequency": null}' "$python" ends.py)
PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None $(refused None), null $(refused null), \"\" $(refused ""), 0 $(refused 0)"
echo "$seen"
test "$seen" = "as it comes: a flow returns 1 s after its function, a subflow 1 s, an async one 0 s
without heartbeats: a flow returns 0 s after its function, a subflow 0 s, an async one 0 s
PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None refused, null refused, \"\" refused, 0 refused"
echo "as described"
