#!/usr/bin/env bash
# obstore: wrong keys are PermissionDeniedError when an object is asked for, GenericError when a list is.
#
# Versions: obstore 0.12.1, moto 5.2.5 as the S3 server, Python 3.11 or later.
# Guess:    all calls tell refused keys by the same error, so a program may wait and try again where
#           it gets any other.
# What is:  put, get and head raise PermissionDeniedError (a missing object even Python's own
#           FileNotFoundError). list raises GenericError, the error of a store that can't be reached:
#           "403 Forbidden" stands in its text alone. Whoever waits on GenericError waits for ever.
# Seen:     put PermissionDeniedError, head PermissionDeniedError, list GenericError with 403: True
# Source:   run here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  obstore==0.12.1 "moto[s3,server]==5.2.5"
seen=$(cd "$folder" && INITIAL_NO_AUTH_ACTION_COUNT=1 "$folder/venv/bin/python" - <<'PY'
import logging

import boto3
import obstore
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
url = "http://{}:{}".format(*server.get_host_and_port())
keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "wrong"}
# the one call that moto takes from anybody
boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys).create_bucket(Bucket="bucket")
store = S3Store(
    "bucket",
    endpoint=url,
    region="us-east-1",
    access_key_id=keys["aws_access_key_id"],
    secret_access_key=keys["aws_secret_access_key"],
    client_options={"allow_http": True},
    retry_config={"max_retries": 0},
)


def tried(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__, "403" in str(error)
    return "nothing", False


put, _ = tried(lambda: obstore.put(store, "one", b"1"))
head, _ = tried(lambda: obstore.head(store, "one"))
listed, said = tried(lambda: list(obstore.list(store)))
print(f"put {put}, head {head}, list {listed} with 403: {said}")
server.stop()
PY
)
seen=$(tail -n 1 <<< "$seen") # the server says that it starts
echo "$seen"
test "$seen" = "put PermissionDeniedError, head PermissionDeniedError, list GenericError with 403: True"
echo "as described"
