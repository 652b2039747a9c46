/* selftest: every kernel variant against its scalar reference, on one device.
 *
 * A case runs one op at given sizes with seeded random inputs and compares with runtime/ref. The same cases serve
 * `onebit-info-vk --selftest`, the once-per-device check of the other programs, and tests/kernels (which add many sizes). */
#ifndef OBI_SELFTEST_SELFTEST_H
#define OBI_SELFTEST_SELFTEST_H

#include "core/rng.h"
#include "ops/tensor.h"

#define OBI_CASE_SIZES 6

typedef struct obi_case_env {
    obi_device *device;
    obi_cmd *cmd;
    obi_upload *upload;
    obi_rng rng; /* seeded anew for each run */
} obi_case_env;

typedef struct obi_case_result {
    double worst;    /* largest |got - want| / tolerance over all outputs; <= 1 passes. NaN fails. */
    char where[128]; /* of the worst: "y[12] = 0.5, reference 0.25, tolerance 1e-6" */
} obi_case_result;

typedef struct obi_case {
    const char *name;                      /* "bitlinear_gemv" */
    int kernel;                            /* OBI_KERNEL_... that `run` exercises */
    const char *size_names;                /* "m n T": what sizes[] mean */
    uint32_t sizes[OBI_CASE_SIZES];        /* a small odd case for the self-test; unused entries 0 */
    obi_status (*run)(obi_case_env *env, const uint32_t *sizes, obi_case_result *result);
} obi_case;

/* All cases of all families, in a fixed order. */
const obi_case *const *obi_cases(uint32_t *count);

/* Whether a case's kernel is one of those that only devices with caps.straight run. */
bool obi_case_is_straight(const obi_case *test);

/* Whether a case's kernel has others to do its work: then one that fails is taken off (device->kernel_off), not the device. */
bool obi_case_is_optional(const obi_case *test);

/* Compares `count` floats. tolerance(i) = absolute[i] when `absolute` is given, else relative * |want[i]| + floor.
 * Keeps the worst in *result; call it once for each output of a case, starting from a zeroed result. */
void obi_case_compare(obi_case_result *result, const char *name, const float *got, const float *want, uint64_t count,
                      const float *absolute, double relative, double floor);

/* Allocation and transfer for cases; everything made through an env is freed by obi_case_env_clear. */
obi_status obi_case_env_create(obi_device *device, obi_case_env **out);
void obi_case_env_clear(obi_case_env *env);   /* frees the buffers and host arrays of the last run */
void obi_case_env_destroy(obi_case_env *env); /* NULL is allowed */
float *obi_case_normal(obi_case_env *env, uint64_t count, double scale);      /* host array of normal values, or NULL */
float *obi_case_zeros(obi_case_env *env, uint64_t count);                     /* host array, or NULL */
obi_status obi_case_upload(obi_case_env *env, const void *data, uint64_t bytes, obi_view *view); /* padded to 4 bytes */
/* A device buffer filled with a NaN pattern, so that an output nobody wrote shows. */
obi_status obi_case_output(obi_case_env *env, uint64_t bytes, obi_view *view);
obi_status obi_case_download(obi_case_env *env, obi_view view, void *data, uint64_t bytes);

/* One line of the report. */
typedef struct obi_selftest_row {
    const char *name;
    obi_tier tier;
    bool passed;
    obi_status status;     /* OBI_OK, or why it could not run */
    double worst, seconds; /* seconds include pipeline creation */
    char where[256];
} obi_selftest_row;

/* Runs every case at every tier up to device->tier that its kernel has. Where a variant fails, device->kernel_tier of
 * that kernel is lowered below it, and a warning is logged; when tier A itself fails the result is
 * OBI_ERROR_NO_DEVICE ("this device computes wrong numbers"), except of a straight case: caps.straight is then taken back,
 * and of an optional one: that kernel is then off.
 * rows (freed with obi_free) may be NULL. */
obi_status obi_selftest_run(obi_device *device, obi_selftest_row **rows, uint32_t *row_count);

/* The same with the caller's list of cases. */
obi_status obi_selftest_run_cases(obi_device *device, const obi_case *const *cases, uint32_t count, obi_selftest_row **rows,
                                  uint32_t *row_count);

/* All but the straight cases, remembered in cache_dir under device + driver + shader hash: a second call only reads the file.
 * (Compiling the straight kernels takes a software driver a quarter of a minute, too long for a first start.)
 * *ran tells whether the kernels were run. cache_dir "" runs every time. */
obi_status obi_selftest_cached(obi_device *device, const char *cache_dir, bool *ran);

#endif
