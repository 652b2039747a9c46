#!/usr/bin/env bash
# Builds for Windows with mingw-w64 and runs tests under Wine, whose Vulkan is this machine's lavapipe. Exit code 0: all passed.
#
#   scripts/test-windows.sh
#
# Unit tests and gradients, the kernel tests on one width of lavapipe, engine and API tests, the self-test, a text that must be
# the same as on this machine (from a folder and a prompt that are not ASCII, too), and the DLLs that the programs ask for.
# The libraries come from Debian's sources, into build/cache/mingw64. docs/platforms.md has what differs on Windows.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
. "$onebit_root/scripts/windows-libraries.sh"
. "$onebit_root/scripts/same-text.sh"
[ $# -eq 0 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 2; }
cd "$onebit_root"
onebit_packages+=(gcc-mingw-w64-x86-64-posix wine wine64 xvfb dpkg-dev)
onebit_setup_packages
onebit_make_windows_libraries "$onebit_root/build/cache/mingw64"
cmake --preset mingw64 --log-level=WARNING
cmake --build --preset mingw64 -j "$(nproc)"

# Wine's own folder, and the display without which it has no Vulkan.
export WINEPREFIX=$onebit_root/build/cache/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree=;mshtml=" TMPDIR=$onebit_root/build/mingw64/tmp
wine=$(command -v wine64 || command -v /usr/lib/wine/wine64 || command -v wine)
mkdir -p "$TMPDIR"
exec 9<>"$TMPDIR/display" # Xvfb writes the number that it took
Xvfb -displayfd 9 -screen 0 640x480x24 -nolisten tcp >/dev/null 2>&1 &
display=$!
trap 'kill "$display" 2>/dev/null || true; rm -f "$TMPDIR/display"' EXIT
for _ in $(seq 100); do [ ! -s "$TMPDIR/display" ] || break; sleep 0.1; done
DISPLAY=:$(cat "$TMPDIR/display")
export DISPLAY
"$wine" wineboot -i >/dev/null 2>&1 || true

failed=0
onebit_say "==== DLLs"
dlls=$(for program in build/mingw64/apps/onebit-*.exe; do x86_64-w64-mingw32-objdump -p "$program"; done | sed -n 's/.*DLL Name: //p' | sort -u)
echo "$dlls"
if grep -vixE 'kernel32\.dll|msvcrt\.dll|advapi32\.dll|user32\.dll|ws2_32\.dll' <<<"$dlls"; then
    onebit_fail "the programs ask for DLLs that are not Windows' own" || failed=1
fi
onebit_counted "unit tests and gradients" ctest --preset mingw64 -j "$(nproc)" --no-tests=error -L 'unit|grad' || failed=1
onebit_counted "kernel tests" ctest --preset mingw64 -j "$(nproc)" --no-tests=error -L kernel -R '\.lavapipe256' || failed=1
onebit_counted "engine and API tests" ctest --preset mingw64 -j "$(nproc)" --no-tests=error -L 'engine|api' -R '\.lavapipe256' || failed=1
onebit_use_lavapipe "" "$onebit_root/build/mingw64/cache"
export LP_NATIVE_VECTOR_WIDTH=256
onebit_selftest "$wine" build/mingw64/apps/onebit-info-vk.exe || failed=1
onebit_same_text mingw64 "$wine" build/mingw64/apps/onebit-run-vk.exe || failed=1
onebit_summary "$failed"
