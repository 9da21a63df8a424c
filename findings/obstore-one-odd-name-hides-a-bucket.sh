#!/usr/bin/env bash
# obstore: one key with two slashes ends the listing of all others, and a console's "folder" is a file that isn't there.
#
# Versions: obstore 0.12.1, boto3 1.44.8, pyarrow 26.0.1, moto 5.2.5 as the S3 server.
# Guess:    a listing of a bucket gives the keys that S3 gives; a name that a library can't say is left
#           out or quoted, and does not stand in the way of others. What is listed can be got.
# What is:  S3 takes any name. Of a key such as runs//last (a joined path, written by another tool)
#           obstore's list raises InvalidPathError, also for the names before it, so nobody can list that
#           prefix any more; PyArrow lists all. The empty object runs/new/ that consoles make for a
#           "folder" is listed as runs/new, and to get that raises FileNotFoundError: a program that
#           reads all it has listed stops at it. Names of obstore's own are never so, which is why tests
#           with one library pass.
# Seen:     two slashes: boto3 lists 3, PyArrow 3, obstore InvalidPathError
#           a folder: boto3 lists runs/1, runs/2, runs/new/; obstore runs/1, runs/2, runs/new; get runs/new: FileNotFoundError
# Source:   run here; object_store's Path (crates object_store, path/mod.rs) refuses empty segments and
#           drops a slash at the end. Neither documentation says what a listing does with such keys.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  obstore==0.12.1 "moto[s3,server]==5.2.5" boto3==1.44.8 pyarrow==26.0.1
seen=$(cd "$folder" && "$folder/venv/bin/python" - <<'PY'
import logging

import boto3
import obstore
from moto.server import ThreadedMotoServer
from obstore.store import S3Store
from pyarrow.fs import FileSelector, S3FileSystem

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
url = "http://{}:{}".format(*server.get_host_and_port())
keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "secret"}
s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)


def bucket(name, *names):
    s3.create_bucket(Bucket=name)
    for one in names:
        s3.put_object(Bucket=name, Key=one, Body=b"" if one.endswith("/") else b"1")
    return S3Store(
        name,
        endpoint=url,
        region="us-east-1",
        access_key_id=keys["aws_access_key_id"],
        secret_access_key=keys["aws_secret_access_key"],
        client_options={"allow_http": True},
    )


def by_boto3(name):
    return [one["Key"] for one in s3.list_objects_v2(Bucket=name)["Contents"]]


def by_pyarrow(name):
    store = S3FileSystem(
        access_key=keys["aws_access_key_id"],
        secret_key=keys["aws_secret_access_key"],
        endpoint_override=url,
        allow_bucket_creation=False,
    )
    found = store.get_file_info(FileSelector(name, recursive=True))
    return [one.path for one in found if one.is_file]


def by_obstore(store):
    return [one["path"] for one in obstore.list(store, "runs").collect()]


def error(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "no error"


odd = bucket("odd", "runs/1", "runs/2", "runs//last")
print(
    f"two slashes: boto3 lists {len(by_boto3('odd'))}, PyArrow {len(by_pyarrow('odd'))},"
    f" obstore {error(lambda: by_obstore(odd))}"
)
folder = bucket("folder", "runs/1", "runs/2", "runs/new/")
print(
    f"a folder: boto3 lists {', '.join(by_boto3('folder'))}; obstore {', '.join(by_obstore(folder))};"
    f" get runs/new: {error(lambda: obstore.get(folder, 'runs/new'))}"
)
server.stop()
PY
)
seen=$(tail -n 2 <<< "$seen") # the server says that it starts
echo "$seen"
test "$seen" = "two slashes: boto3 lists 3, PyArrow 3, obstore InvalidPathError
a folder: boto3 lists runs/1, runs/2, runs/new/; obstore runs/1, runs/2, runs/new; get runs/new: FileNotFoundError"
echo "as described"
