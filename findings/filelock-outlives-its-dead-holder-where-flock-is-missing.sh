#!/usr/bin/env bash
# filelock.FileLock: on a file system without flock the lock of a dead process is held for good.
#
# Versions: filelock 4.2.12, Linux.
# Guess:    FileLock is the kernel's lock: it goes with its process, and where the file system has no
#           such locks (some FUSE, SMB and cluster file systems) acquiring fails.
# What is:  It turns itself into a SoftFileLock with no more than a UserWarning (its class changes
#           while it is acquired). That lock is the file's existence: when the holder dies, the file
#           stays. Who waits sees "Timeout", as if a living process held it. `fallback_to_soft=False`
#           gives the error instead.
# Seen:     UnixFileLock -> SoftFileLock; after the holder's death: the lock's file is there;
#           with fallback_to_soft=False: OSError ENOSYS
# Source:   filelock/_unix.py, _switch_to_soft_lock; the option's docstring.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check filelock==4.2.12

# flock answers ENOSYS, as such a file system does
cat > "$folder/without_flock.py" <<'PY'
import errno, fcntl, os
def flock(*_):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
fcntl.flock = flock
PY
cd "$folder"
holder=$("$folder/venv/bin/python" -W ignore -c "
import without_flock, os
from filelock import FileLock
lock = FileLock('work.lock')
before = type(lock).__name__
lock.acquire()
print(before, '->', type(lock).__name__, flush=True)
os._exit(0)  # as a kill would end it
")
left=$(test -e work.lock && echo "there" || echo "gone")
strict=$("$folder/venv/bin/python" -c "
import without_flock, errno
from filelock import FileLock
try:
    FileLock('strict.lock', fallback_to_soft=False).acquire(timeout=0)
    print('acquired')
except OSError as error:
    print('OSError', errno.errorcode[error.errno])
")
echo "$holder; after the holder's death: the lock's file is $left; with fallback_to_soft=False: $strict"
test "$holder" = "UnixFileLock -> SoftFileLock"
test "$left" = there
test "$strict" = "OSError ENOSYS"
echo "as described"
