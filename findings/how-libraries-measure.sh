#!/usr/bin/env bash
# Twelve libraries measure the same lists: the table of docs/how-libraries-measure.md, made anew.
#
# Versions: in how-libraries-measure/*.txt; Python 3.11, Linux.
# Guess:    NDCG@10, recall@3 and precision@10 of one list are the same number everywhere.
# What is:  NDCG@10 of one right item at rank 2 is .6309, .1389 or 1; two of five found in three is
#           .4 or .6667; of equal scores the first, the last, the greatest name or nobody wins; who
#           has no list is 0, left out or an error.
# Seen:     the rows of the page; this fails where one of them differs.
# Source:   run here, each with its own way in; the page says what follows from it.
# Takes:    up to 40 minutes, and 4 GB of disk. Where PyTorch comes with CUDA by default, name its index
#           of CPU wheels in PIP_EXTRA_INDEX_URL to spare the most of it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
measure() {  # NAME of the requirements, then the libraries that run with them
  local set=$1 library
  shift
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/how-libraries-measure/$set.txt"
  for library in "$@"; do
    "$folder/venv/bin/python" -W ignore "$here/how-libraries-measure/with_$library.py" >"$folder/$library.out" 2>"$folder/$library.err" \
      || { cat "$folder/$library.err"; exit 1; }
    tail -n 1 "$folder/$library.out" >"$folder/$library.json"
  done
  rm -rf "$folder/venv"
}
measure current replay lenskit implicit cornac ranx ir_measures pytrec_eval torchmetrics sklearn
measure numpy1 rectools recpack
measure numpy1.23 recbole
python3 "$here/how-libraries-measure/table.py" "$folder" "$here/../docs/how-libraries-measure.md"
