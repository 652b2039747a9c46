#include "shape.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From the models' published configurations. kv: outputs of k and v; q: of q. */
typedef struct known {
    const char *name;
    uint32_t width, ffn, layers, q, kv, vocabulary;
    bool tied;
    uint32_t head_norm; /* of q and k, per layer: Qwen3's */
    bool opt;
    uint32_t projected; /* OPT: width of the embedding where it is another */
} known;

static const known models[] = {
    { "llama-7b", 4096, 11008, 32, 4096, 4096, 32000, false, 0, false, 0 },
    { "llama-13b", 5120, 13824, 40, 5120, 5120, 32000, false, 0, false, 0 },
    { "llama-30b", 6656, 17920, 60, 6656, 6656, 32000, false, 0, false, 0 },
    { "llama-65b", 8192, 22016, 80, 8192, 8192, 32000, false, 0, false, 0 },
    { "llama2-7b", 4096, 11008, 32, 4096, 4096, 32000, false, 0, false, 0 },
    { "llama2-13b", 5120, 13824, 40, 5120, 5120, 32000, false, 0, false, 0 },
    { "llama2-70b", 8192, 28672, 80, 8192, 1024, 32000, false, 0, false, 0 },
    { "tinyllama-1.1b", 2048, 5632, 22, 2048, 256, 32000, false, 0, false, 0 },
    { "smollm2-135m", 576, 1536, 30, 576, 192, 49152, true, 0, false, 0 },
    { "smollm2-360m", 960, 2560, 32, 960, 320, 49152, true, 0, false, 0 },
    { "qwen3-0.6b", 1024, 3072, 28, 2048, 1024, 151936, true, 128, false, 0 },
    { "stories15m", 288, 768, 6, 288, 288, 32000, true, 0, false, 0 },
    { "stories42m", 512, 1376, 8, 512, 512, 32000, true, 0, false, 0 },
    { "stories110m", 768, 2048, 12, 768, 768, 32000, true, 0, false, 0 },
    { "opt-125m", 768, 3072, 12, 768, 768, 50272, true, 0, true, 0 },
    { "opt-350m", 1024, 4096, 24, 1024, 1024, 50272, true, 0, true, 512 },
    { "opt-1.3b", 2048, 8192, 24, 2048, 2048, 50272, true, 0, true, 0 },
    { "opt-2.7b", 2560, 10240, 32, 2560, 2560, 50272, true, 0, true, 0 },
};
#define OPT_POSITIONS 2050

const char *eval_shape_name(int i) { return (size_t)i < sizeof models / sizeof *models ? models[i].name : NULL; }

static void fill(const known *m, eval_shape *shape)
{
    uint64_t D = m->width, F = m->ffn, L = m->layers, V = m->vocabulary;
    shape->layers = L;
    shape->matrix[0] = (eval_matrix){ m->q, D, 1 };
    shape->matrix[1] = (eval_matrix){ m->kv, D, 2 };
    shape->matrix[2] = (eval_matrix){ D, m->q, 1 };
    if (!m->opt) {
        shape->matrix[3] = (eval_matrix){ F, D, 3 }; /* down has the same values the other way round */
        shape->tables = V * D * (m->tied ? 1 : 2);
        shape->others = D + L * (2 * D + 2 * m->head_norm);
        return;
    }
    shape->matrix[3] = (eval_matrix){ F, D, 2 };
    uint64_t embedding = m->projected ? m->projected : D;
    shape->tables = V * embedding + OPT_POSITIONS * D;
    shape->others = L * (4 * D + F + D + 4 * D);          /* biases of q, k, v, out, fc1 and fc2; two LayerNorms */
    if (m->projected) shape->others += 2 * D * embedding; /* in and out; its norms come after, and there is none at the end */
    else shape->others += 2 * D;
}

/* "4096x4096": outputs and inputs. */
static int read_matrix(const char *name, eval_shape *shape)
{
    char *end;
    errno = 0;
    unsigned long long rows = strtoull(name, &end, 10),
                       columns = *end == 'x' && name[0] >= '0' && name[0] <= '9' ? strtoull(end + 1, &end, 10) : 0;
    if (*end || errno || rows < 1 || columns < 1 || rows > 1u << 20 || columns > 1u << 20) return 0;
    shape->layers = 1;
    shape->matrix[0] = (eval_matrix){ rows, columns, 1 };
    return 1;
}

int eval_shape_find(const char *name, uint64_t length, eval_shape *shape)
{
    *shape = (eval_shape){ 0 };
    if (length >= sizeof shape->name) return 0;
    memcpy(shape->name, name, length);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].name, shape->name) == 0) {
            fill(&models[i], shape);
            return 1;
        }
    return read_matrix(shape->name, shape);
}
