/* Builds every kernel at every tier with AMD's production compiler, and no GPU: Mesa's RADV pretends to be the chip named
 * by RADV_FORCE_FAMILY. Such a device compiles but runs nothing and has no memory, so no buffer is made and the
 * validation layer is off. With RADV_DEBUG=shaderstats the driver prints what each shader needs; one that spills
 * registers fails, as it would be slow where it matters. scripts/amd-table.sh makes a table of the lines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/status.h"
#include "gpu/device.h"

typedef struct shader_stats {
    int found; /* shaders that the driver told about */
    long instructions, vgprs, sgprs, lds, spilled, scratch; /* lds, scratch: bytes */
} shader_stats;

static void print_log(obi_log_level level, const char *message, void *user)
{
    (void)user;
    if (level <= OBI_LOG_WARNING) printf("%s\n", message);
}

/* Adds up the lines "Name: number" that the driver wrote. */
static void read_stats(FILE *from, shader_stats *stats)
{
    char line[256];
    memset(stats, 0, sizeof *stats);
    rewind(from);
    while (fgets(line, sizeof line, from)) {
        const char *colon = strchr(line, ':');
        if (!colon) continue;
        long number = strtol(colon + 1, NULL, 10);
        if (strncmp(line, "Instructions:", 13) == 0) stats->instructions += number, stats->found++;
        else if (strncmp(line, "VGPRs:", 6) == 0) stats->vgprs += number;
        else if (strncmp(line, "Pre-Sched SGPRs:", 16) == 0) stats->sgprs += number; /* "SGPRs" is what all get from navi10 on: 128 */
        else if (strncmp(line, "LDS size:", 9) == 0) stats->lds += number;
        else if (strncmp(line, "Spilled ", 8) == 0) stats->spilled += number;
        else if (strncmp(line, "Scratch size:", 13) == 0) stats->scratch += number;
    }
}

/* Compiles one variant with the driver's chatter on stderr caught in a file. */
static obi_status compile(obi_device *device, int kernel, obi_tier tier, uint32_t workgroup, shader_stats *stats)
{
    FILE *caught = tmpfile();
    int saved = dup(STDERR_FILENO);
    if (!caught || saved < 0) return obi_fail(OBI_ERROR_RUNTIME, "no temporary file for the compiler's statistics");
    fflush(stderr);
    dup2(fileno(caught), STDERR_FILENO);
    VkPipeline pipeline;
    device->kernel_tier[kernel] = tier;
    obi_status status = obi_pipeline_get(device, kernel, &workgroup, 1, &pipeline);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    read_stats(caught, stats);
    fclose(caught);
    return status;
}

int main(void)
{
    static const uint32_t workgroups[] = { 64, 128 }; /* the two that the baseline allows to matter */
    const char *family = getenv("RADV_FORCE_FAMILY");
    obi_device *device;
    obi_device_desc desc = { .cache_dir = "" };
    obi_log_set(print_log, NULL);
    if (!family || obi_device_open(&device, &desc) != OBI_OK) {
        printf("no AMD compiler: %s\n", family ? obi_last_error() : "RADV_FORCE_FAMILY is not set");
        return 1;
    }
    printf("%s, %s, tier %c\n", device->caps.name, device->caps.driver, 'A' + (int)device->tier);
    int failures = 0, compiled = 0, told = 0;
    if (!strstr(device->caps.driver, "radv")) {
        printf("this is not AMD's driver\n");
        failures++;
    }
    for (int kernel = 0; kernel < OBI_KERNEL_COUNT; kernel++) {
        for (int tier = OBI_TIER_A; tier <= (int)device->tier; tier++) {
            if (!obi_kernels[kernel].tier[tier].words || strstr(obi_kernels[kernel].name, "_straight")) continue; /* those: lavapipe only */
            for (size_t i = 0; i < sizeof workgroups / sizeof *workgroups; i++) {
                shader_stats stats = { 0 };
                obi_status status = compile(device, kernel, (obi_tier)tier, workgroups[i], &stats);
                bool spills = stats.spilled != 0 || stats.scratch != 0;
                const char *verdict = status != OBI_OK ? "FAIL" : spills ? "SPILLS" : "ok";
                printf("%-6s %-28s tier %c, workgroup %3u: ", verdict, obi_kernels[kernel].name, 'A' + tier, workgroups[i]);
                if (status != OBI_OK) printf("%s\n", obi_last_error());
                else if (!stats.found) printf("no statistics\n");
                else
                    printf("%4ld instructions, %3ld VGPRs, %3ld SGPRs, %5ld bytes of LDS, %ld spilled, %ld bytes of scratch\n",
                           stats.instructions, stats.vgprs, stats.sgprs, stats.lds, stats.spilled, stats.scratch);
                compiled++;
                told += stats.found != 0;
                failures += status != OBI_OK || spills;
            }
        }
    }
    obi_device_close(device);
    const char *debug = getenv("RADV_DEBUG");
    if (debug && strstr(debug, "shaderstats") && told == 0) printf("note: this driver printed no statistics, so spills were not checked\n");
    if (compiled == 0) printf("the build has no kernels\n");
    printf("%d variants compiled for %s, %d failed\n", compiled, family, failures);
    return failures != 0 || compiled == 0;
}
