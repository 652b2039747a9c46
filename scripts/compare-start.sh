#!/bin/sh
# What an embedder pays before the first word: the size of the libraries, the time from a cold start to the first token, and memory above
# the weights, beside llama.cpp's. Prints Markdown. --help has the rest.
set -eu

usage() {
    cat <<END
usage: scripts/compare-start.sh [--rounds N]

Files of random weights of the shape 1.1B in our 1-bit format and in llama.cpp's q1_0, and llama.cpp itself (npm's node-llama-cpp), come from
scripts/compare-peers.sh, which this calls where they are missing. Each round starts, one after the other: ours with neither a cache of ours
nor one of Mesa's ("first start"), ours again ("second start"), llama.cpp's CPU backend (which keeps nothing). All files are in the page
cache. A start opens the device, loads the file and makes one token (no prompt). Sizes are of what a program must carry, after strip: ours is
libonebit.so alone, with and without the kernels' SPIR-V; llama.cpp's are libllama, libggml, libggml-base and the CPU backend of one
generation of processors. Memory above the weights: the process's peak, minus the file.

  --rounds N   default 5; medians are printed

ONEBIT_BUILD is our build tree with shared libraries (default: build/release), ONEBIT_PEERS_CACHE as in compare-peers.sh.
END
}
refuse() {
    echo "compare-start.sh: $1" >&2
    exit "$2"
}

cd "$(dirname "$0")/.."
rounds=5
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --rounds)
        case ${2:-} in *[!0-9]* | '' | 0* | ????*) refuse "--rounds takes a whole number from 1 to 999, not '${2:-}'" 2 ;; esac
        rounds=$2
        shift 2
        ;;
    *) refuse "there is no option $1; --help lists them" 2 ;;
    esac
done
build=${ONEBIT_BUILD:-build/release} cache=${ONEBIT_PEERS_CACHE:-build/cache/peers}
ours=$cache/models/2048-5632-22-32-4-32000-onebit.gguf
theirs=$cache/models/2048-5632-22-32-4-32000-q1_0.gguf
[ -f "$build/lib/libonebit.so.0" ] || refuse "$build/lib/libonebit.so.0 is not built (cmake --build --preset release)" 1
if [ ! -d "$cache/node_modules/node-llama-cpp" ] || [ ! -f "$ours" ] || [ ! -f "$theirs" ]; then
    ONEBIT_BIN=$build/apps ONEBIT_PEERS_CACHE=$cache scripts/compare-peers.sh --rounds 1 --prompt 16 --tokens 4 >/dev/null
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export VK_ICD_FILENAMES="${VK_ICD_FILENAMES:-/usr/share/vulkan/icd.d/lvp_icd.x86_64.json}"

value() { tr ',' '\n' <"$1" | sed -n "s/.*\"$2\": *\"\{0,1\}\([^\"}]*\).*/\1/p" | sed -n 1p; }
median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
bytes() { stat -L -c %s "$1"; }
note() { # NAME
    value "$work/out" first_token_s >>"$work/$1.seconds"
    value "$work/out" host_peak_bytes >>"$work/$1.memory"
}

cat "$ours" "$theirs" >/dev/null # into the page cache
before=$(cut -d ' ' -f 1 /proc/loadavg)
round=1
while [ "$round" -le "$rounds" ]; do
    rm -rf "$work/ours" "$work/mesa"
    mkdir "$work/ours" "$work/mesa"
    for start in first second; do
        ONEBIT_CACHE_DIR=$work/ours MESA_SHADER_CACHE_DIR=$work/mesa LP_NUM_THREADS=2 "$build/apps/onebit-bench-vk" decode -m "$ours" -p 0 -n 1 \
            -r 1 --warmup 0 -o json >"$work/out" 2>"$work/err" || refuse "$(tail -n 1 "$work/err")" 1
        note $start
        device=$(value "$work/out" driver)
    done
    node scripts/llama_peer.mjs "$cache" "$theirs" cpu 2 0 1 32000 >"$work/out" 2>"$work/err" || refuse "llama.cpp failed: $(tail -n 1 "$work/err")" 1
    note theirs
    echo "round $round: $(tail -qn 1 "$work"/*.seconds | paste -sd ' '), load average $(cut -d ' ' -f 1 /proc/loadavg)" >&2
    round=$((round + 1))
done

# ---- sizes --------------------------------------------------------------------------------------------------------------
stripped() { # FILE: its size after strip
    strip -o "$work/stripped" "$1" 2>/dev/null || cp "$1" "$work/stripped"
    bytes "$work/stripped"
}
size=$(stripped "$build/lib/libonebit.so.0")
words=$(find "$build/shaders/spirv" -name '*.spv' -exec stat -c %s {} + | awk '{ n += $1 } END { print n }')
bin=$(echo "$cache"/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64)
their_size=0
for file in "$bin"/libllama.v*.so "$bin"/libggml.v*.so "$bin"/libggml-base.so "$bin"/libggml-cpu-haswell.so; do
    their_size=$((their_size + $(stripped "$file")))
done

seconds() { median "$work/$1.seconds" | awk '{ printf "%.2f", $1 }'; }
mib() { echo "$1" | awk '{ printf "%.2f", $1 / 1048576 }'; }
echo "$(date -u '+%Y-%m-%d'), $(nproc) processors ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)), load average $before before and" \
    "$(cut -d ' ' -f 1 /proc/loadavg) after, medians of $rounds rounds, shape 1.1B, ours on $device."
echo
echo "| | libraries, stripped, MiB | first start to first token, s | second start, s | file, MiB | peak memory above the file, MiB |"
echo "|---|---:|---:|---:|---:|---:|"
echo "| ours, 1-bit | $(mib "$size") ($(mib "$words") of it SPIR-V) | $(seconds first) | $(seconds second)" \
    "| $(mib "$(bytes "$ours")") | $(mib "$(($(median "$work/second.memory") - $(bytes "$ours")))") |"
echo "| llama.cpp q1_0, CPU | $(mib "$their_size") | $(seconds theirs) | the same | $(mib "$(bytes "$theirs")")" \
    "| $(mib "$(($(median "$work/theirs.memory") - $(bytes "$theirs")))") |"
