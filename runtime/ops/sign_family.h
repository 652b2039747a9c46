/* sign_family: the families of kernels for products of signs with few tokens, and which of them a matrix gets.
 *
 * On a GPU each offered family is timed once per device and shape (ops/sign_trial.h), when a model is loaded, and the fastest
 * is kept (gpu/choices.h). On a software device the answer is known and nothing is timed. ONEBIT_KERNEL names a family for all. */
#ifndef OBI_OPS_SIGN_FAMILY_H
#define OBI_OPS_SIGN_FAMILY_H

#include "ops/tensor.h"

typedef enum obi_sign_family {
    OBI_SIGN_XOR = 0,      /* the sign XORed into f32; any device */
    OBI_SIGN_TABLE = 1,    /* tables of signed sums across a subgroup, f32 */
    OBI_SIGN_INT8 = 2,     /* activations as bytes with a scale for each 32: not exact */
    OBI_SIGN_STRAIGHT = 3, /* software drivers, signs in tiles, f32 */
    OBI_SIGN_HALF = 4,     /* xor in pairs of f16: not exact; tier C */
    OBI_SIGN_STRAIGHT_INT8 = 5, /* as straight, but 8 tokens and more as bytes with a scale for each 256 or fewer: not exact */
    OBI_SIGN_FAMILY_COUNT = 6
} obi_sign_family;

#define OBI_SIGN_FAMILY_NAMES "xor, table, int8, straight, half, straight-int8"

const char *obi_sign_family_name(obi_sign_family family); /* "xor", ... */
obi_weight_type obi_sign_family_type(obi_sign_family family); /* the layout it reads */

/* Whether this device runs it; else *why says why not, in a few words. `why` may be NULL. */
bool obi_sign_family_offered(const obi_device *device, obi_sign_family family, const char **why);

/* What ONEBIT_KERNEL asks for: OBI_SIGN_FAMILY_COUNT where it is not set or empty. OBI_ERROR_ARGUMENT when there is no such
 * family or this device does not offer it; the sentence lists those that it does. */
obi_status obi_sign_family_forced(const obi_device *device, obi_sign_family *family);

/* The family for a (rows,columns) matrix: the forced one, the software device's, the kept choice, or the winner of a trial now
 * (some 50 ms). Call it while loading, not between a token's dispatches. */
obi_status obi_sign_family_choose(obi_device *device, uint32_t rows, uint32_t columns, obi_sign_family *family);

/* What a kept choice is called: "sign_gemv 4096x4096", with " exact" behind it on a device opened as exact. */
void obi_sign_family_choice_name(const obi_device *device, uint32_t rows, uint32_t columns, char *name, size_t room);

/* What is known about choices without a matrix at hand, for people: the forced family, a software device's rule, or what was kept.
 * False behind the last. */
bool obi_sign_family_choice(obi_device *device, uint32_t i, obi_choice *choice);

/* What the signs of a (rows,columns) matrix take on this device at the most, padding of tiles included. Nothing is chosen for it. */
uint64_t obi_sign_weight_bytes(const obi_device *device, uint32_t rows, uint32_t columns);

/* Chooses, and makes the weights for it as obi_weight_create_group does. The matrices, at most
 * OBI_GROUP_MAX, are for products forward only. */
obi_status obi_sign_weight_create(obi_device *device, const uint32_t *rows, uint32_t count, uint32_t columns, obi_weight *out);

#endif
