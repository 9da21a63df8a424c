#!/usr/bin/env bash
# DuckDB through a symbolic link: committed rows that one version sees and the next one does not.
#
# Versions: duckdb 1.4.4 and 2.0.0 (1.5.5 does as 2.0.0), Linux.
# Guess:    A database opened through a symbolic link is that database: what one version commits and
#           leaves in its write-ahead log, a later version of the same file replays.
# What is:  1.4.4 keeps its log beside the link (LINK.wal), 1.5 and 2.0 beside the file that it leads
#           to (FILE.wal). After a program on 1.4.4 was ended before its checkpoint, 2.0.0 opens the
#           same link without an error and without the committed rows. 1.4.4 still finds them.
# Seen:     1.4.4 commits 3 rows and is killed; 1.4.4 reads 3; 2.0.0 reads 0; 1.4.4 reads 3
# Matters:  "current.duckdb -> 2026-11-29.duckdb" is how many teams name the newest copy.
# Source:   run here; nothing in the release notes of 1.5 speaks of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 1.4.4 2.0.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version"
done

mkdir "$folder/data"
ln -s data/real.duckdb "$folder/current.duckdb"
old="$folder/1.4.4/bin/python" new="$folder/2.0.0/bin/python"
"$new" -c "
import duckdb
c = duckdb.connect('$folder/data/real.duckdb', config={'storage_compatibility_version': 'v1.4.0'})
c.execute('CREATE TABLE t (i INT)')
"
# A program that commits, and ends without closing: as a power cut or a kill would end it.
"$old" -c "
import duckdb, os
c = duckdb.connect('$folder/current.duckdb')
c.execute('INSERT INTO t VALUES (1), (2), (3)')
os._exit(0)
"
count() { "$1" -c "
import duckdb
print(duckdb.connect('$folder/current.duckdb', read_only=True).execute('SELECT count(*) FROM t').fetchone()[0])"; }
seen="1.4.4 reads $(count "$old"); 2.0.0 reads $(count "$new"); 1.4.4 reads $(count "$old")"
echo "$seen"
(cd "$folder" && find . -name "*.wal" -not -path "./[12]*")
test "$seen" = "1.4.4 reads 3; 2.0.0 reads 0; 1.4.4 reads 3"
echo "as described"
