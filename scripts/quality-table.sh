#!/bin/sh
# Trains every kind of 1-bit student of models/stories-teacher.gguf on the same tokens and prints how far each is from its teacher:
# the table of docs/training.md. A run that is there already is not trained again, one that was interrupted goes on.
set -eu

usage() {
    cat <<'END'
usage: scripts/quality-table.sh [--steps N] [--out DIR] [--text FILE] [ROW]...

  --steps N     training steps of each student, 2,048 tokens each (default: 500)
  --out DIR     where the runs go (default: build/quality)
  --text FILE   text to measure on (default: the first 16 KiB of tinystories_valid_head.txt)
  ROW           rows to make: svid improved improved-random improved-plain improved-hidden xnor bitnet
                official official-plain official-logits (default: all)

The training text is build/stories.txt; models/README.md tells how it is made. On two cores of lavapipe a row takes about a quarter
of an hour. ONEBIT_BIN names the programs' directory (default: build/release/apps).
END
}

refuse() {
    echo "quality-table.sh: $1" >&2
    exit "$2"
}

cd "$(dirname "$0")/.."
bin=${ONEBIT_BIN:-build/release/apps} data=${ONEBIT_TEST_DATA:-../shared/data} steps=500 out=build/quality text=
rows=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --steps | --out | --text)
        [ $# -ge 2 ] || refuse "$1 needs a value" 2
        case $1 in --steps) steps=$2 ;; --out) out=$2 ;; --text) text=$2 ;; esac
        shift 2 ;;
    -*) usage >&2; exit 2 ;;
    *) rows="$rows $1"; shift ;;
    esac
done
case $steps in *[!0-9]* | '' | 0*) refuse "--steps takes a whole number above 0, not '$steps'" 2 ;; esac
[ -n "$rows" ] || rows="svid improved improved-random improved-plain improved-hidden xnor bitnet official official-plain official-logits"
[ -x "$bin/onebit-train-vk" ] || refuse "$bin/onebit-train-vk is not built" 1
teacher=models/stories-teacher.gguf
mkdir -p "$out"
if [ -z "$text" ]; then
    text=$out/held-out.txt
    head -c 16384 "$data/text/tinystories_valid_head.txt" >"$text"
fi

# What distinguishes a row from models/student.yaml, whose preset is `improved`.
flags() {
    case $1 in
    improved) ;;
    improved-random) echo "--scales_init random" ;;
    improved-plain) echo "--scales_init plain" ;;
    improved-hidden) echo "--kd_beta 1" ;;
    xnor) echo "--method xnor" ;;
    bitnet) echo "--method bitnet_b1" ;;
    official) echo "--preset official" ;;
    official-plain) echo "--preset official --scales_init plain" ;;
    official-logits) echo "--preset official --kd_beta 0" ;;
    *) refuse "there is no row '$1'" 2 ;;
    esac
}

# The value behind "key": in a JSON file.
value() { sed -n "s/.*\"$2\": *\([^,}]*\).*/\1/p" "$1" | head -n 1; }

for row in $rows; do
    model=$out/$row/model.gguf
    [ "$row" = svid ] || flags "$row" >/dev/null
    [ -e "$model" ] && continue
    echo "quality-table.sh: $row" >&2
    if [ "$row" = svid ]; then
        mkdir -p "$out/svid"
        "$bin/onebit-quant-vk" "$teacher" -o "$model" >&2
    else
        # shellcheck disable=SC2046 # words
        "$bin/onebit-train-vk" models/student.yaml --output_dir "$out/$row" --max_steps "$steps" --save_steps 250 --save_total_limit 1 \
            $(flags "$row") >&2
    fi
done

table=$(mktemp)
trap 'rm -f "$table"' EXIT
for row in $rows; do
    "$bin/onebit-eval-vk" agree -m "$out/$row/model.gguf" --teacher "$teacher" -f "$text" -c 256 --json >"$out/$row.json" 2>"$out/$row.log" ||
        refuse "$(cat "$out/$row.log")" 1
    printf '| `%s` | %.3f | **%.3f** | %.3f | %.3f | %.1f %% |\n' "$row" "$(value "$out/$row.json" bits_per_byte)" \
        "$(value "$out/$row.json" bits_per_byte_above_teacher)" "$(value "$out/$row.json" ppl_ratio)" "$(value "$out/$row.json" kl)" \
        "$(awk "BEGIN { print 100 * $(value "$out/$row.json" top1_agreement) }")" >>"$table"
    teacher_bits=$(value "$out/$row.json" teacher_bits_per_byte)
done
echo "| student | bits per byte | above the teacher | perplexity ratio | KL, nats per token | same choice |"
echo "|---|---:|---:|---:|---:|---:|"
printf '| teacher | %.3f | | | | |\n' "$teacher_bits"
cat "$table"
