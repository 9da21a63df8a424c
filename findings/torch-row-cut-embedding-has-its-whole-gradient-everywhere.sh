#!/usr/bin/env bash
# torch: an embedding table cut by rows over processes has its whole, dense gradient on each of them.
#
# Versions: torch 2.13.0, two processes with gloo on a CPU.
# Guess:    RowwiseParallel of an nn.Embedding is there for tables that are too large for one device:
#           rows, their gradients and the optimiser's state are cut alike, as with ColwiseParallel.
# What is:  the weight and the optimiser's state are cut (6 of 12 rows each). The gradient is a
#           replicated DTensor of all rows, so during each step a process holds the whole table once
#           more, and more than that with many processes: the table that was cut to fit does not fit.
#           With sparse=True, which would spare it, the backward pass raises NotImplementedError; so
#           does FSDP2 (fully_shard). Cut by columns all three are cut, whatever the number of rows.
# Seen:     rows: weight 6 x 4, gradient 12 x 4 (Replicate()), Adam's mean 6 x 4
#           columns: weight 12 x 2, gradient 12 x 2 (Shard(dim=1))
#           rows, sparse: NotImplementedError; FSDP2, sparse: NotImplementedError
# Source:   run here; torch/distributed/tensor/_ops/_embedding_ops.py: the backward of embedding has
#           strategies that give columns, sums or the whole, and none that gives rows. The tutorial on
#           tensor parallelism takes RowwiseParallel for the embedding.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$folder/cut.py" <<'PY'
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
ROWS, COLUMNS = RowwiseParallel(input_layouts=Replicate()), ColwiseParallel()


def trained(style, sparse=False):
    table = nn.ModuleDict({"table": nn.Embedding(12, 4, sparse=sparse)})
    parallelize_module(table, mesh, {"table": style})
    table["table"](torch.tensor([1, 2, 11])).sum().backward()
    return table["table"].weight


def sharded():
    model = nn.Sequential(nn.Embedding(12, 4, sparse=True), nn.Linear(4, 1))
    fully_shard(model[0])
    fully_shard(model)
    model(torch.tensor([1, 2, 11])).sum().backward()


def error(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "no error"


def size(tensor):
    return " x ".join(map(str, tensor.to_local().shape))


def how(weight):
    return f"weight {size(weight)}, gradient {size(weight.grad)} ({weight.grad.placements[0]!r})"


said = []
weight = trained(ROWS)
adam = torch.optim.Adam([weight])
gradient = how(weight)
adam.step()
said.append(f"rows: {gradient}, Adam's mean {size(adam.state[weight]['exp_avg'])}")
said.append(f"columns: {how(trained(COLUMNS))}")
said.append(f"rows, sparse: {error(lambda: trained(ROWS, sparse=True))}; FSDP2, sparse: {error(sharded)}")
if dist.get_rank() == 0:
    print("\n".join(said))
dist.destroy_process_group()
PY
seen=$(OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore -m torch.distributed.run \
  --standalone --nproc-per-node 2 "$folder/cut.py" 2>"$folder/err") || { cat "$folder/err"; exit 1; }
echo "$seen"
test "$seen" = "rows: weight 6 x 4, gradient 12 x 4 (Replicate()), Adam's mean 6 x 4
columns: weight 12 x 2, gradient 12 x 2 (Shard(dim=1))
rows, sparse: NotImplementedError; FSDP2, sparse: NotImplementedError"
echo "as described"
