#!/bin/sh
# What scripts/compare-products.sh makes of its arguments and of what the programs print: ours and Python are stand-ins that print canned
# numbers. Takes the path of the script.
set -eu

script=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/cache/node_modules/@node-llama-cpp/linux-x64"
: >"$work/cache/node_modules/@node-llama-cpp/linux-x64/libggml-base.so"
failed=0

fail() {
    echo "FAILED: $1" >&2
    failed=1
}

# Ours: the rounds count up, so that medians and means differ; exact takes twice as long.
cat >"$work/bin/onebit-bench-vk" <<'END'
#!/bin/sh
[ -z "${BROKEN_OURS:-}" ] || { echo "ours broke" >&2; exit 1; }
round=$(($(cat "$STAND_INS/round" 2>/dev/null || echo 0) + 1))
echo "$round" >"$STAND_INS/round"
[ "$round" -lt 5 ] || round=100
[ -n "$ONEBIT_KERNEL" ] && times=2 || times=1
echo "operation,T,m,n,rounds,wall_ms,wall_sd_ms,device_ms,gflops"
echo "matmul_onebit_forward,1,2,3,51,$((round * times)).5,0.1,$((round * times)).25,1"
END
cat >"$work/python" <<'END'
#!/bin/sh
case "$*" in
*"import numpy"*) exit ${NO_NUMPY:-0} ;;
*ggml_product.py*) [ -z "${BROKEN_GGML:-}" ] || { echo "ggml broke" >&2; exit 1; }; echo 9000.0 ;;
-\ *) cat >/dev/null; echo 6000.0 ;;
esac
END
chmod +x "$work/bin/onebit-bench-vk" "$work/python"

# run EXIT ARGUMENTS...: the script, its words in $work/out and $work/err.
run() {
    wanted=$1 code=0
    shift
    rm -f "$work/round"
    STAND_INS=$work ONEBIT_BIN=$work/bin ONEBIT_PEERS_CACHE=$work/cache PYTHON=$work/python "$script" "$@" \
        >"$work/out" 2>"$work/err" </dev/null || code=$?
    [ "$code" = "$wanted" ] || fail "compare-products.sh $*: exit code $code, not $wanted: $(cat "$work/err")"
}
said() { grep -qF -- "$2" "$work/$1" || fail "no \"$2\" in: $(cat "$work/$1")"; }

run 0 --help
said out 'usage: scripts/compare-products.sh'
run 2 --colour
said err 'there is no option --colour'
run 2 --rounds 0
said err "--rounds takes a whole number from 1 to 999, not '0'"
run 2 8x8
said err "a shape is TxMxN, not '8x8'"

# Calls 1, 3, 5 are exact: 2.5, 6.5 and 200.5 ms, calls 2, 4, 6 are ours: 2.5, 4.5 and 100.5.
run 0 --rounds 3 16x8x8
said out '| 16x8x8 | 6500 | 6250 | 4500 | 4250 | 9000 | 1.38 | 2.00 | 6000 | 0.92 | 1.33 |  |'
run 1 --vulkan 1x8x8
said err 'compare-peers.sh --vulkan fetches it'
: >"$work/cache/node_modules/@node-llama-cpp/linux-x64/libggml-vulkan.so"
run 0 --rounds 1 --vulkan 1x8x8 # no dense product of a single row
said out '| 1x8x8 | 2500 | 2250 | 2500 | 2250 | 9000 | 3.60 | 3.60 |  |  |  | 9000 |'
NO_NUMPY=1 run 0 --rounds 1 16x8x8
said out '| 9000 | 3.60 | 3.60 |  |  |  |  |'
BROKEN_GGML=1 run 1 16x8x8
said err 'ggml did not multiply: ggml broke'
BROKEN_OURS=1 run 1 16x8x8
said err 'our product failed: ours broke'
rm "$work/cache/node_modules/@node-llama-cpp/linux-x64/libggml-base.so"
run 1
said err 'scripts/compare-peers.sh fetches it'
exit $failed
