#!/usr/bin/env bash
# Installs what pyproject.toml allows into a fresh environment and writes the versions to requirements.lock.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${1:-python3.11}" -m venv "$folder/venv"
# torch first and by its exact version: a range may bring in gigabytes of CUDA that a laptop has no use for.
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet -e '.[dev]'
{
  echo '# Every version that the project is tested with, written by `make lock`.'
  "$folder/venv/bin/pip" freeze --exclude-editable | sed 's/+cpu$//'
} >requirements.lock
