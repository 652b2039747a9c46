#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests. Exit code 0: all passed.
#
#   scripts/test.sh [--without-swiftshader] [--without-sanitizers]
#
#   --without-swiftshader   do not fetch and test the second Vulkan driver (otherwise its absence is a failure)
#   --without-sanitizers    skip the second build, under AddressSanitizer and UndefinedBehaviorSanitizer
#
# Tests find their models and texts in $ONEBIT_TEST_DATA, by default ../shared/data beside the project.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

swiftshader=1 sanitizers=1
for argument in "$@"; do
    case $argument in
    --without-swiftshader) swiftshader=0 ;;
    --without-sanitizers) sanitizers=0 ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) onebit_fail "unknown option $argument (see scripts/test.sh --help)"; exit 2 ;;
    esac
done

# What a developer's shell may hold must not change what is tested.
for name in ONEBIT_TIER ONEBIT_KERNEL ONEBIT_VALIDATION ONEBIT_CACHE_DIR VK_ICD_FILENAMES VK_DRIVER_FILES VK_ADD_DRIVER_FILES \
    VK_LOADER_DRIVERS_SELECT VK_LOADER_DRIVERS_DISABLE VK_INSTANCE_LAYERS VK_LAYER_ENABLES LP_NATIVE_VECTOR_WIDTH LP_NUM_THREADS \
    RADV_FORCE_FAMILY CFLAGS LDFLAGS LD_PRELOAD; do
    unset "$name"
done

cd "$onebit_root"
jobs=$(nproc)
times=()
timed() # NAME COMMAND...: runs the command and notes how long it took
{
    local name=$1 begin=$SECONDS status=0
    shift
    onebit_say "==== $name"
    "$@" || status=$?
    times+=("$name $((SECONDS - begin)) s")
    return "$status"
}

setup()
{
    onebit_setup_packages || return 1 # spelled out: bash ignores `set -e` in a function whose status is tested
    if [ "$swiftshader" -eq 1 ]; then onebit_setup_swiftshader || return 1; fi
}
build() # PRESET
{
    local options=(-DONEBIT_WITHOUT_SWIFTSHADER=ON -DONEBIT_SWIFTSHADER_ICD=)
    if [ "$swiftshader" -eq 1 ]; then options=(-DONEBIT_WITHOUT_SWIFTSHADER=OFF "-DONEBIT_SWIFTSHADER_ICD=$onebit_swiftshader_icd"); fi
    cmake --preset "$1" --log-level=WARNING "${options[@]}" &&
        cmake --build --preset "$1" -j "$jobs"
}

data=${ONEBIT_TEST_DATA:-$onebit_root/../shared/data}
if [ ! -f "$data/golden.json" ]; then
    onebit_say "note: there are no test data in $data; tests that need them will fail (set ONEBIT_TEST_DATA)" >&2
fi

timed "setup" setup
timed "build (release)" build release
failed=()
if [ "$sanitizers" -eq 1 ]; then
    timed "build (sanitizers)" build dev
    # The kernel and engine tests run the same host code on every driver; under the sanitizers one driver is enough.
    timed "tests under the sanitizers" ctest --preset dev -j "$jobs" --no-tests=error -L sanitized || failed+=("tests under the sanitizers")
fi
timed "tests" ctest --preset release -j "$jobs" --no-tests=error || failed+=("tests")

printf '==== time: '
printf '%s; ' "${times[@]}"
printf 'in all %d s\n' "$SECONDS"
if [ ${#failed[@]} -gt 0 ]; then
    printf '==== FAILED: %s (see above)\n' "${failed[@]}"
    exit 1
fi
onebit_say "==== all tests passed"
