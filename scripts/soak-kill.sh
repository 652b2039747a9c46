#!/usr/bin/env bash
# Kills training runs with SIGKILL at random moments and starts them again, until each has finished; then the results must
# have the bits of a run that nobody disturbed. Exit code 0: they did, and no start found anything it could not read.
#
#   scripts/soak-kill.sh [--program FILE] [--keep] [KILLS]
#
#   KILLS            how many, in all runs together; default 200. Every second one strikes while a file is being written.
#   --program FILE   default build/release/apps/onebit-train-vk
#   --keep           keep the directories that the runs worked in
#
# The model and the text come from $ONEBIT_TEST_DATA, by default ../shared/data beside the project. RANDOM_SEED repeats a run's
# choices, though not the moments of the machine.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$root/build/release/apps/onebit-train-vk kills=200 keep=0 steps=8
data=${ONEBIT_TEST_DATA:-$root/../shared/data}
while [ $# -gt 0 ]; do
    case $1 in
    --program) program=${2:?--program needs a file}; shift ;;
    --keep) keep=1 ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *[!0-9]* | '') echo "error: unexpected word '$1' (see scripts/soak-kill.sh --help)" >&2; exit 2 ;;
    *) kills=$1 ;;
    esac
    shift
done
[ -x "$program" ] || { echo "error: $program is not built" >&2; exit 2; }
text=$data/text/tinystories_train_v1.txt
[ -f "$text" ] || { echo "error: there is no $text (set ONEBIT_TEST_DATA)" >&2; exit 1; }
RANDOM=${RANDOM_SEED:-$$}

work=$(mktemp -d)
pid=
finish()
{
    if [ -n "$pid" ]; then kill -9 "$pid" 2>/dev/null || true; fi
    if [ "$keep" -eq 1 ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap finish EXIT
die() { echo "FAILED after $killed kills: $*" >&2; tail -n 5 "$work/err" >&2 || true; keep=1; exit 1; }

head -c 49152 "$text" >"$work/text.txt"
head -c 2048 "$data/text/tinystories_valid_head.txt" >"$work/held.txt"
cat >"$work/run.yaml" <<EOF
stage: kd
teacher_model_name_or_path: $data/models/stories260K/stories260K.bin
tokenizer_name_or_path: $data/models/stories260K/tok512.bin
dataset: $work/text.txt
eval_dataset: $work/held.txt
cutoff_len: 64
per_device_train_batch_size: 2
max_steps: $steps
eval_steps: 4
save_steps: 1
save_total_limit: 2
logging_steps: 1
early_stopping_patience: 100
learning_rate: 2e-3
latent_init: rowmean
latent_scale: 0.02
trainable: all
EOF

start() # DIRECTORY: in the background, as $pid
{
    "$program" "$work/run.yaml" --output_dir "$1" </dev/null >"$work/out" 2>"$work/err" &
    pid=$!
}
now() { date +%s%3N; }
unfinished() { find "$1" -name '*.partial' -o -name '*.tmp-*' 2>/dev/null | wc -l; }
running() { kill -0 "$pid" 2>/dev/null; }

# What a start must never say: it found a damaged checkpoint, or could not read something.
check_words() { if grep -E 'damaged|error:|cannot' "$work/err" >&2; then die "this is what a start said"; fi; }

killed=0 writing=0 early=0 runs=0 most=0
echo "an undisturbed run first"
begin=$(now)
start "$work/whole"
wait "$pid" || die "the undisturbed run ended with code $?"
pid=
whole=$(($(now) - begin)) # milliseconds
check_words
echo "it took $whole ms; now $kills kills"

while [ "$killed" -lt "$kills" ]; do
    directory=$work/run
    rm -rf "$directory"
    while :; do
        start "$directory"
        if [ "$killed" -ge "$kills" ]; then # the last run may finish
            wait "$pid" || die "a start ended with code $?"
            pid=
            break
        fi
        # Anywhere in the time that a whole run takes, or as soon as the first to sixth file is half written.
        if [ $((killed % 2)) -eq 0 ]; then
            sleep "$(printf '%d.%03d' $((RANDOM % whole / 1000)) $((RANDOM % 1000)))" || true
        else
            hits=$((RANDOM % 6 + 1)) # of the writes, the how-manieth
            for ((hit = 0; hit < hits; hit++)); do
                while running && [ "$(unfinished "$directory")" -eq 0 ]; do :; done
                [ $((hit + 1)) -eq "$hits" ] || while running && [ "$(unfinished "$directory")" -gt 0 ]; do :; done
            done
        fi
        if ! kill -9 "$pid" 2>/dev/null; then
            wait "$pid" || die "a start ended with code $?"
            pid=
            check_words
            break # it was through before the kill came
        fi
        code=0
        { wait "$pid"; } 2>/dev/null || code=$?
        pid=
        if [ "$code" -eq 0 ]; then check_words; break; fi
        [ "$code" -eq 137 ] || die "a start ended with code $code"
        killed=$((killed + 1))
        check_words
        left=$(unfinished "$directory")
        if [ "$left" -gt 0 ]; then writing=$((writing + 1)); fi
        if [ "$left" -gt "$most" ]; then most=$left; fi
        if [ "$left" -gt 4 ]; then die "$left unfinished names: they pile up"; fi
        compgen -G "$directory/checkpoint-*" >/dev/null || early=$((early + 1))
        for checkpoint in "$directory"/checkpoint-*[0-9]; do
            [ ! -d "$checkpoint" ] || { [ -s "$checkpoint/state.gguf" ] && [ -s "$checkpoint/sum.txt" ]; } || die "$checkpoint is not whole"
        done
        if [ $((killed % 20)) -eq 0 ]; then echo "$killed kills, $runs runs finished"; fi
    done
    runs=$((runs + 1))
    for file in model.gguf best.gguf checkpoint-$steps/state.gguf checkpoint-$((steps - 1))/state.gguf; do
        cmp "$work/whole/$file" "$directory/$file" || die "$file differs from the undisturbed run's"
    done
    [ "$(unfinished "$directory")" -eq 0 ] || die "unfinished names are left: $(find "$directory" -name '*.partial' -o -name '*.tmp-*')"
    [ "$(grep -c '"loss"' "$directory/log.jsonl")" -eq $steps ] || die "the log does not have each step once"
done
echo "passed: $killed kills ($writing with a file half written, $early before the first checkpoint, at most $most unfinished names" \
    "at once), $runs runs finished, all with the same bits"
