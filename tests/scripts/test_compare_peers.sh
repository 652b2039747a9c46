#!/bin/sh
# What scripts/compare-peers.sh makes of its arguments and of what the programs print, without the network: node, npm and our own two
# programs are stand-ins that print canned numbers. Takes the path of the script.
set -eu

script=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/path"
failed=0

fail() {
    echo "FAILED: $1" >&2
    failed=1
}

# ---- stand-ins ----------------------------------------------------------------------------------------------------
# Ours: the rounds count up, so that medians and means differ; the last is far off.
cat >"$work/bin/onebit-bench-vk" <<'END'
#!/bin/sh
echo "$*" >>"$STAND_INS/calls"
round=$(($(cat "$STAND_INS/round" 2>/dev/null || echo 0) + 1))
echo "$round" >"$STAND_INS/round"
[ "$round" -lt 3 ] || round=100
cat <<JSON
[
  { "driver": "canned driver", "tier": "C", "avg_ts": ${round}0, "first_token_s": $round.25, "host_peak_bytes": 104857600,
    "device_peak_bytes": 52428800 },
  { "driver": "canned driver", "tier": "C", "avg_ts": ${round}.5, "first_token_s": $round.25, "host_peak_bytes": 104857600,
    "device_peak_bytes": 52428800 }
]
JSON
END
cat >"$work/bin/random-gguf" <<'END'
#!/bin/sh
echo "random-gguf $*" >>"$STAND_INS/calls"
echo words >"$1"
END
cat >"$work/path/node" <<'END'
#!/bin/sh
[ "$1" != -p ] || { echo linux-x64; exit; }
[ "$4" != vulkan ] || [ -z "${NO_VULKAN:-}" ] || { echo '{ "backend": "cpu", "prompt_ts": 1, "decode_ts": 1 }'; exit; }
[ -z "${BROKEN_PEER:-}" ] || { echo "the peer broke" >&2; exit 1; }
echo "{ \"backend\": \"$4\", \"prompt_ts\": 40, \"decode_ts\": 5, \"first_token_s\": 0.25, \"host_peak_bytes\": 209715200 }"
END
cat >"$work/path/npm" <<'END'
#!/bin/sh
echo "npm $*" >>"$STAND_INS/calls"
exit 1
END
chmod +x "$work/bin/"* "$work/path/"*
for package in node-llama-cpp @node-llama-cpp/linux-x64 @node-llama-cpp/linux-x64-vulkan; do
    mkdir -p "$work/cache/node_modules/$package"
    sed -n 's/^version=\(.*\)/{ "version": "\1" }/p' "$script" >"$work/cache/node_modules/$package/package.json"
done

# run EXIT ARGUMENTS...: the script, its words in $work/out and $work/err.
run() {
    wanted=$1 code=0
    shift
    rm -f "$work/round" "$work/calls"
    : >"$work/calls"
    STAND_INS=$work ONEBIT_BIN=$work/bin ONEBIT_PEERS_CACHE=$work/cache PATH=$work/path:$PATH "$script" "$@" \
        >"$work/out" 2>"$work/err" </dev/null || code=$?
    [ "$code" = "$wanted" ] || fail "compare-peers.sh $*: exit code $code, not $wanted: $(cat "$work/err")"
}
said() { grep -qF -- "$2" "$work/$1" || fail "no \"$2\" in: $(cat "$work/$1")"; }

# ---- arguments ----------------------------------------------------------------------------------------------------
run 0 --help
said out 'usage: scripts/compare-peers.sh'
run 2 --colour
said err 'there is no option --colour'
run 2 --rounds
said err '--rounds needs a value'
for number in 0 -1 x 1.5 '' 9999999; do
    run 2 --rounds "$number"
    said err '--rounds takes a whole number'
done
run 2 --peer q5_0
said err '--peer takes q1_0'
run 2 --prompt 4097
said err 'go up to 4096'
for shape in 8B width=64 width=64,width=64,ffn=1,layers=1,heads=1,vocab=300 width=64,ffn=172,layers=0,heads=8,vocab=512; do
    run 2 --shape "$shape"
    said err '--shape takes'
done
run 2 --shape width=64,ffn=172,layers=5,heads=8,kv_heads=4,vocab=259
said err 'more than 259 tokens'
[ ! -s "$work/calls" ] || fail "wrong arguments ran something: $(cat "$work/calls")"

# ---- the table ----------------------------------------------------------------------------------------------------
run 0 --shape 7B --rounds 3 --prompt 16 --tokens 6 --peer q1_0 --peer q4_0 --vulkan
said calls 'random-gguf'
said calls ' q4_0 4096 11008 32 32 32 32000'
said calls '-p 16 -n 6 -r 1 --warmup 1 -o json'
[ "$(grep -c '^decode ' "$work/calls")" = 3 ] || fail "ours did not run three times: $(cat "$work/calls")"
said out 'Shape 7B, prompt of 16, 6 tokens generated, 2 threads, medians of 3 alternated rounds.'
said out 'Ours: canned driver, tier C.'
said out '| ours, 1-bit | 20 |  | 2.5 |  | 2.25 | 100 |' # the median of 10, 20 and 1000
for who in 'q1_0, CPU' 'q1_0, Vulkan' 'q4_0, CPU' 'q4_0, Vulkan'; do
    said out "| llama.cpp $who | 40 | 0.50 | 5 | 0.50 | 0.25 | 200 |"
done
said out 'Ours on the device: 50 MiB'
run 0 --shape 7B --rounds 2 --prompt 16 --tokens 6
said out '| ours, 1-bit | 15 |  | 2 |  | 1.75 | 100 |' # between the two
! grep -q random-gguf "$work/calls" || fail "files that are there were made again"

# ---- what goes wrong ----------------------------------------------------------------------------------------------
export NO_VULKAN=1
run 1 --rounds 1 --prompt 16 --tokens 6 --vulkan
said err 'llama.cpp has no vulkan backend that runs here'
unset NO_VULKAN
export BROKEN_PEER=1
run 1 --rounds 1 --prompt 16 --tokens 6
said err 'llama.cpp with q1_0/cpu failed: the peer broke'
unset BROKEN_PEER
rm "$work/cache/node_modules/node-llama-cpp/package.json"
run 1 --rounds 1 --prompt 16 --tokens 6
said err 'needs the network once'
rm "$work/bin/random-gguf"
run 1 --rounds 1
said err 'random-gguf is not built'
exit $failed
