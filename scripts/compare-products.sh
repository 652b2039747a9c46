#!/bin/sh
# Single products beside ggml's and OpenBLAS's: the same shapes, random numbers, one program after the other in rounds. Prints Markdown.
set -eu

usage() {
    cat <<END
usage: scripts/compare-products.sh [--rounds N] [--threads N] [--vulkan] [TxMxN]...

  --rounds N   times that each program runs, each with several products of its own (default: 5)
  --threads N  threads of each: ggml's, OpenBLAS's, and lavapipe's where our device is lavapipe (default: 2)
  --vulkan     measure ggml's Vulkan backend too, on the driver that the Vulkan loader finds first
  TxMxN        T rows of N times a matrix of M rows of N (default: 1x4096x4096 1x11008x4096 1x4096x11008 512x4096x4096)

Ours is a whole 1-bit linear layer, y = h (S (g x)); ggml's is q1_0's product alone; OpenBLAS's sgemm, for 8 rows and more, is dense f32.
"exact" is ours with ONEBIT_KERNEL=straight, f32 throughout. Times are by the clock, one product and the wait for it, and for ours on the
device by its timestamps, too. ggml comes as scripts/compare-peers.sh fetches it: run that first. OpenBLAS is what numpy has
(Debian: python3-numpy libopenblas0-pthread); without numpy its columns stay empty. PYTHON names another Python.

A comparison on CPUs: VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/lvp_icd.x86_64.json scripts/compare-products.sh
END
}

refuse() {
    echo "compare-products.sh: $1" >&2
    exit "$2"
}

cd "$(dirname "$0")/.."
rounds=5 threads=2 vulkan='' shapes=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --vulkan) vulkan=1; shift; continue ;;
    --rounds | --threads)
        [ $# -ge 2 ] || refuse "$1 needs a value" 2
        case $2 in *[!0-9]* | '' | 0* | ????*) refuse "$1 takes a whole number from 1 to 999, not '$2'" 2 ;; esac
        if [ "$1" = --rounds ]; then rounds=$2; else threads=$2; fi
        shift 2 ;;
    -*) refuse "there is no option $1; --help lists them" 2 ;;
    *)
        echo "$1" | grep -Eqx '[1-9][0-9]{0,5}x[1-9][0-9]{0,5}x[1-9][0-9]{0,5}' || refuse "a shape is TxMxN, not '$1'" 2
        shapes="$shapes $1"; shift ;;
    esac
done
[ -n "$shapes" ] || shapes='1x4096x4096 1x11008x4096 1x4096x11008 512x4096x4096'

bench=${ONEBIT_BIN:-build/release/apps}/onebit-bench-vk
[ -x "$bench" ] || refuse "$bench is not built; build it (cmake --build --preset release) or set ONEBIT_BIN" 1
peers=${ONEBIT_PEERS_CACHE:-build/cache/peers}/node_modules/@node-llama-cpp
libraries=$(find "$peers" -name libggml-base.so 2>/dev/null | grep -v vulkan | head -n 1)
[ -n "$libraries" ] || refuse "there is no ggml below $peers; scripts/compare-peers.sh fetches it" 1
if [ -n "$vulkan" ]; then
    vulkan=$(find "$peers" -name libggml-vulkan.so 2>/dev/null | head -n 1)
    [ -n "$vulkan" ] || refuse "there is no Vulkan backend below $peers; scripts/compare-peers.sh --vulkan fetches it" 1
fi
python=${PYTHON:-}
for candidate in python3 /usr/bin/python3; do # the one that has numpy, if any has it
    [ -n "$python" ] || ! "$candidate" -c 'import numpy' 2>/dev/null || python=$candidate
done
python=${python:-python3} blas=
! "$python" -c 'import numpy' 2>/dev/null || blas=1
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# ours KERNEL NAME SHAPE: our layer's microseconds, by the clock to NAME, on the device to NAME_device.
ours() {
    LP_NUM_THREADS=$threads ONEBIT_KERNEL=$1 "$bench" kernels --filter onebit_forward --rounds 51 -o csv "$3" >"$results/table" \
        2>"$results/words" || refuse "our product failed: $(tail -n 1 "$results/words")" 1
    for column in wall_ms device_ms; do
        awk -F, -v column=$column 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == column) at = i } NR > 1 { print 1000 * $at }' \
            "$results/table" >>"$results/$2$([ $column = wall_ms ] || echo _device)"
    done
}

sgemm() {
    OPENBLAS_NUM_THREADS=$threads "$python" - "$1" <<END
import statistics, sys, time
import numpy
T, M, N = (int(part) for part in sys.argv[1].split("x"))
rng = numpy.random.default_rng(1)
x, w = rng.standard_normal((T, N), "f4"), rng.standard_normal((M, N), "f4")
times = []
for i in range(9):
    start = time.perf_counter()
    x @ w.T
    times.append(time.perf_counter() - start)
print("%.1f" % (1e6 * statistics.median(times[2:])))
END
}

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { if (NR) printf "%.0f", v[int((NR + 1) / 2)] }'; }

echo "$threads threads, medians of $rounds alternated rounds, microseconds. $(date +%F), load average $(cut -d' ' -f1 /proc/loadavg) before."
echo
echo '| T x M x N | exact | on the device | ours | on the device | ggml q1_0 | its / exact | its / ours | sgemm | its / exact | its / ours | ggml Vulkan |'
echo '|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|'
for shape in $shapes; do
    rm -f "$results"/*
    round=0
    while [ $round -lt "$rounds" ]; do
        ours straight exact "$shape"
        "$python" scripts/ggml_product.py "$(dirname "$libraries")" best "$threads" q1_0 "$shape" 3 2>"$results/words" >>"$results/ggml" ||
            refuse "ggml did not multiply: $(tail -n 1 "$results/words")" 1
        ours '' ours "$shape"
        [ -z "$blas" ] || [ "${shape%%x*}" -lt 8 ] || sgemm "$shape" >>"$results/sgemm" ||
            refuse "numpy did not multiply $shape" 1
        round=$((round + 1))
    done
    if [ -n "$vulkan" ]; then
        GGML_VK_VISIBLE_DEVICES=0 "$python" scripts/ggml_product.py "$(dirname "$vulkan")" libggml-vulkan.so "$threads" q1_0 "$shape" 1 \
            2>/dev/null >"$results/vulkan" || true
    fi
    for kind in exact exact_device ours ours_device ggml sgemm vulkan; do touch "$results/$kind"; done
    echo "$shape $(for kind in exact exact_device ours ours_device ggml sgemm vulkan; do
        value=$(median "$results/$kind"); echo "${value:--}"; done | tr '\n' ' ')" |
        awk 'function ratio(a, b) { return a == "-" || b == "-" ? "" : sprintf("%.2f", a / b) } function cell(a) { return a == "-" ? "" : a }
             { printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5, $6, ratio($6, $2), ratio($6, $4),
                      cell($7), ratio($7, $2), ratio($7, $4), cell($8) }'
done
echo
echo "Load average $(cut -d' ' -f1 /proc/loadavg) after."
