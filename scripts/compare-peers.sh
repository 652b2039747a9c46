#!/bin/sh
# Whole models beside llama.cpp: the same shape, random weights, one program after the other in rounds, so that both meet the same
# machine. Prints Markdown: medians, ratios, time to first token and peak memory of both.
set -eu

version=3.22.1

usage() {
    cat <<END
usage: scripts/compare-peers.sh [--shape SHAPE] [--rounds N] [--threads N] [--prompt N] [--tokens N] [--peer TYPE]... [--vulkan]

  --shape SHAPE  7B, 1.1B, 0.26M, or width=2048,ffn=5632,layers=22,heads=32,kv_heads=4,vocab=32000 (default: 1.1B)
  --rounds N     times that each program runs (default: 3)
  --threads N    threads of each: llama.cpp's, and lavapipe's where our device is lavapipe (default: 2)
  --prompt N     tokens of the prompt (default: 512)
  --tokens N     tokens to generate (default: 128)
  --peer TYPE    llama.cpp's linear layers: q1_0 (default), q4_0, q8_0 or f16; may be given several times
  --vulkan       measure llama.cpp's Vulkan backend too, on the driver that the Vulkan loader finds first

llama.cpp is that of the npm package node-llama-cpp $version, which is fetched once and kept in build/cache/peers, beside the files of
random weights (1.1B: 0.4 GB for 1 bit, 2.2 GB for f16; 7B: 1.5 and 13.5 GB). Embedding and head are f16 everywhere. In every round each
program opens the device or the CPU, loads its file and makes a first token ("time to first token", files in the page cache), then
reads the prompt and generates, both once untimed and once timed. Peak memory is that of the process, mapped files and a software
driver's device memory included. q1_0 and q4_0 need widths that are multiples of 128 and 32: the shape 0.26M has --peer f16 only.

A comparison on CPUs: VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/lvp_icd.x86_64.json scripts/compare-peers.sh
Example: scripts/compare-peers.sh --shape 7B --rounds 1 --prompt 64 --tokens 16 --peer q1_0 --peer q4_0

ONEBIT_BIN is the directory of our programs (default: build/release/apps), ONEBIT_PEERS_CACHE that of what is fetched and made
(default: build/cache/peers).
END
}

refuse() {
    echo "compare-peers.sh: $1" >&2
    exit "$2"
}

cd "$(dirname "$0")/.."
shape=1.1B rounds=3 threads=2 prompt=512 tokens=128 peers='' vulkan=''
results=$(mktemp -d)
making=
trap 'rm -rf "$results" ${making:+"$making"}' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --vulkan) vulkan=1; shift; continue ;;
    --shape | --rounds | --threads | --prompt | --tokens | --peer) [ $# -ge 2 ] || refuse "$1 needs a value" 2 ;;
    *) refuse "there is no option $1; --help lists them" 2 ;;
    esac
    case $1 in
    --rounds | --threads | --prompt | --tokens)
        case $2 in *[!0-9]* | '' | 0* | ???????*) refuse "$1 takes a whole number from 1 to 999999, not '$2'" 2 ;; esac ;;
    --peer) case $2 in q1_0 | q4_0 | q8_0 | f16) ;; *) refuse "--peer takes q1_0, q4_0, q8_0 or f16, not '$2'" 2 ;; esac ;;
    esac
    case $1 in
    --shape) shape=$2 ;;
    --rounds) rounds=$2 ;;
    --threads) threads=$2 ;;
    --prompt) prompt=$2 ;;
    --tokens) tokens=$2 ;;
    --peer) peers="$peers $2" ;;
    esac
    shift 2
done
[ "$((prompt > tokens ? prompt : tokens))" -le 4096 ] || refuse "--prompt and --tokens go up to 4096, the context of these files" 2
peers=${peers:-q1_0}

# The six sizes, in the order of random-gguf.
case $shape in
7B) sizes="4096 11008 32 32 32 32000" ;;
1.1B) sizes="2048 5632 22 32 4 32000" ;;
0.26M) sizes="64 172 5 8 4 512" ;;
*)
    sizes=$(echo "$shape" | awk -F, '{
        for (i = 1; i <= NF; i++) { if (split($i, pair, "=") != 2 || pair[2] !~ /^[1-9][0-9]*$/ || pair[1] in of) exit 1; of[pair[1]] = pair[2]; given++ }
        if (!("kv_heads" in of)) { of["kv_heads"] = of["heads"]; given++ }
        split("width ffn layers heads kv_heads vocab", key, " ")
        for (i = 1; i <= 6; i++) { if (!(of[key[i]] > 0)) exit 1; printf "%s ", of[key[i]] }
        exit given != 6 }') ||
        refuse "--shape takes 7B, 1.1B, 0.26M or width=2048,ffn=5632,layers=22,heads=32,kv_heads=4,vocab=32000, not '$shape'" 2 ;;
esac
vocabulary=$(echo "$sizes" | awk '{ print $6 }')
[ "$vocabulary" -gt 259 ] || refuse "--shape: the vocabulary must have more than 259 tokens, as it has one for each byte" 2

bin=${ONEBIT_BIN:-build/release/apps}
for program in onebit-bench-vk random-gguf; do
    [ -x "$bin/$program" ] || refuse "$bin/$program is not built; build it (cmake --build --preset release) or set ONEBIT_BIN" 1
done

# ---- llama.cpp ----------------------------------------------------------------------------------------------------
for program in node npm; do
    command -v $program >/dev/null || refuse "there is no $program, which llama.cpp comes by; on Debian: apt install nodejs npm" 1
