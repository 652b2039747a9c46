#!/bin/sh
# One go on a machine with a GPU: builds, checks every kernel, measures the device, single products and whole models, and prints it
# all as Markdown within a budget of minutes.
set -eu

usage() {
    cat <<'END'
usage: scripts/gpu-report.sh [--device D] [--minutes N] [--out FILE] [--peers] [--no-tests]

  --device D    index, name (any part of it) or UUID (default: the best device)
  --minutes N   budget from the start, build included (default: 9). A step that no longer fits is left out, one that the end of the
                budget meets is stopped; the last table names both
  --out FILE    write the report there too
  --peers       llama.cpp on the same machine, its Vulkan backend too (scripts/compare-peers.sh; needs npm and, once, the network);
                both programs take the default device
  --no-tests    leave out the kernel tests, which come last, need the validation layer and take the default device

Installs what is missing (scripts/setup.sh), builds the preset release, and then reports: the device; the self-test of every kernel at
every tier; the measured rates of copying and arithmetic; products of one token and of 512 with 1-bit matrices; tokens per second of
models of random weights (0.26M, 1.1B, 7B) as shares of those rates; what the bracketed form of a layer saves; the families of kernels,
what was chosen by which times, and each family forced; every operation of a model and of training; the programs of tests/kernels.
Nothing of earlier runs is taken: caches are in a directory of its own.

On a software driver the report says so, and prompts and generated texts are shorter. Exit code: 0 all that ran passed, 1 something
failed or the self-test did not end, 2 wrong use. What the budget left out or stopped does not change it: a slow machine is no fault,
and the last table names it. ONEBIT_BIN is a directory of built programs: then nothing is installed or built (the
tests are beside it, in ../tests). ONEBIT_KERNEL, ONEBIT_TIER, ONEBIT_FUSED, ONEBIT_OVERLAP and ONEBIT_VALIDATION are ignored.
END
}

refuse() {
    echo "gpu-report.sh: $1" >&2
    exit "$2"
}

began=$(date +%s)
device='' minutes=8 out='' peers='' tests=1
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --peers) peers=1 ;;
    --no-tests) tests='' ;;
    --device | --minutes | --out)
        [ -n "${2:-}" ] || refuse "$1 needs a value" 2
        case $1 in --device) device=$2 ;; --minutes) minutes=$2 ;; --out) out=$2 ;; esac
        shift ;;
    *) refuse "there is no option $1; --help lists them" 2 ;;
    esac
    shift
