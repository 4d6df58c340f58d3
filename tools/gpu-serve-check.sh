#!/usr/bin/env bash
# Serves the bundles of `make gpu-check` with the built image, compares their answers with those of the CPU, and measures
# both. Runs on the GPU machine outside any container; docs/engines-and-gpu.md says what each step should print.
# Usage: tools/gpu-serve-check.sh <folder of python> <bundle> <build folder> <shop> <image>
set -euo pipefail
bin=$1 bundle=$2 build=$3 shop=$4 image=$5
http=18000 grpc=18001

fail() {
  echo "gpu-serve-check: $1; see docs/engines-and-gpu.md" >&2
  exit 1
}

command -v docker >/dev/null || fail "docker: not found; this starts the image that make gpu-serve-check IMAGE=… names"
docker image inspect "$image" >/dev/null || fail "$image: no such image; build it as k8s/README.md says"
for target in ensemble_cuda ensemble_tensorrt; do
  served=$build/demo-${target#ensemble_}
  [ -f "$served/manifest.json" ] || fail "$served: no bundle; run make gpu-check first"
done

container=
trap '[ -z "$container" ] || docker rm --force "$container" >/dev/null' EXIT
for target in ensemble_cuda ensemble_tensorrt; do
  echo
  echo "== $target"
  # The models keep no state, so the image needs no key of users but the bundle's, to know the households.
  container=$(docker run --detach --gpus 1 --shm-size 1g --publish "127.0.0.1:$http:8000" --publish "127.0.0.1:$grpc:8001" \
    --volume "$(realpath "$build/demo-${target#ensemble_}"):/bundle:ro" \
    --volume "$(realpath "$bundle.state/log.sqlite.key"):/key:ro" --env FUSERANK_STATE_KEY_FILE=/key \
    --env FUSERANK_TARGET=$target "$image")
  curl --silent --fail --retry 300 --retry-delay 2 --retry-all-errors --output /dev/null \
    "http://127.0.0.1:$http/v2/health/ready" ||
    { docker logs "$container" >&2; fail "$target: the server was not ready after 10 minutes; its log stands above"; }
  "$bin/python" -m fuserank_benchmarks same-answers --bundle "$bundle" --shop "$shop" --url "127.0.0.1:$grpc"
  "$bin/fuserank" bench --url "127.0.0.1:$grpc" --concurrency 1:64
  docker rm --force "$container" >/dev/null
  container=
done
