/* sign_trial: times the families of ops/sign_family.h on a matrix of one shape with random signs, one token. */
#ifndef OBI_OPS_SIGN_TRIAL_H
#define OBI_OPS_SIGN_TRIAL_H

#include "ops/sign_family.h"

typedef struct obi_sign_trial {
    obi_sign_family best;
    double seconds[OBI_SIGN_FAMILY_COUNT]; /* of one product, the best of several rounds; 0: not run */
} obi_sign_trial;

/* Runs every family that the device offers and that reads plain rows. Some milliseconds each once its pipelines are made; a
 * slow one is run once only. A family that cannot be made or run is taken off the device's list, with one warning; where there
 * is no memory for all of it nothing counts as timed and `best` is xor. Fails when the device is lost, or xor does not run. */
obi_status obi_sign_trial_run(obi_device *device, uint32_t rows, uint32_t columns, obi_sign_trial *trial);

/* "int8 (xor 31.2, table 20.1, int8 15.0 us)": the choice and what it is based on. */
void obi_sign_trial_text(const obi_sign_trial *trial, char *text, size_t room);

#endif
