#!/usr/bin/env bash
# What the tests of other platforms share: counts, the self-test, and a text that must be the same as on this machine.
# Sourced by scripts/test-arm64.sh and scripts/test-windows.sh, after scripts/setup.sh.
onebit_counts=()

onebit_counted() # NAME CTEST...: runs it and keeps how many tests passed, and how long it took
{
    local name=$1 log status=0 begin=$SECONDS
    shift
    onebit_say "==== $name"
    log=$(mktemp)
    "$@" | tee "$log" || status=$?
    onebit_counts+=("$name: $(sed -n 's/^\([0-9]*% tests passed.*\)/\1/p' "$log"), $((SECONDS - begin)) s")
    rm -f "$log"
    return "$status"
}

onebit_use_lavapipe() # ROOT CACHE: the driver, by the name that programs under that root see
{
    local manifest
    manifest=$(find "$1/usr/share/vulkan/icd.d" -name 'lvp_icd*.json' ! -name '*i[36]86*' | head -n 1)
    export VK_ICD_FILENAMES=${manifest#"$1"} VK_DRIVER_FILES=${manifest#"$1"} ONEBIT_CACHE_DIR=$2 # the self-test of a start is kept there
}

onebit_selftest() # COMMAND...: onebit-info-vk, as it is run there
{
    local begin=$SECONDS log
    onebit_say "==== self-test"
    log=$(mktemp)
    "$@" | sed -n 's/^system  */system: /p'
    if ! "$@" --selftest >"$log" 2>&1; then
        tail -n 30 "$log"
        onebit_fail "the self-test failed"
        return 1
    fi
    tail -n 1 "$log"
    onebit_counts+=("self-test: $(tail -n 1 "$log"), $((SECONDS - begin)) s with starting twice")
    rm -f "$log"
}

# PRESET COMMAND...: onebit-run-vk, as it is run there. The same program for this machine is built, and both say what comes next: from the
# float teacher, from the 1-bit student, and from a copy in a folder whose name is not ASCII after a prompt that is not.
onebit_same_text()
{
    local preset=$1 folder model prompt here there same=0 driver
    shift
    onebit_say "==== text"
    cmake --preset release --log-level=ERROR -DONEBIT_BUILD_TESTS=OFF -B build/here >/dev/null && cmake --build build/here -j "$(nproc)" -t onebit-run-vk >/dev/null || return 1
    folder=build/$preset/$'Gr\u00f6\u00dfe \u6a21\u578b'
    mkdir -p "$folder" && cp models/stories-onebit.gguf "$folder/" || return 1
    driver=$(find /usr/share/vulkan/icd.d -name 'lvp_icd*.json' ! -name '*i[36]86*' | head -n 1)
    for model in models/stories-teacher.gguf models/stories-onebit.gguf "$folder/stories-onebit.gguf"; do
        prompt="Once upon a time"
        [[ $model == models/* ]] || prompt=$'Caf\u00e9 \U1F600 was'
        here=$(VK_ICD_FILENAMES=$driver VK_DRIVER_FILES=$driver build/here/apps/onebit-run-vk -m "$model" -p "$prompt" -n 64 --temp 0 2>/dev/null) || return 1
        there=$("$@" -m "$model" -p "$prompt" -n 64 --temp 0 2>/dev/null) || { onebit_fail "onebit-run-vk failed with $model"; return 1; }
        if [ "$here" != "$there" ] || [ ${#here} -lt 40 ]; then
            printf 'error: the texts of %s differ\nhere:\n%s\nthere:\n%s\n' "$model" "$here" "$there" >&2
            return 1
        fi
        same=$((same + 1))
    done
    onebit_counts+=("texts: $same of $same as on this machine")
    onebit_say "$there"
}

onebit_summary() # FAILED
{
    onebit_say "==== $SECONDS s in all"
    printf '%s\n' "${onebit_counts[@]}"
    if [ "$1" -ne 0 ]; then onebit_fail "something failed (see above)"; return 1; fi
    onebit_say "==== all passed"
}