done
case $minutes in *[!0-9]* | '' | 0* | ????*) refuse "--minutes takes a whole number from 1 to 999, not '$minutes'" 2 ;; esac
if [ -n "$out" ]; then
    (: >"$out") 2>/dev/null || refuse "cannot write $out" 2
    case $out in /*) ;; *) out=$PWD/$out ;; esac
fi
case ${ONEBIT_BIN:-/} in /*) ;; *) ONEBIT_BIN=$PWD/$ONEBIT_BIN ;; esac
cd "$(dirname "$0")/.."
end=$((began + 60 * minutes))

work=$(mktemp -d)
running=
trap '[ -z "$running" ] || kill "$running" 2>/dev/null || :; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
: >"$work/steps"
unset ONEBIT_KERNEL ONEBIT_TIER ONEBIT_FUSED ONEBIT_OVERLAP ONEBIT_VALIDATION
export ONEBIT_CACHE_DIR="$work/cache" MESA_SHADER_CACHE_DIR="$work/mesa" __GL_SHADER_DISK_CACHE_PATH="$work/nvidia"
mkdir "$work/cache" "$work/mesa" "$work/nvidia"

# ---- steps --------------------------------------------------------------------------------------------------------
software='' failed=0 brief=''
# Standard input into the report.
report() {
    if [ -n "$out" ]; then tee -a "$out"; else cat; fi
}
left() { echo $((end - $(date +%s))); }
# note NAME RESULT SECONDS: a row of the last table.
note() { printf '| %s | %s | %s |\n' "$1" "$2" "$3" >>"$work/steps"; }
# What a program said beside its results: warnings, errors; no progress bars.
said() { tr '\r' '\n' <"$work/said" | sed 's/\x1b\[[0-9;]*[A-Za-z]//g' | grep -v -e ' left *$' -e '^ *$' | tail -n 8 | sed 's/^/> /' || :; }

# step NAME NEEDS NEEDS_SOFTWARE COMMAND...: runs the command if that many seconds are left, until the budget ends at most. Its
# standard output is in $work/out then. Returns 0 if it ran to its end with exit code 0. With `brief` only the last table tells what
# was skipped.
step() {
    name=$1 needs=$([ -z "$software" ] && echo "$2" || echo "$3")
    shift 3
    : >"$work/out"
    if [ "$(left)" -lt "$needs" ]; then
        note "$name" "SKIPPED: needs about $needs s, $(left) s were left" ""
        [ -n "$brief" ] || printf '**Skipped: %s** (needs about %s s, %s s were left)\n\n' "$name" "$needs" "$(left)" | report
        return 1
    fi
    echo "gpu-report.sh: $name, $(left) s left" >&2
    start=$(date +%s) code=0
    timeout -k 10 "$(left)" "$@" >"$work/out" 2>"$work/said" </dev/null &
    running=$!
    wait "$running" || code=$?
    running=
    took=$(($(date +%s) - start))
    case $code in
    0) note "$name" passed "$took" ;;
    124 | 137)
        note "$name" "STOPPED: the budget ended" "$took"
        printf '**Stopped by the end of the budget: %s**\n\n' "$name" | report ;;
    *)
        failed=1
        note "$name" "FAILED, exit code $code" "$took"
        printf '**FAILED: %s**, exit code %s\n\n' "$name" "$code" | report ;;
    esac
    { said; echo; } | cat -s >"$work/notes"
    if [ "$code" -ne 0 ] || grep -q '^> .*\(warning\|error\|dropped\|WARN\)' "$work/notes"; then report <"$work/notes"; fi
    return "$code"
}
heading() { printf '## %s\n\n' "$1" | report; }
# The step's output as it is, and as text; of a step that was stopped what it had printed.
show() { [ ! -s "$work/out" ] || { cat "$work/out"; echo; } | report; }
show_text() { { echo '```'; cat "$work/out"; printf '```\n\n'; } | report; }

# ---- build --------------------------------------------------------------------------------------------------------
{
    printf '# OneBit for Vulkan on this machine\n\n'
    printf '%s, %s processors (%s), load average %s, commit %s, budget %s minutes.\n\n' "$(date -u '+%Y-%m-%d %H:%M UTC')" "$(nproc)" \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(cut -d ' ' -f 1 /proc/loadavg)" \
        "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" "$minutes"
} | report
if [ -n "${ONEBIT_BIN:-}" ]; then
    bin=$ONEBIT_BIN
    note "setup and build" "SKIPPED: ONEBIT_BIN is set" ""
else
    bin=build/release/apps
    # Without the network the build may have all it needs, so it is tried.
    step "setup" 5 5 scripts/setup.sh --without-swiftshader || :
    configured=-DONEBIT_WITHOUT_SWIFTSHADER=ON
    [ ! -f build/release/CMakeCache.txt ] || configured= # a developer's build keeps what it tests
    step "configure" 5 5 cmake --preset release --log-level=WARNING $configured || { show_text; refuse "cmake failed" 1; }
    # shellcheck disable=SC2046 # names
    step "build" 10 10 cmake --build --preset release -j "$(nproc)" --target apps/all \
        $([ -z "$tests" ] || basename -s .c tests/kernels/test_*.c) ||
        { tail -n 30 "$work/out" >"$work/tail"; mv "$work/tail" "$work/out"; show_text; refuse "the build did not end; see above" 1; }
fi
for program in onebit-info-vk onebit-bench-vk; do
    [ -x "$bin/$program" ] || refuse "$bin/$program is not there; build it or set ONEBIT_BIN" 1
done

# ---- device and self-test -------------------------------------------------------------------------------------------
heading "Device"
# An empty name is the default device.
step "device" 1 1 "$bin/onebit-info-vk" --device "$device" || refuse "no device: $(said)" 1
show_text
type=$(sed -n 's/^device .* (\([^()]*\))$/\1/p' "$work/out")
model=$(sed -n 's/^device  *\(.*\) ([^()]*)$/\1/p' "$work/out")
families=$(sed -n '/^families/,/^chosen/{/^chosen/d;/: no,/d;s/^families//;p}' "$work/out" | tr -d ' ' | tr '\n' ' ')
if [ "$type" = CPU ]; then
    software=1
    printf '**%s is a software driver: it runs on the processor. These figures say nothing about a GPU.**\n\n' "$model" | report
fi

heading "Every kernel against the CPU reference, at every tier"
step "self-test" 10 40 "$bin/onebit-info-vk" --selftest --device "$device" || failed=1
[ ! -s "$work/out" ] || {
    sed -n '/^kernel .*tier/,$p' "$work/out" | grep -v ' pass ' >"$work/rows" || :
    mv "$work/rows" "$work/out"
    echo "Kernels that pass are counted, not listed." | report
    show_text
}

# ---- products -------------------------------------------------------------------------------------------------------
copy='' arithmetic=''
heading "Rates of the device and products of one token"
# shellcheck disable=SC2016 # a name in Markdown
printf 'Medians; "of copy" is the share of the measured copy rate. `onebit_forward` is a whole 1-bit layer without its norm.\n\n' | report
rounds=$([ -z "$software" ] && echo 101 || echo 11)
step "1-bit matrix times vector" 10 40 \
    "$bin/onebit-bench-vk" kernels --device "$device" --filter onebit_forward --rounds "$rounds" --warmup 5 \
    1x4096x4096 1x11008x4096 1x4096x11008 || :
show
copy=$(sed -n 's/^copy rate \([0-9.]*\) GB.*/\1/p' "$work/out")
arithmetic=$(sed -n 's/.*arithmetic rate \([0-9.]*\) GFLOP.*/\1/p' "$work/out")
step "64 MiB of bits times vector" 10 30 \
    "$bin/onebit-bench-vk" kernels --device "$device" --filter onebit_forward --rounds "$rounds" --warmup 5 \
    1x32768x16384 || :
