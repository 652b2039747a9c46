#include "ops/sign_family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/log.h"
#include "ops/gemv_int8.h"
#include "ops/gemv_table.h"
#include "ops/sign_gemm.h"
#include "ops/sign_gemv.h"
#include "ops/sign_trial.h"

#define TABLE_LANES_MIN 16u

static const char *const names[OBI_SIGN_FAMILY_COUNT] = { "xor", "table", "int8", "straight", "half", "straight-int8" };

const char *obi_sign_family_name(obi_sign_family family) { return family < OBI_SIGN_FAMILY_COUNT ? names[family] : "?"; }

obi_weight_type obi_sign_family_type(obi_sign_family family)
{
    return family == OBI_SIGN_STRAIGHT || family == OBI_SIGN_STRAIGHT_INT8 ? OBI_WEIGHT_SIGN_TILES : OBI_WEIGHT_SIGN;
}

bool obi_sign_family_offered(const obi_device *device, obi_sign_family family, const char **why)
{
    const char *reason = "";
    switch (family) {
    case OBI_SIGN_XOR: break;
    case OBI_SIGN_TABLE:
        if (!obi_gemv_table_possible(device)) reason = "it has no subgroup shuffles that work";
        else if (device->caps.subgroup_size < TABLE_LANES_MIN) reason = "its subgroups have fewer than 16 lanes";
        break;
    case OBI_SIGN_INT8:
        if (device->exact) reason = "exact arithmetic was asked for";
        else if (!obi_gemv_int8_possible(device)) reason = "its kernels do not work here";
        break;
    case OBI_SIGN_STRAIGHT:
        if (!obi_gemv_straight_possible(device)) reason = "it is for software drivers with 8 lanes a subgroup";
        break;
    case OBI_SIGN_STRAIGHT_INT8:
        if (device->exact) reason = "exact arithmetic was asked for";
        else if (!obi_gemv_straight_possible(device)) reason = "it is for software drivers with 8 lanes a subgroup";
        else if (!obi_gemm_int8_straight_possible(device)) reason = "its kernels do not work here";
        break;
    case OBI_SIGN_HALF:
        if (device->exact) reason = "exact arithmetic was asked for";
        else if (!obi_gemv_half_possible(device)) reason = "it has no arithmetic of halves that works";
        break;
    default: reason = "there is no such family"; break;
    }
    if (why) *why = reason;
    return reason[0] == 0;
}

obi_status obi_sign_family_forced(const obi_device *device, obi_sign_family *family)
{
    const char *name = getenv("ONEBIT_KERNEL"), *why = "";
    *family = OBI_SIGN_FAMILY_COUNT;
    if (!name || !name[0]) return OBI_OK;
    for (int i = 0; i < OBI_SIGN_FAMILY_COUNT; i++)
        if (strcmp(name, names[i]) == 0) *family = (obi_sign_family)i;
    if (*family == OBI_SIGN_FAMILY_COUNT)
        return obi_fail(OBI_ERROR_ARGUMENT, "ONEBIT_KERNEL is \"%.40s\", which is none of " OBI_SIGN_FAMILY_NAMES, name);
    if (obi_sign_family_offered(device, *family, &why)) return OBI_OK;
    char offered[64] = "";
    for (int i = 0; i < OBI_SIGN_FAMILY_COUNT; i++) {
        size_t used = strlen(offered);
        if (obi_sign_family_offered(device, (obi_sign_family)i, NULL))
            (void)snprintf(offered + used, sizeof offered - used, "%s%s", used ? ", " : "", names[i]);
    }
    return obi_fail(OBI_ERROR_ARGUMENT, "ONEBIT_KERNEL asks for %s, which %s does not run: %s; it runs %s", name, device->caps.name, why,
                    offered);
}

void obi_sign_family_choice_name(const obi_device *device, uint32_t rows, uint32_t columns, char *name, size_t room)
{
    (void)snprintf(name, room, "sign_gemv %ux%u%s", rows, columns, device->exact ? " exact" : "");
}

