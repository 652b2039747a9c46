#!/usr/bin/env bash
# Builds for arm64 and runs tests there, by qemu on this machine. Exit code 0: all passed.
#
#   scripts/test-arm64.sh [--all-kernels]
#
#   --all-kernels   run every program of tests/kernels; hours, since qemu runs the driver's compiler, too
#
# Unit tests and gradients, the self-test (every kernel on every tier against its reference), some programs of tests/kernels, and a
# text that must be the same as on this machine. The driver is lavapipe of Debian 13: that of Debian 12 turns halves into floats
# wrongly on arm64, or ends the program (docs/platforms.md). Nothing of arm64 is installed: it lies in build/cache/sysroot-arm64.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
. "$onebit_root/scripts/sysroot.sh"
. "$onebit_root/scripts/same-text.sh"
kernels='test_(act_bwd|embed|embed_bwd|group|memory|norm|sign_family|util)\.lavapipe128'
case ${1:-} in
"") ;;
--all-kernels) kernels='\.lavapipe128' ;;
*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
cd "$onebit_root"
onebit_packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)
onebit_setup_packages
onebit_make_sysroot trixie arm64 build/cache/sysroot-arm64 libc6-dev libpcre2-dev libutf8proc-dev libjansson-dev libyaml-dev \
    libcmocka-dev libxxhash-dev libvulkan-dev libvulkan-volk-dev libvulkan1 mesa-vulkan-drivers vulkan-validationlayers libgcc-s1
cmake --preset arm64 --log-level=WARNING
cmake --build --preset arm64 -j "$(nproc)"

failed=0
onebit_counted "unit tests and gradients" ctest --preset arm64 -j "$(nproc)" --no-tests=error -L 'unit|grad' || failed=1
onebit_counted "kernel tests" ctest --preset arm64 -j "$(nproc)" --no-tests=error -L kernel -R "$kernels" || failed=1
onebit_use_lavapipe build/cache/sysroot-arm64 "$onebit_root/build/arm64/cache"
emulated=(qemu-aarch64 -L "$onebit_root/build/cache/sysroot-arm64")
export LP_NATIVE_VECTOR_WIDTH=128
onebit_selftest "${emulated[@]}" build/arm64/apps/onebit-info-vk || failed=1
onebit_same_text arm64 "${emulated[@]}" build/arm64/apps/onebit-run-vk || failed=1
onebit_summary "$failed"
