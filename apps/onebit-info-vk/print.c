#include "print.h"

#include <sys/utsname.h>

#include "common/term.h"

/* ---- devices --------------------------------------------------------------------------------------------------- */

void print_device(const ob_device_info *info)
{
    printf("%-12s%s (%s)\n", "device", info->name, info->type);
    printf("%-12s%s\n", "driver", info->driver);
    printf("%-12s%s\n", "Vulkan", app_api_version(info->api_version).text);
    printf("%-12s%s\n", "UUID", app_uuid(info->uuid).text);
    if (info->usable) printf("%-12s%c\n", "tier", info->tier);
    else printf("%-12snone, it cannot be used: %s\n", "tier", info->reason);
    printf("%-12s%s%s\n", "memory", app_bytes(info->memory_bytes).text, info->unified ? ", shared with the host" : "");
    printf("%-12ssubgroup %u, workgroup %u, shared memory %s\n", "limits", info->subgroup_size, info->workgroup_size,
           app_bytes(info->shared_bytes).text);
    printf("%-12sbinding %s, allocation %s\n", "", app_bytes(info->storage_range).text, app_bytes(info->allocation_max).text);
    printf("%-12ssubgroup arithmetic %s, fp16 %s, 16-bit storage %s, timestamps %s\n", "features",
           info->subgroup_arithmetic ? "yes" : "no", info->fp16 ? "yes" : "no", info->storage16 ? "yes" : "no",
           info->timestamps ? "yes" : "no");
}

void print_device_json(app_json *json, const char *key, const ob_device_info *info)
{
    app_json_open(json, key, '{');
    app_json_text(json, "name", info->name);
    app_json_text(json, "type", info->type);
    app_json_text(json, "driver", info->driver);
    app_json_text(json, "vulkan", app_api_version(info->api_version).text);
    app_json_text(json, "uuid", app_uuid(info->uuid).text);
    app_json_bool(json, "usable", info->usable);
    if (info->usable) app_json_text(json, "tier", (char[2]){ info->tier, 0 });
    else app_json_text(json, "reason", info->reason);
    app_json_count(json, "memory_bytes", info->memory_bytes);
    app_json_bool(json, "unified_memory", info->unified);
    app_json_count(json, "subgroup_size", info->subgroup_size);
    app_json_count(json, "workgroup_size", info->workgroup_size);
    app_json_count(json, "shared_bytes", info->shared_bytes);
    app_json_count(json, "storage_range", info->storage_range);
    app_json_count(json, "allocation_max", info->allocation_max);
    app_json_bool(json, "subgroup_arithmetic", info->subgroup_arithmetic);
    app_json_bool(json, "fp16", info->fp16);
    app_json_bool(json, "storage16", info->storage16);
    app_json_bool(json, "timestamps", info->timestamps);
    app_json_close(json);
}

/* ---- kernels --------------------------------------------------------------------------------------------------- */

#define FAMILIES_MAX 8
#define CHOICES_MAX 64

void print_kernels(const ob_context *context)
{
    ob_kernel_family families[FAMILIES_MAX];
    ob_kernel_choice choices[CHOICES_MAX];
    uint32_t count = ob_context_families(context, families, FAMILIES_MAX), chosen = ob_context_choices(context, choices, CHOICES_MAX);
    for (uint32_t i = 0; i < count && i < FAMILIES_MAX; i++)
        printf("%-12s%s%s%s\n", i ? "" : "families", families[i].name, families[i].offered ? "" : ": no, ", families[i].reason);
    for (uint32_t i = 0; i < chosen && i < CHOICES_MAX; i++)
        printf("%-12s%s: %s\n", i ? "" : "chosen", choices[i].what, choices[i].choice);
    if (chosen == 0) printf("%-12snothing yet: when a 1-bit model is loaded they are timed\n", "chosen");
}

void print_kernels_json(app_json *json, const ob_context *context)
{
    ob_kernel_family families[FAMILIES_MAX];
    ob_kernel_choice choices[CHOICES_MAX];
    uint32_t count = ob_context_families(context, families, FAMILIES_MAX), chosen = ob_context_choices(context, choices, CHOICES_MAX);
    app_json_open(json, "families", '[');
    for (uint32_t i = 0; i < count && i < FAMILIES_MAX; i++) {
        app_json_open(json, NULL, '{');
        app_json_text(json, "name", families[i].name);
        app_json_bool(json, "offered", families[i].offered);
        if (!families[i].offered) app_json_text(json, "reason", families[i].reason);
        app_json_close(json);
    }
    app_json_close(json);
    app_json_open(json, "chosen", '[');
    for (uint32_t i = 0; i < chosen && i < CHOICES_MAX; i++) {
        app_json_open(json, NULL, '{');
        app_json_text(json, "what", choices[i].what);
        app_json_text(json, "choice", choices[i].choice);
        app_json_close(json);
    }
    app_json_close(json);
}