/* The family that a kept choice begins with; false when it is none that the device offers now. */
static bool parse_choice(const obi_device *device, const char *text, obi_sign_family *family)
{
    for (int i = 0; i < OBI_SIGN_FAMILY_COUNT; i++) {
        size_t length = strlen(names[i]);
        if (strncmp(text, names[i], length) != 0 || (text[length] != 0 && text[length] != ' ')) continue;
        *family = (obi_sign_family)i;
        return obi_sign_family_offered(device, *family, NULL) && obi_sign_family_type(*family) == OBI_WEIGHT_SIGN;
    }
    return false;
}

/* No trial: nearly always the fastest there (docs/kernels.md), and timing costs a start that lavapipe would feel. */
static obi_sign_family software_family(const obi_device *device)
{
    if (obi_sign_family_offered(device, OBI_SIGN_STRAIGHT_INT8, NULL)) return OBI_SIGN_STRAIGHT_INT8;
    return obi_gemv_straight_possible(device) ? OBI_SIGN_STRAIGHT : OBI_SIGN_XOR;
}

obi_status obi_sign_family_choose(obi_device *device, uint32_t rows, uint32_t columns, obi_sign_family *family)
{
    OBI_TRY(obi_sign_family_forced(device, family));
    if (*family != OBI_SIGN_FAMILY_COUNT) return OBI_OK;
    *family = OBI_SIGN_XOR;
    if (device->caps.software) {
        *family = software_family(device);
        return OBI_OK;
    }
    char name[OBI_CHOICE_NAME_BYTES], text[OBI_CHOICE_TEXT_BYTES];
    obi_sign_family_choice_name(device, rows, columns, name, sizeof name);
    if (obi_choices_get(&device->choices, name, text) && parse_choice(device, text, family)) return OBI_OK;
    obi_sign_trial trial;
    OBI_TRY(obi_sign_trial_run(device, rows, columns, &trial));
    *family = trial.best;
    if (!(trial.seconds[OBI_SIGN_XOR] > 0)) return OBI_OK; /* there was no memory for it: nothing to keep */
    obi_sign_trial_text(&trial, text, sizeof text);
    obi_choices_set(&device->choices, name, text);
    obi_log(OBI_LOG_INFO, "%s: %s", name, text);
    return OBI_OK;
}

bool obi_sign_family_choice(obi_device *device, uint32_t i, obi_choice *choice)
{
    obi_sign_family forced;
    memset(choice, 0, sizeof *choice);
    (void)snprintf(choice->name, sizeof choice->name, "sign_gemv");
    if (obi_sign_family_forced(device, &forced) == OBI_OK && forced != OBI_SIGN_FAMILY_COUNT) {
        (void)snprintf(choice->text, sizeof choice->text, "%s (ONEBIT_KERNEL)", obi_sign_family_name(forced));
        return i == 0;
    }
    if (!device->caps.software) return obi_choices_at(&device->choices, i, choice);
    const char *name = obi_sign_family_name(software_family(device));
    (void)snprintf(choice->text, sizeof choice->text, "%s (a software driver)", name);
    return i == 0;
}

uint64_t obi_sign_weight_bytes(const obi_device *device, uint32_t rows, uint32_t columns)
{
    uint64_t stored = obi_sign_family_offered(device, OBI_SIGN_STRAIGHT, NULL) ? obi_align_up(rows, OBI_TILE_ROWS) : rows;
    return stored * obi_weight_row_words(OBI_WEIGHT_SIGN, columns) * 4;
}

obi_status obi_sign_weight_create(obi_device *device, const uint32_t *rows, uint32_t count, uint32_t columns, obi_weight *out)
{
    obi_sign_family families[OBI_GROUP_MAX] = { OBI_SIGN_XOR };
    memset(out, 0, count * sizeof *out); /* what a caller destroys after a failure */
    for (uint32_t i = 0; i < count; i++) OBI_TRY(obi_sign_family_choose(device, rows[i], columns, &families[i]));
    /* One layout for all: the one in tiles is a software device's, or forced, for every matrix. */
    OBI_TRY(obi_weight_create_group(device, obi_sign_family_type(families[0]), rows, count, columns, out));
    for (uint32_t i = 0; i < count; i++) out[i].family = (uint32_t)families[i];
    return OBI_OK;
}
