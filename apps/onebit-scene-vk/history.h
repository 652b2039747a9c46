/* history: how long frames took, with the model and without. */
#ifndef SCENE_HISTORY_H
#define SCENE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_SHOWN 240

typedef struct record {
    double seconds; /* that the frame took; what that is the loop says */
    double piece;   /* device seconds of the model's piece that went behind the frame; 0: none, or not known yet */
    uint64_t tokens;
    bool model;
} record;

typedef struct history {
    record *records; /* of the last `room` frames: frame i is at i % room */
    size_t room, count;
    size_t piece_at; /* the frame behind which the last piece went */
    double recent[2][HISTORY_SHOWN]; /* seconds of the last frames without the model, and with it */
    size_t recent_count[2];
    double median[2]; /* of these; 0: there were none */
} history;

/* False when there is no memory. `room` >= HISTORY_SHOWN. */
bool history_open(history *own, size_t room);
void history_close(history *own);
void history_add(history *own, record frame);
/* A piece went behind the frame that is added next; the one before it took so long. */
void history_note_piece(history *own, bool submitted, double seconds_before);

/* Sorts the `count` values. 0 of none. */
double history_median(double *values, size_t count);

typedef struct history_summary {
    size_t frames, tokens;
    size_t above[2]; /* frames that took longer than median[0] + 1.2 budgets; those without the model are the noise */
    double median[2], longest[2], p99[2];
    double piece_median, piece_p99, piece_longest;
    size_t pieces, pieces_above;  /* longer than 1.2 budgets */
} history_summary;
/* Of the frames that are kept. False when there is no memory. */
bool history_sum_up(const history *own, double budget, history_summary *summary);

#endif
