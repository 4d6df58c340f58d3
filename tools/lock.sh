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

# compile <lock> <arguments of uv pip compile>
compile() {
  local lock=$1
  shift
  (cd "$folder" && venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-annotate --no-header --no-emit-package torch --output-file "$folder/out" "$@")
  { echo '# Written by `make lock`: versions and hashes of all files.'; cat "$folder/out"; } >"requirements/$lock"
  rm "$folder/out"
}

compile dev.lock pyproject.toml --extra dev --constraint "$root/requirements/torch.txt"
compile demo.lock pyproject.toml --extra demo --constraint "$root/requirements/torch.txt" \
  --constraint "$root/requirements/dev.lock"
compile uv.lock uv.in