show
heading "Products of 512 tokens"
step "products 512x4096x4096" 20 40 "$bin/onebit-bench-vk" kernels --device "$device" --filter matmul_ \
    --rounds "$([ -z "$software" ] && echo 11 || echo 3)" 512x4096x4096 || :
show
gemm=$(awk -F '|' '$2 ~ /onebit_forward/ { print $7 + 0 }' "$work/out")

# ---- models ---------------------------------------------------------------------------------------------------------
heading "Models of random weights"
# shares SHAPE EMBEDDING_BYTES LINEAR_PARAMETERS: what the table in $work/out means beside the measured rates.
shares() {
    if [ -z "$copy" ] || [ ! -s "$work/out" ]; then return 0; fi
    awk -F '|' -v shape="$1" -v embedding="$2" -v linear="$3" -v copy="$copy" -v arithmetic="$arithmetic" -v gemm="${gemm:-0}" '
        $2 ~ /random/ {
            split($3, size, " ")
            gsub(/ /, "", $7)
            bytes = size[1] * (size[2] == "GiB" ? 2 ^ 30 : size[2] == "MiB" ? 2 ^ 20 : 2 ^ 10)
            if ($7 ~ /tg/) {
                rate = ($8 + 0) * (bytes - embedding) / 1e9
                printf "%s, %s: %.4g GB/s of weights (all but the embedding), ", shape, $7, rate
                printf "**%.1f %% of the copy rate**.\n", 100 * rate / copy
            }
            if ($7 ~ /pp/) {
                rate = 2 * ($8 + 0) * linear / 1e9
                printf "%s, %s: %.4g GFLOP/s in the linear layers, ", shape, $7, rate
                printf "**%.1f %% of the arithmetic rate**", 100 * rate / arithmetic
                if (gemm > 0) printf ", %.1f %% of 512x4096x4096 alone", 100 * rate / gemm
                printf ".\n"
            }
        }' "$work/out" >"$work/shares"
    { cat "$work/shares"; echo; } | report
}
# model SHAPE NEEDS NEEDS_SOFTWARE EMBEDDING_BYTES LINEAR_PARAMETERS
model() {
    sizes="-p 512 -n 128 -r 3"
    [ -z "$software" ] || case $1 in 0.26M) sizes="-p 128 -n 128 -r 3" ;; *) sizes="-p 32 -n 8 -r 1" ;; esac
    # shellcheck disable=SC2086 # words
    step "decode and prompt, random $1" "$2" "$3" "$bin/onebit-bench-vk" decode --device "$device" --random "$1" $sizes || :
    show
    shares "$1" "$4" "$5"
}
model 0.26M 10 20 65536 226560
model 1.1B 20 30 131072000 968884224
model 7B 30 60 262144000 6476005376
for way in ONEBIT_FUSED=0 ONEBIT_OVERLAP=0; do # what a GPU has by itself, without it
    sizes="-n 128 -r 3"
    [ -z "$software" ] || sizes="-n 8 -r 1"
    # shellcheck disable=SC2086 # words
    if step "decode, random 1.1B, $way" 10 30 env "$way" "$bin/onebit-bench-vk" decode --device "$device" --random 1.1B $sizes; then
        printf '%s\n\n' "$way" | report
        show
    fi
