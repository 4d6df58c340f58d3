#!/usr/bin/env bash
# Builds the images of k8s/Dockerfile on a stand-in for NVIDIA's, which are 20 GB: a Debian with Python and an entry point
# that says so. Wheels that the project needs are left out. Says what each image runs as, and what of ours it finds.
# As root, with Debian's buildah and debootstrap: tools/try-images.sh [folder]
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-$(mktemp -d)}
build() { buildah --storage-driver vfs --root "$folder/store" --runroot "$folder/run" "$@"; }

mkdir -p "$folder/base"
[ -d "$folder/base/root/usr" ] || debootstrap --variant=minbase --include=python3,python3-pip bookworm "$folder/base/root"
cp /etc/ssl/certs/ca-certificates.crt "$folder/base/root/etc/ssl/certs/"
# What says where packages are on this machine, but for folders that are not in the image.
[ ! -e /etc/pip.conf ] || grep -vE 'constraint|find-links|file://' /etc/pip.conf >"$folder/base/root/etc/pip.conf"
cat >"$folder/base/Dockerfile" <<'DOCKERFILE'
FROM scratch
COPY root /
RUN pip3 install --break-system-packages --quiet 'setuptools>=77' wheel && \
    mkdir /opt/nvidia && printf '#!/bin/sh\necho "the entry point"\nexec "$@"\n' >/opt/nvidia/nvidia_entrypoint.sh && \
    chmod 755 /opt/nvidia/nvidia_entrypoint.sh
ENV PATH=/usr/local/bin:/usr/bin:/bin PIP_BREAK_SYSTEM_PACKAGES=1 PIP_NO_BUILD_ISOLATION=false PIP_NO_DEPS=1
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh"]
DOCKERFILE
build bud --isolation chroot --quiet --tag stand-in "$folder/base"
release=$(sed -n 's/^ARG RELEASE=//p' k8s/Dockerfile)
nvidia=nvcr.io/nvidia
build tag stand-in "$nvidia/tritonserver:$release-py3" "$nvidia/tensorrt:$release-py3" docker.io/library/python:3.12-slim-bookworm
for target in engines ingest server; do
  build bud --isolation chroot --pull-never --quiet --file k8s/Dockerfile --target $target --tag $target .
  container=$(build from --pull-never "localhost/$target")
  build inspect --format "$target: user {{.OCIv1.Config.User}}, {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}}{{println}}" "$container"
  build run --isolation chroot "$container" -- sh -c 'python3 -c "import fuserank; print(fuserank.__file__)"; ! test -w /opt/fuserank'
  build rm "$container" >/dev/null
done
