#!/usr/bin/env bash
# Makes each Vulkan call of a load-generate-destroy run fail in each way that the registry lists, once and from there on, and
# prints how many there were. Exit code 0: the library did right every time. About 20 minutes of one core.
#
#   scripts/test-faults.sh [--sanitizers] [--edges] [--sample N] [--work NAME] [--command NAME]
#
#   --sanitizers   under AddressSanitizer and UndefinedBehaviorSanitizer; several times as long
#   --edges        only the first and the last call of each command
#   --sample N     of the list of each work N, evenly
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

preset=release
if [ "${1:-}" = --sanitizers ]; then preset=dev; shift; fi
case ${1:-} in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;; esac
onebit_setup_packages
cd "$onebit_root"
cmake --preset "$preset" --log-level=ERROR
cmake --build --preset "$preset" -j "$(nproc)" --target test_faults
# The environment is that of the sample which ctest runs, and the program is told by this variable to take what is asked for.
ONEBIT_FAULTS=${*:---all} ctest --preset "$preset" -R '^test_faults\.' --no-tests=error -V