/* ---- models ---------------------------------------------------------------------------------------------------- */

void print_model(const char *path, const ob_model_info *info)
{
    printf("%-12s%s\n", "file", path);
    printf("%-12s%s\n", "name", info->name);
    printf("%-12s%s%s\n", "kind", info->architecture, info->onebit ? ", 1-bit linear layers" : "");
    printf("%-12s%s\n", "parameters", app_count(info->parameters).text);
    printf("%-12slayers %u, width %u, feed-forward %u\n", "shape", info->layers, info->width, info->ffn);
    printf("%-12sheads %u of size %u, key-value heads %u\n", "", info->heads, info->head_size, info->kv_heads);
    printf("%-12svocabulary %u, context %u\n", "", info->vocabulary, info->context);
    printf("%-12s%s, bos %d%s, eos %d\n", "tokenizer", info->has_tokenizer ? "yes" : "no", info->bos,
           info->add_bos ? " (put in front)" : "", info->eos);
    printf("%-12sfile %s, on the device %s\n", "bytes", app_bytes(info->file_bytes).text, app_bytes(info->device_bytes).text);
}

void print_model_json(app_json *json, const char *key, const char *path, const ob_model_info *info)
{
    app_json_open(json, key, '{');
    app_json_text(json, "file", path);
    app_json_text(json, "name", info->name);
    app_json_text(json, "architecture", info->architecture);
    app_json_bool(json, "onebit", info->onebit);
    app_json_count(json, "parameters", info->parameters);
    app_json_count(json, "layers", info->layers);
    app_json_count(json, "width", info->width);
    app_json_count(json, "ffn", info->ffn);
    app_json_count(json, "heads", info->heads);
    app_json_count(json, "head_size", info->head_size);
    app_json_count(json, "kv_heads", info->kv_heads);
    app_json_count(json, "vocabulary", info->vocabulary);
    app_json_count(json, "context", info->context);
    app_json_bool(json, "has_tokenizer", info->has_tokenizer);
    app_json_integer(json, "bos", info->bos);
    app_json_integer(json, "eos", info->eos);
    app_json_bool(json, "add_bos", info->add_bos);
    app_json_count(json, "file_bytes", info->file_bytes);
    app_json_count(json, "device_bytes", info->device_bytes);
    app_json_close(json);
}

/* ---- self-tests ------------------------------------------------------------------------------------------------ */

void print_system(void)
{
    struct utsname name;
    printf("%-12s%s\n", "onebit", ob_version());
    if (uname(&name) == 0) printf("%-12s%s %s %s\n", "system", name.sysname, name.release, name.machine);
}

void print_system_json(app_json *json)
{
    struct utsname name;
    app_json_text(json, "program", "onebit-info-vk");
    app_json_text(json, "version", ob_version());
    if (uname(&name) != 0) return;
    app_json_text(json, "system", name.sysname);
    app_json_text(json, "release", name.release);
    app_json_text(json, "machine", name.machine);
}

void print_selftest_heading(void)
{
    printf("\n%-36s %4s  %-6s %15s %10s\n", "kernel", "tier", "result", "error/tolerance", "ms");
}

void print_selftest_row(const ob_selftest_row *row)
{
    printf("%-36s %4c  %-6s %15.3g %10.2f", row->kernel, row->tier, row->passed ? "pass" : "FAIL", row->worst, 1e3 * row->seconds);
    if (!row->passed && row->detail && row->detail[0]) printf("  %s", row->detail);
    putchar('\n');
}

void print_selftest_row_json(app_json *json, const ob_selftest_row *row)
{
    app_json_open(json, NULL, '{');
    app_json_text(json, "kernel", row->kernel);
    app_json_text(json, "tier", (char[2]){ row->tier, 0 });
    app_json_bool(json, "passed", row->passed);
    app_json_number(json, "worst", row->worst);
    app_json_number(json, "seconds", row->seconds);
    app_json_text(json, "detail", row->detail ? row->detail : "");
    app_json_close(json);
}