done
cache=${ONEBIT_PEERS_CACHE:-build/cache/peers}
mkdir -p "$cache/models"
platform=$(node -p 'process.platform + "-" + process.arch')
packages="node-llama-cpp @node-llama-cpp/$platform"
[ -z "$vulkan" ] || packages="$packages @node-llama-cpp/$platform-vulkan"
wanted=
for package in $packages; do
    grep -qs "\"version\": \"$version\"" "$cache/node_modules/$package/package.json" || wanted=1
done
if [ -n "$wanted" ]; then
    echo "compare-peers.sh: fetching node-llama-cpp $version into $cache" >&2
    # The package names the builds for every system as optional parts, GPUs of one vendor among them: only ours are taken.
    # shellcheck disable=SC2046,SC2086 # words
    npm install --prefix "$cache" --ignore-scripts --no-audit --no-fund --omit=optional \
        $(printf "%s@$version " $packages) >"$cache/npm.log" 2>&1 </dev/null ||
        refuse "npm could not fetch node-llama-cpp $version, which needs the network once; its words are in $cache/npm.log" 1
fi

# ---- files --------------------------------------------------------------------------------------------------------
# Path of the file of a type; made if it is not there.
file_of() {
    made="$cache/models/$(echo "$sizes" | tr -s ' ' '-' | sed 's/-$//')-$1.gguf"
    if [ ! -f "$made" ]; then
        making=$made.making
        # shellcheck disable=SC2086 # words
        "$bin/random-gguf" "$making" "$1" $sizes >/dev/null || exit
        mv "$making" "$made" || exit
        making=
    fi
}
for type in onebit $peers; do
    file_of "$type"
    cat "$made" >/dev/null # into the page cache
done

# ---- measurement --------------------------------------------------------------------------------------------------
# Who is measured: ours, then TYPE/cpu and TYPE/vulkan.
who=ours
for type in $peers; do who="$who $type/cpu${vulkan:+ $type/vulkan}"; done
load() { cut -d ' ' -f 1 /proc/loadavg; }
# The value behind "key": in JSON, of its occurrence number $3.
value() { tr ',' '\n' <"$1" | sed -n "s/.*\"$2\": *\"\{0,1\}\([^\"}]*\).*/\1/p" | sed -n "${3}p"; }
median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

measure() {
    out=$results/out notes=$results/notes
    case $1 in
    ours)
        file_of onebit
        LP_NUM_THREADS=$threads "$bin/onebit-bench-vk" decode -m "$made" -p "$prompt" -n "$tokens" -r 1 --warmup 1 -o json \
            >"$out" 2>"$notes" </dev/null || refuse "$(grep -v ' left$' "$notes")" 1
        set -- "$1" "$(value "$out" avg_ts 1)" "$(value "$out" avg_ts 2)"
        device="$(value "$out" driver 1), tier $(value "$out" tier 1)"
        ;;
    *)
        file_of "${1%/*}"
        GGML_VK_VISIBLE_DEVICES=${GGML_VK_VISIBLE_DEVICES:-0} LP_NUM_THREADS=$threads node scripts/llama_peer.mjs "$cache" "$made" "${1#*/}" \
            "$threads" "$prompt" "$tokens" "$vocabulary" >"$out" 2>"$notes" </dev/null ||
            refuse "llama.cpp with $1 failed: $(tail -n 1 "$notes")" 1
        set -- "$1" "$(value "$out" prompt_ts 1)" "$(value "$out" decode_ts 1)"
        [ "$(value "$out" backend 1)" = "${1#*/}" ] || refuse "llama.cpp has no ${1#*/} backend that runs here" 1
        ;;
    esac
    name=$results/$(echo "$1" | tr / -)
    echo "$2" >>"$name.prompt"
    echo "$3" >>"$name.decode"
    value "$out" first_token_s 1 >>"$name.first"
    value "$out" host_peak_bytes 1 >>"$name.memory"
    [ "$1" != ours ] || value "$out" device_peak_bytes 1 >>"$name.device"
    echo "round $round: $1: prompt $2, decode $3 tokens/s, load average $(load)" >&2
}

before=$(load)
round=1
while [ "$round" -le "$rounds" ]; do
    for each in $who; do measure "$each"; done
    round=$((round + 1))
done

# ---- table --------------------------------------------------------------------------------------------------------
echo "Shape $shape, prompt of $prompt, $tokens tokens generated, $threads threads, medians of $rounds alternated rounds."
echo "$(date -u '+%Y-%m-%d'), $(nproc) processors ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)), load average $before" \
    "before and $(load) after. Ours: $device. llama.cpp: node-llama-cpp $version."
echo
echo "| | prompt, t/s | ours / its | decode, t/s | ours / its | first token, s | peak memory, MiB |"
echo "|---|---:|---:|---:|---:|---:|---:|"
for each in $who; do
    name=$results/$(echo "$each" | tr / -)
    case $each in
    ours) label="ours, 1-bit" ;;
    */vulkan) label="llama.cpp ${each%/*}, Vulkan" ;;
    *) label="llama.cpp ${each%/*}, CPU" ;;
    esac
    echo "$(median "$name.prompt") $(median "$results/ours.prompt") $(median "$name.decode") $(median "$results/ours.decode")" \
        "$(median "$name.first") $(median "$name.memory")" | awk -v label="$label" -v ours="$([ "$each" != ours ] || echo 1)" '{
        p = ours ? "" : sprintf("%.2f", $2 / $1); d = ours ? "" : sprintf("%.2f", $4 / $3)
        printf "| %s | %.4g | %s | %.4g | %s | %.2f | %.0f |\n", label, $1, p, $3, d, $5, $6 / 1048576 }'
done
echo
median "$results/ours.device" | awk '{ printf "Ours on the device: %.0f MiB (with a software driver part of the process).\n", $1 / 1048576 }'
