#!/usr/bin/env bash
# Runs the whole test suite (lavapipe's tests) on a device that a layer makes look like others, one profile of tests/layers/profiles.h
# after the other, and prints a table of what passed. Exit code 0: everything.
#
#   scripts/test-profiles.sh [--again] [--list] [--only REGEX] [PROFILE...]
#
#   --again   runs profiles whose result build/profiles holds already; without it they are not run again
#   --list    says which profiles there are
#   --only    tests whose names match, of each profile
#
# A profile takes as long as the tests of one driver: a quarter of an hour on two cores.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$onebit_root"

again=0 only='' chosen=()
mapfile -t known < <(sed -n 's/.*{ \.name = "\([^"]*\)".*/\1/p' tests/layers/profiles.h)
while [ $# -gt 0 ]; do
    case $1 in
    --again) again=1 ;;
    --list) printf '%s\n' "${known[@]}"; exit 0 ;;
    --only) only=${2:?--only needs an expression}; shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) onebit_fail "unknown option $1 (see scripts/test-profiles.sh --help)"; exit 2 ;;
    *) [[ " ${known[*]} " == *" $1 "* ]] || { onebit_fail "there is no profile $1; there are ${known[*]}"; exit 2; }
       chosen+=("$1") ;;
    esac
    shift
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${known[@]}")

onebit_setup_packages
cmake --preset release --log-level=ERROR
cmake --build --preset release -j "$(nproc)"
results=build/profiles
mkdir -p "$results"
manifests=$(dirname "$(find /usr/share/vulkan /usr/local/share/vulkan /etc/vulkan -name VkLayer_khronos_validation.json 2>/dev/null | head -n 1)")

# width of lavapipe's vectors for a profile
width() { awk -v name="\"$1\"" '/\.name = /{ on = index($0, name) > 0 } on && match($0, /\.width = [0-9]+/) { print substr($0, RSTART + 9, RLENGTH - 9); exit }' tests/layers/profiles.h; }

failed=0
for profile in "${chosen[@]}"; do
    log=$results/$profile.log
    if [ "$again" -eq 0 ] && [ -z "$only" ] && grep -q '^Total Test time' "$log" 2>/dev/null; then continue; fi
    bits=$(width "$profile")
    onebit_say "==== $profile (lavapipe$bits)"
    # Validation must lie above the clamp: the loader takes layers in the order in which it finds them.
    ONEBIT_PROFILE=$profile VK_LAYER_PATH=$manifests:$onebit_root/build/release/tests/layers \
        VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation:VK_LAYER_onebit_clamp \
        ctest --preset release -j "$(nproc)" -R "${only:-.}" -L "^lavapipe$bits$" -E '^(test_faults|package|soak_kill)' -V >"$log" 2>&1 || true
done

printf '%-10s %7s %7s %8s   %s\n' profile passed failed skipped ''
for profile in "${chosen[@]}"; do
    log=$results/$profile.log
    passed=$(grep -c '^ *[0-9]*/[0-9]* Test .* Passed ' "$log" || true)
    bad=$(sed -n 's/^\t *[0-9]* - \([^ ]*\) .*/\1/p' "$log" | tr '\n' ' ')
    skipped=$(sed -n 's/.*\[  SKIPPED \] \([a-z_0-9]*\)$/\1/p' "$log" | sort -u | tr '\n' ' ')
    printf '%-10s %7s %7s %8s   %s\n' "$profile" "$passed" "$(wc -w <<<"$bad")" "$(wc -w <<<"$skipped")" "${bad:+failed: $bad}${skipped:+skipped: $skipped}"
    if [ -n "$bad" ] || [ "$passed" -eq 0 ]; then failed=1; fi
done
exit "$failed"
