#!/usr/bin/env bash
# OpenVINO on a CPU computes int64 as int32 and double as float, and hands the results out as int64 and double.
#
# Versions: openvino 2026.4.1, onnxruntime 1.32.0, onnx 1.23.2, torch 2.13.0.
# Guess:    a model whose inputs and outputs are int64 and float64 is computed in them, or refused. The
#           compiled model's own ports say int64 and double.
# What is:  the CPU plugin narrows both inside, without a word. Times in milliseconds wrap around, and
#           so do seconds from 2038 on: the weekday is another one. Of a double only 24 bits stay, so
#           sixty milliseconds after a moment of 2023 are the moment itself. Differences of two close
#           times are right, since wrapping cancels out: a test of intervals alone passes.
# Seen:     seconds of 2023: gaps ok, weekday ok, through ok, exact thousandths no
#           milliseconds of 2023: gaps ok, weekday no, through no, exact thousandths no
#           seconds of 2038: gaps ok, weekday no, through no, exact thousandths no
#           ports: i64, i64, i64, f64; ONNX Runtime: all equal to torch
# Matters:  a sequence model that takes timestamps gives other recommendations than the one that was
#           evaluated, and no check of shapes, types or ranges sees it.
# Source:   run here. The page of the CPU device lists f32 and i32 as precisions of its internal
#           primitives; that values of other types are cut to them, while ports keep the types, it does
#           not say.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 onnxscript==0.7.2 torch==2.13.0 numpy==2.4.6
cat > "$folder/times.py" <<'PY'
import onnxruntime
import openvino
import torch

DAY = 86_400
NAMES = ("gaps", "weekday", "through", "exact thousandths")
TIMES = {
    "seconds of 2023": [1_700_000_000, 1_700_000_060, 1_700_086_400],
    "milliseconds of 2023": [1_700_000_000_000, 1_700_000_000_060, 1_700_086_400_000],
    "seconds of 2038": [2**31 - 5, 2**31 + 55, 2**31 + DAY],
}


class Times(torch.nn.Module):
    """What a sequence model makes of times before it looks up embeddings."""

    def forward(self, times):
        return times[:, 1:] - times[:, :-1], times // DAY % 7, times, times.double() / 1000


model = Times()
example = torch.tensor([TIMES["seconds of 2023"]])
torch.onnx.export(model, (example,), "times.onnx", dynamo=True, verbose=False)
runtime = onnxruntime.InferenceSession("times.onnx")
compiled = openvino.Core().compile_model("times.onnx", "CPU")
as_torch = True
for name, times in TIMES.items():
    given = torch.tensor([times])
    expected = [value.numpy() for value in model(given)]
    by_runtime = runtime.run(None, {runtime.get_inputs()[0].name: given.numpy()})
    as_torch &= all((one == other).all() for one, other in zip(expected, by_runtime))
    answer = compiled([given.numpy()])
    same = [(answer[n] == value).all() for n, value in enumerate(expected)]
    print(f"{name}: " + ", ".join(f"{what} {'ok' if ok else 'no'}" for what, ok in zip(NAMES, same)))
ports = ", ".join(port.element_type.get_type_name() for port in compiled.outputs)
print(f"ports: {ports}; ONNX Runtime: {'all equal to torch' if as_torch else 'others'}")
PY
seen=$(cd "$folder" && "$folder/venv/bin/python" -W ignore times.py 2>/dev/null | grep "^seconds\|^milli\|^ports")
echo "$seen"
test "$seen" = "seconds of 2023: gaps ok, weekday ok, through ok, exact thousandths no
milliseconds of 2023: gaps ok, weekday no, through no, exact thousandths no
seconds of 2038: gaps ok, weekday no, through no, exact thousandths no
ports: i64, i64, i64, f64; ONNX Runtime: all equal to torch"
echo "as described"