done

# ---- the bracket -----------------------------------------------------------------------------------------------------
heading "The bracketed form against the materialised weight"
shapes="4096x4096 11008x4096 --tokens 16,64,256,1024,2048,4096,8192"
[ -z "$software" ] || shapes="512x512 --tokens 16,64,256,1024"
# shellcheck disable=SC2086 # words
if step "complexity" 5 10 "$bin/onebit-bench-vk" complexity --device "$device" $shapes; then show; fi

# ---- families -------------------------------------------------------------------------------------------------------
heading "Families of kernels for one token"
if step "families and choices" 1 5 "$bin/onebit-info-vk" --device "$device"; then
    sed -n '/^families/,$p' "$work/out" >"$work/rows" && mv "$work/rows" "$work/out"
    show_text
fi
for family in $families; do
    if step "family $family" 5 30 env ONEBIT_KERNEL="$family" "$bin/onebit-bench-vk" kernels --device "$device" --filter onebit_forward \
        --rounds "$([ -z "$software" ] && echo 51 || echo 5)" --warmup 2 1x4096x4096 1x11008x4096 1x4096x11008; then
        printf 'ONEBIT_KERNEL=%s\n\n' "$family" | report
        show
    fi
done

# ---- every operation ------------------------------------------------------------------------------------------------
heading "Every operation"
step "every operation" 20 90 "$bin/onebit-bench-vk" kernels --device "$device" --rounds "$([ -z "$software" ] && echo 11 || echo 3)" || :
show

# ---- llama.cpp ------------------------------------------------------------------------------------------------------
if [ -n "$peers" ]; then
    heading "Beside llama.cpp"
    for shape in 1.1B 7B; do
        sizes="--prompt 512 --tokens 128"
        [ -z "$software" ] || sizes="--prompt 32 --tokens 8"
        # shellcheck disable=SC2086 # words
        step "llama.cpp, $shape" 60 120 env ONEBIT_BIN="$bin" scripts/compare-peers.sh --shape "$shape" --rounds 1 --threads "$(nproc)" \
            --peer q1_0 --peer q4_0 --vulkan $sizes || :
        show
    done
else
    note "llama.cpp" "SKIPPED: --peers was not given" ""
fi

# ---- kernel tests ---------------------------------------------------------------------------------------------------
if [ -z "$tests" ]; then
    note "kernel tests" "SKIPPED: --no-tests" ""
else
    heading "Kernel tests"
    printf 'The table below has a row for each program; here are only those that fail.\n\n' | report
    brief=1
    for source in tests/kernels/test_*.c; do
        test=$(basename "$source" .c)
        if [ ! -x "$bin/../tests/$test" ]; then
            note "$test" "SKIPPED: not built" ""
        elif [ "$test" = test_selftest ]; then
            note "$test" "SKIPPED: it is the self-test above" ""
        else
            step "$test" 5 10 "$bin/../tests/$test" || continue
            # A test takes the default device; what passed on another says nothing about this one.
            grep -qF "device: $model," "$work/said" || note "$test" "but on ANOTHER DEVICE than $model" ""
        fi
    done
fi

# ---- end ------------------------------------------------------------------------------------------------------------
heading "Steps"
{
    printf '| step | result | s |\n|---|---|---:|\n'
    cat "$work/steps"
    printf '\n%s s of %s; ' "$(($(date +%s) - began))" "$((60 * minutes))"
    printf '%s failed, ' "$(grep -c '| FAILED' "$work/steps")"
    printf '%s skipped or stopped.\n' "$(grep -c -e '| SKIPPED' -e '| STOPPED' "$work/steps")"
    [ -z "$software" ] || printf '\n**Software driver (%s): no GPU was measured.**\n' "$model"
} | report
exit "$failed"
