#!/bin/sh
# Measures a training step of onebit-bench-vk beside PyTorch's (scripts/torch_train.py): the same shape, batch and step, one
# program after the other in rounds, so that both meet the same machine. Prints medians and our time as a share of theirs.
set -eu

usage() {
    cat <<'END'
usage: scripts/bench-train.sh [--rounds N] [--steps N] [--threads N] [--shape "WIDTH LAYERS HEADS FFN VOCAB BATCH SEQ"]...

  --rounds N    times that each program runs (default: 3)
  --steps N     timed steps of each run, behind one that is not timed (default: 2)
  --threads N   threads of each: PyTorch's, and lavapipe's where the device is lavapipe (default: 2)
  --shape S     may be given several times (default: "256 6 8 688 4096 8 256" and "512 8 8 1376 4096 4 256")

ONEBIT_BENCH names the program (default: build/release/apps/onebit-bench-vk), PYTHON a Python with PyTorch (Debian: apt install
python3-torch libopenblas0-pthread; with the reference BLAS it is much slower and the comparison says nothing).
END
}

refuse() {
    echo "bench-train.sh: $1" >&2
    exit "$2"
}

cd "$(dirname "$0")/.."
rounds=3 steps=2 threads=2
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --rounds | --steps | --threads | --shape) [ $# -ge 2 ] || refuse "$1 needs a value" 2 ;;
    *) usage >&2; exit 2 ;;
    esac
    case $2 in *[!0-9\ ]* | '') refuse "$1 takes whole numbers, not '$2'" 2 ;; esac
    case $1 in
    --rounds) rounds=$2 ;;
    --steps) steps=$2 ;;
    --threads) threads=$2 ;;
    --shape)
        [ "$(echo "$2" | wc -w)" -eq 7 ] || refuse "--shape takes seven numbers" 2
        echo "$2" >>"$results/shapes"
        ;;
    esac
    shift 2
done
[ -s "$results/shapes" ] || printf '%s\n' "256 6 8 688 4096 8 256" "512 8 8 1376 4096 4 256" >"$results/shapes"

ours=${ONEBIT_BENCH:-build/release/apps/onebit-bench-vk}
[ -x "$ours" ] || refuse "$ours is not built" 1
python=${PYTHON:-}
for candidate in python3 /usr/bin/python3; do
    [ -n "$python" ] || ! "$candidate" -c 'import torch' 2>/dev/null || python=$candidate
done
[ -n "$python" ] || refuse "there is no Python with PyTorch; on Debian: apt install python3-torch libopenblas0-pthread" 1
export LP_NUM_THREADS="$threads" OMP_NUM_THREADS="$threads" OPENBLAS_NUM_THREADS="$threads"

# The value behind "key": in a JSON file.
value() { sed -n "s/.*\"$2\": *\"\{0,1\}\([^,\"}]*\).*/\1/p" "$1" | head -n 1; }
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
load() { cut -d ' ' -f 1 /proc/loadavg; }

echo "$(date -u '+%Y-%m-%d %H:%M') UTC, $(nproc) processors ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1))," \
    "$threads threads, $rounds rounds of $steps steps"
while read -r width layers heads ffn vocab batch seq; do
    shape="--hidden $width --layers $layers --heads $heads --ffn $ffn --vocab $vocab --batch $batch --seq $seq --steps $steps --warmup 1"
    rm -f "$results"/ours* "$results"/theirs*
    echo
    echo "width $width, $layers layers, $heads heads, ffn $ffn, vocabulary $vocab, batch $batch x $seq"
    round=1
    while [ "$round" -le "$rounds" ]; do
        before=$(load)
        # shellcheck disable=SC2086 # words
        "$ours" train $shape --profile-steps 0 -o json >"$results/ours" 2>"$results/notes" </dev/null ||
            refuse "$(cat "$results/notes")" 1
        between=$(load)
        # shellcheck disable=SC2086
        "$python" scripts/torch_train.py $shape --threads "$threads" --json >"$results/theirs" </dev/null
        for who in ours theirs; do
            value "$results/$who" median_ms >>"$results/$who.wall"
            value "$results/$who" cpu_ms >>"$results/$who.cpu"
        done
        [ "$round" -gt 1 ] ||
            echo "  $(value "$results/ours" driver) beside PyTorch $(value "$results/theirs" torch), $(value "$results/theirs" blas)"
        printf '  round %s: ours %.0f ms, PyTorch %.0f ms; load average %s, %s, %s\n' "$round" "$(tail -n 1 "$results/ours.wall")" \
            "$(tail -n 1 "$results/theirs.wall")" "$before" "$between" "$(load)"
        round=$((round + 1))
    done
    echo "$(median "$results/ours.wall") $(median "$results/theirs.wall") $(median "$results/ours.cpu") $(median "$results/theirs.cpu")" |
        awk '{ printf "  median step    %.0f ms, PyTorch %.0f ms: ratio %.2f\n  processor time %.0f ms, PyTorch %.0f ms: ratio %.2f\n",
               $1, $2, $1 / $2, $3, $4, $3 / $4 }'
done <"$results/shapes"
