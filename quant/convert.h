/* convert: a source model written as one GGUF file, dense or as signs with value vectors.
 *
 * Tensors are read, converted and written in file order, a few MiB at a time; only one linear layer at a time is on the
 * device. The output appears under its name when it is complete and on disk, and not before. */
#ifndef OBI_QUANT_CONVERT_H
#define OBI_QUANT_CONVERT_H

#include "gpu/device.h"
#include "quant/grid.h"
#include "quant/import/source.h"

typedef enum obi_form { OBI_FORM_ONEBIT = 0, OBI_FORM_F16 = 1, OBI_FORM_F32 = 2 } obi_form;

/* How a file holds linears that a method other than SVID made (docs/format.md). */
typedef enum obi_storage {
    OBI_STORAGE_PLANES = 0, /* a grid for each row: sums of sign planes */
    OBI_STORAGE_HALVES = 1, /* grids for groups of columns: the numbers, F16, in an ordinary "llama" file */
    OBI_STORAGE_BYTES = 2   /* a byte a weight and a scale a row */
} obi_storage;

/* One linear as it was made. Arrays are the maker's, until its next call. */
typedef struct obi_made_linear {
    const obi_codes *codes;  /* PLANES, HALVES */
    const float *factors;    /* PLANES with input_factor, HALVES: (n) F16 values that inputs are multiplied by; NULL: 1 */
    const int8_t *bytes;     /* BYTES: (m,n) */
    const float *scales;     /* BYTES: (m), F16 values */
    double norm2;            /* ||W||^2 */
    double error;            /* ||W - W^||^2 / ||W||^2 */
    double output_error;     /* ||X (W - W^)^T||^2 / ||X W^T||^2 over the calibration; NaN where there is none */
} obi_made_linear;

/* Makes the linears of a model, which are asked for once each, layer by layer in the order of obi_linear_roles. */
typedef struct obi_linear_maker {
    const char *method;      /* its name in the file: "rtn", "gptq", ... */
    obi_storage storage;
    uint32_t planes;         /* PLANES: how many, 1 to 4 */
    bool offset;             /* PLANES: rows have zero points */
    bool input_factor;       /* PLANES: inputs have factors */
    float int8_threshold;    /* BYTES: an input column with an activation as large is multiplied unrounded */
    /* Strict bits of a linear in the method's own form; what obi_codes_wide_zero_bits says of its codes is added. */
    double (*bits)(void *user, uint32_t rows, uint32_t columns);
    /* `part` tells how much of the work of the whole layer is done, 0 to 1; it returns OBI_ERROR_CANCELLED when to stop. */
    obi_status (*make)(void *user, uint32_t layer, int kind, obi_status (*part)(void *convert, double part, const char *what),
                       void *convert, obi_made_linear *out);
    void *user;
} obi_linear_maker;

typedef struct obi_convert_desc {
    const char *output;
    obi_form form;
    const obi_linear_maker *maker; /* NULL: SVID. Only of a dense source and with OBI_FORM_ONEBIT */
    bool (*progress)(double fraction, const char *what, void *user); /* NULL: none; false cancels */
    void *user;
} obi_convert_desc;

/* One linear layer that was quantised; errors are ||W - Ŵ||² / ||W||². */
typedef struct obi_convert_row {
    char name[64];
    uint32_t rows, columns;
    double error;        /* of what was written */
    double output_error; /* ||X (W - Ŵ)ᵀ||² / ||X Wᵀ||² over the calibration, NaN without one */
    double error_svid, error_rank1, error_xnor; /* NaN unless SVID ran */
    double norm2;
    double bits; /* strict, of the method's own form */
} obi_convert_row;

typedef struct obi_convert_report {
    obi_convert_row *layers; /* free with obi_convert_report_clear */
    uint32_t layer_count;
    double linear_weights, linear_bits; /* sums over all linear layers as written */
    uint64_t tensor_bytes, file_bytes;
} obi_convert_report;

/* `device` is needed for OBI_FORM_ONEBIT from a dense source without a maker, and may be NULL otherwise. A source that is 1-bit already
 * keeps its signs in OBI_FORM_ONEBIT (scales become F16) and is OBI_ERROR_ARGUMENT for the dense forms. */
obi_status obi_convert(obi_device *device, const obi_source *source, const obi_convert_desc *desc, obi_convert_report *report);
void obi_convert_report_clear(obi_convert_report *report);

#endif
