#!/usr/bin/env bash
# Unpacks Android's own adbd, which Debian has from trixie on, with the libraries
# it was built for, into a folder; nothing is installed. The tests of
# `--target adb` speak to it.
#
#   .ci/adbd.sh build/adbd
#
# The packages come from the mirror that this machine's apt uses, and are verified
# with its keys.
set -euo pipefail
folder=$(realpath -m "${1:?a folder}")
if [ -e "$folder/.complete" ]; then exit 0; fi

mirror=$(apt-get indextargets --format '$(REPO_URI)' \
  'Created-By: Packages' 'Label: Debian' | sed -n 1p)
if [ -z "$mirror" ]; then
  echo "adbd.sh: this machine's apt has no Debian mirror" >&2
  exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/root"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" \
  >"$work/sources.list"
apt=(apt-get -qq
  -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache"
  -o Dir::State::status=/dev/null -o APT::Sandbox::User=root)
"${apt[@]}" update
cd "$work/debs"
"${apt[@]}" download adbd android-libbase android-libboringssl android-libcutils \
  android-liblog libbrotli1 libbsd0 libc6 libcap2 libgcc-s1 liblz4-1 libmd0 \
  libprotobuf32t64 libstdc++6 libsystemd0 libxxhash0 libzstd1 zlib1g
for package in *.deb; do dpkg-deb -x "$package" ../root; done
touch ../root/.complete
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
mv "$work/root" "$folder"
