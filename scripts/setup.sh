#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what finescale needs from the distribution's packages. Idempotent: with everything there it does nothing.
#   scripts/setup.sh            build and run
#   scripts/setup.sh --demo     also the data of scripts/demo.sh
#   scripts/setup.sh --slurm    also a Slurm for tests (scripts/slurm_test_cluster.sh); a cluster brings its own
#   scripts/setup.sh --dev      also formatters, linters, a second compiler and tools of the tests
# Not root and something is missing: prints the exact command and exits 3.
set -euo pipefail

build="g++ cmake ninja-build ccache pkg-config git \
  libopenmpi-dev openmpi-bin libhdf5-openmpi-dev libhdf5-dev \
  libgrpc++-dev libgrpc-dev libssl-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev \
  libyaml-cpp-dev libspdlog-dev libfmt-dev libsqlite3-dev libmimalloc-dev libdnnl-dev libhwy-dev \
  nlohmann-json3-dev libcli11-dev libcpp-httplib-dev libeigen3-dev libxxhash-dev libpcre2-dev libicu-dev libboost-context-dev \
  libgtest-dev libgmock-dev libbenchmark-dev"
demo="wordnet-base dict-freedict-eng-deu bible-kjv gawk"
dev="clang clang-format clang-tidy clang-tools hdf5-tools iproute2 openssl procps sqlite3"
slurm="slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge"

wanted="$build"
for argument in "$@"; do
  case $argument in
    --demo) wanted="$wanted $demo" ;;
    --slurm) wanted="$wanted $slurm" ;;
    --dev) wanted="$wanted $dev" ;;
    -h | --help) sed -n '3,9p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "setup.sh: unknown argument $argument (try --help)" >&2; exit 2 ;;
  esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "setup.sh: this system has no apt. Install the equivalents of these Debian packages by hand:" >&2
  echo "  $wanted" | tr -s ' ' >&2
  exit 3
fi

missing=()
for package in $wanted; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup.sh: everything is installed" >&2
  exit 0
fi

if [ "$(id -u)" -ne 0 ]; then
  echo "setup.sh: packages are missing. Run this once, then start again:" >&2
  echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 3
fi
echo "setup.sh: installing ${#missing[@]} packages: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update >&2
apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
echo "setup.sh: done" >&2
