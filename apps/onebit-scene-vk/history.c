#include "history.h"

#include <stdlib.h>
#include <string.h>

bool history_open(history *own, size_t room)
{
    *own = (history){ .records = calloc(room, sizeof *own->records), .room = room };
    return own->records != NULL;
}

void history_close(history *own)
{
    free(own->records);
    *own = (history){ .records = NULL };
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double history_median(double *values, size_t count)
{
    if (count == 0) return 0;
    qsort(values, count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

void history_add(history *own, record frame)
{
    own->records[own->count++ % own->room] = frame;
    int kind = frame.model;
    own->recent[kind][own->recent_count[kind]++ % HISTORY_SHOWN] = frame.seconds;
    size_t kept = own->recent_count[kind] < HISTORY_SHOWN ? own->recent_count[kind] : HISTORY_SHOWN;
    double sorted[HISTORY_SHOWN];
    memcpy(sorted, own->recent[kind], kept * sizeof *sorted);
    own->median[kind] = history_median(sorted, kept);
}

void history_note_piece(history *own, bool submitted, double seconds_before)
{
    if (seconds_before > 0 && own->piece_at < own->count) own->records[own->piece_at % own->room].piece = seconds_before;
    if (submitted) own->piece_at = own->count;
}

bool history_sum_up(const history *own, double budget, history_summary *summary)
{
    *summary = (history_summary){ .frames = 0 };
    size_t kept = own->count < own->room ? own->count : own->room, counts[3] = { 0 };
    double *values[3] = { NULL };
    bool enough = true;
    for (int i = 0; i < 3; i++) enough &= (values[i] = calloc(kept + 1, sizeof **values)) != NULL;
    for (size_t i = 0; enough && i < kept; i++) {
        const record *frame = &own->records[i];
        values[frame->model][counts[frame->model]++] = frame->seconds;
        if (frame->piece > 0) values[2][counts[2]++] = frame->piece;
        if (frame->tokens > summary->tokens) summary->tokens = frame->tokens;
    }
    double medians[3] = { 0 }, longest[3] = { 0 }, p99[3] = { 0 };
    for (int i = 0; enough && i < 3; i++) {
        medians[i] = history_median(values[i], counts[i]);
        longest[i] = counts[i] ? values[i][counts[i] - 1] : 0;
        p99[i] = counts[i] ? values[i][(counts[i] - 1) * 99 / 100] : 0;
    }
    for (int kind = 0; kind < 2; kind++)
        for (size_t i = 0; enough && i < counts[kind]; i++) summary->above[kind] += values[kind][i] > medians[0] + 1.2 * budget;
    for (size_t i = 0; enough && i < counts[2]; i++) summary->pieces_above += values[2][i] > 1.2 * budget;
    memcpy(summary->median, medians, sizeof summary->median);
    memcpy(summary->longest, longest, sizeof summary->longest);
    memcpy(summary->p99, p99, sizeof summary->p99);
    summary->frames = kept;
    summary->pieces = counts[2];
    summary->piece_median = medians[2];
    summary->piece_longest = longest[2];
    summary->piece_p99 = p99[2];
    for (int i = 0; i < 3; i++) free(values[i]);
    return enough;
}
