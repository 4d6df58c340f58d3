#!/usr/bin/env bash
# Resolves what pyproject.toml allows and writes the locks of requirements/, with the hashes of every file.
# Usage: tools/lock.sh <python>
set -euo pipefail
root=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${1:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet uv
cat pyproject.toml requirements/resolve.toml >"$folder/pyproject.toml"
echo uv >"$folder/uv.in"

# What resolve.toml resolves for, which every package would repeat.
everywhere="python_full_version < '3.13' and implementation_name == 'cpython' and platform_machine == 'x86_64'"
everywhere="$everywhere and platform_python_implementation == 'CPython' and sys_platform == 'linux'"

# compile <lock> <arguments of uv pip compile>
compile() {
  local lock=$1
  shift
  (cd "$folder" && venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-annotate --no-header --no-emit-package torch --output-file "$folder/out" "$@")
  { echo '# Written by `make lock`: versions and hashes of all files.'; sed "s/ ; $everywhere//" "$folder/out"; } >"requirements/$lock"
  rm "$folder/out"
}

compile dev.lock pyproject.toml --extra dev --constraint "$root/requirements/torch.txt"
compile demo.lock pyproject.toml --extra demo --constraint "$root/requirements/torch.txt" \
  --constraint "$root/requirements/dev.lock"
compile tensorrt-check.lock pyproject.toml --extra tensorrt-check --constraint "$root/requirements/dev.lock"
# pip is the environment's own.
compile audit.lock pyproject.toml --extra audit --constraint "$root/requirements/dev.lock" --no-emit-package pip
compile mutation.lock pyproject.toml --extra mutation --constraint "$root/requirements/dev.lock"
compile coverage.lock pyproject.toml --extra coverage --constraint "$root/requirements/dev.lock"
compile fuzz.lock pyproject.toml --extra fuzz --constraint "$root/requirements/dev.lock"
compile docs.lock pyproject.toml --extra docs --constraint "$root/requirements/dev.lock"
compile uv.lock uv.in
