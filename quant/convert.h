/* convert: a source model written as one GGUF file, dense or as signs with value vectors.
 *
 * Tensors are read, converted and written in file order, a few MiB at a time; only one linear layer at a time is on the
 * device. The output appears under its name when it is complete and on disk, and not before. */
#ifndef OBI_QUANT_CONVERT_H
#define OBI_QUANT_CONVERT_H

#include "gpu/device.h"
#include "quant/import/source.h"

typedef enum obi_form { OBI_FORM_ONEBIT = 0, OBI_FORM_F16 = 1, OBI_FORM_F32 = 2 } obi_form;

typedef struct obi_convert_desc {
    const char *output;
    obi_form form;
    bool (*progress)(double fraction, const char *what, void *user); /* NULL: none; false cancels */
    void *user;
} obi_convert_desc;

/* One linear layer that SVID decomposed; errors are ||W - Ŵ||² / ||W||². */
typedef struct obi_convert_row {
    char name[64];
    uint32_t rows, columns;
    double error_svid, error_rank1, error_xnor, norm2;
    double bits; /* rows * columns + 16 (rows + columns) */
} obi_convert_row;

typedef struct obi_convert_report {
    obi_convert_row *layers; /* free with obi_convert_report_clear */
    uint32_t layer_count;
    double linear_weights, linear_bits; /* sums over all linear layers as written */
    uint64_t tensor_bytes, file_bytes;
} obi_convert_report;

/* `device` is needed for OBI_FORM_ONEBIT from a dense source, and may be NULL otherwise. A source that is 1-bit already
 * keeps its signs in OBI_FORM_ONEBIT (scales become F16) and is OBI_ERROR_ARGUMENT for the dense forms. */
obi_status obi_convert(obi_device *device, const obi_source *source, const obi_convert_desc *desc, obi_convert_report *report);
void obi_convert_report_clear(obi_convert_report *report);

#endif
