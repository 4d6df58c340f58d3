#!/usr/bin/env bash
# Everything that only a GPU can show, one step after the other; docs/engines-and-gpu.md says what each should print.
# Usage: tools/gpu-check.sh <folder of python> <bundle> <build folder>
set -euo pipefail
bin=$1 bundle=$2 build=$3

fail() {
  echo "gpu-check: $1; see docs/engines-and-gpu.md" >&2
  exit 1
}

step() {
  echo
  echo "== $*"
  "$@"
}

command -v nvidia-smi >/dev/null || fail "nvidia-smi: not found; run this on a machine with an NVIDIA GPU and its driver"
[ -f "$bundle/manifest.json" ] || fail "$bundle: no bundle; run make demo first, which needs no GPU"
step nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader
step "$bin/python" -c '
import onnxruntime, tensorrt, torch
print("onnxruntime", onnxruntime.__version__, onnxruntime.get_available_providers())
print("tensorrt", tensorrt.__version__, "torch", torch.__version__, "cuda", torch.cuda.is_available())
assert "CUDAExecutionProvider" in onnxruntime.get_available_providers(), "install onnxruntime-gpu, without onnxruntime"
assert torch.cuda.is_available(), "torch sees no GPU: install the one of this CUDA"
' || fail "a package is missing or does not see the GPU"
# A provider that is there may still fail to load, and ONNX Runtime then goes on with the CPU.
step "$bin/python" -c '
import sys, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
print("encoder runs on", session.get_providers())
assert session.get_providers()[0] == "CUDAExecutionProvider", "the session fell back to the CPU"
' "$bundle/model_repository/encoder/1/model.onnx" || fail "a session of ONNX Runtime does not run on the GPU"
step "$bin/python" -m pytest -m gpu --require-gpu -rs -s tests/unit tests/functional
step "$bin/python" -m fuserank_export engines --bundle "$bundle" --out "$build/demo-cuda" --target ensemble_cuda --precision auto --force
step "$bin/python" -m fuserank_export engines --bundle "$build/demo-cuda" --out "$build/demo-tensorrt" \
  --target ensemble_tensorrt --precision fp16 --force
echo
cat "$build/reports/parity.md"
