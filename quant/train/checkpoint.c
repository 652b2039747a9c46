#include "quant/train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/alloc.h"
#include "core/log.h"

#define PATH_ROOM 2304
#define DIRECTORY_BYTES_MAX 2048 /* of output_dir: leaves room for the names below it */
#define STATES 3                 /* w, m, v */

static const char *const prefixes[STATES] = { "w.", "m.", "v." };

/* directory/name; output_dir has been checked to leave room. */
static void join(char out[PATH_ROOM], const char *directory, const char *name)
{
    if (snprintf(out, PATH_ROOM, "%s/%s", directory, name) >= PATH_ROOM) out[0] = 0;
}

/* output_dir/checkpoint-STEP and what is put behind it. */
static void checkpoint_path(char out[PATH_ROOM], const char *output_dir, uint64_t step, const char *suffix)
{
    char name[64];
    snprintf(name, sizeof name, "checkpoint-%" PRIu64 "%s", step, suffix);
    join(out, output_dir, name);
}

static const obi_weight *state_of(const obi_param *param, int state) { return state == 0 ? &param->w : state == 1 ? &param->m : &param->v; }

/* ---- writing --------------------------------------------------------------------------------------------------- */

static obi_status write_blocks(const obi_trainer *trainer, obi_gguf_writer *writer, const obi_weight *weight)
{
    void *data = obi_calloc((size_t)weight->block_rows * weight->row_words, 4);
    if (!data) return OBI_ERROR_MEMORY;
    obi_status status = OBI_OK;
    for (uint32_t block = 0; block < weight->block_count && status == OBI_OK; block++) {
        uint32_t first, rows;
        obi_view view = obi_weight_block(weight, block, &first, &rows);
        uint64_t bytes = (uint64_t)rows * weight->row_words * 4;
        status = obi_download_bytes(trainer->device, view, data, bytes);
        if (status == OBI_OK) status = obi_gguf_write(writer, data, bytes);
    }
    obi_free(data);
    return status;
}

static void put_run(const obi_trainer *trainer, obi_gguf_writer *writer)
{
    obi_gguf_put_string(writer, "general.architecture", "onebitcheckpoint");
    obi_gguf_put_u64(writer, "checkpoint.step", trainer->step);
    obi_gguf_put_u64(writer, "checkpoint.seed", trainer->options->seed);
    obi_gguf_put_u32(writer, "checkpoint.sequences_per_step", (uint32_t)obi_trainer_step_sequences(trainer));
    obi_gguf_put_u32(writer, "checkpoint.batch", trainer->options->per_device_train_batch_size);
    obi_gguf_put_u32(writer, "checkpoint.batch_that_fits", trainer->sequences);
    obi_gguf_put_u32(writer, "checkpoint.cutoff_len", trainer->pass->T);
    obi_gguf_put_u32(writer, "checkpoint.method", (uint32_t)trainer->options->method);
    obi_gguf_put_u32(writer, "checkpoint.scales_init", (uint32_t)trainer->options->scales_init);
    obi_gguf_put_u32(writer, "checkpoint.bits", trainer->model->quantiser.bits);
    uint64_t best;
    memcpy(&best, &trainer->best, sizeof best);
    obi_gguf_put_u64(writer, "checkpoint.best_bits", best);
    obi_gguf_put_u64(writer, "checkpoint.without_better", trainer->without_better);
}

static obi_status write_data(const obi_trainer *trainer, const char *path)
{
    const obi_train_model *model = trainer->model;
    obi_gguf_writer *writer;
    char name[80];
    OBI_TRY(obi_gguf_writer_create(&writer, path));
    put_run(trainer, writer);
    for (uint32_t i = 0; i < model->param_count; i++)
        for (int state = 0; state < (model->params[i].trained ? STATES : 1); state++) {
            uint64_t shape[2] = { model->params[i].w.columns, model->params[i].w.rows };
            snprintf(name, sizeof name, "%s%s", prefixes[state], model->params[i].name);
            obi_gguf_add_tensor(writer, name, OBI_DTYPE_F32, 2, shape);
        }
    obi_status status;
    OBI_TRY_GOTO(obi_gguf_writer_begin(writer));
    for (uint32_t i = 0; i < model->param_count; i++)
        for (int state = 0; state < (model->params[i].trained ? STATES : 1); state++)
            OBI_TRY_GOTO(write_blocks(trainer, writer, state_of(&model->params[i], state)));
    status = obi_gguf_writer_commit(writer, NULL);
    writer = NULL;
done:
    obi_gguf_writer_abandon(writer);
    return status;
}

static obi_status sum_file(const char *path, uint64_t *sum)
{
    obi_mapping file;
    OBI_TRY(obi_mapping_open(&file, path));
    *sum = XXH3_64bits(file.data, (size_t)file.size);
    obi_mapping_close(&file);
    return OBI_OK;
}

static obi_status write_sum(const char *data_path, const char *path)
{
    uint64_t sum;
    char text[32];
    obi_writer writer;
    OBI_TRY(sum_file(data_path, &sum));
    int length = snprintf(text, sizeof text, "%016" PRIx64 "\n", sum);
    OBI_TRY(obi_writer_open(&writer, path));
    obi_status status = obi_write(&writer, text, (uint64_t)length);
    if (status == OBI_OK) return obi_writer_commit(&writer);
    obi_writer_abandon(&writer);
    return status;
}

/* The steps of the checkpoints in a directory, rising. Free with obi_free. */
static obi_status list_checkpoints(const char *output_dir, uint64_t **steps, size_t *count)
{
    *steps = NULL;
    *count = 0;
    DIR *directory = opendir(output_dir);
    if (!directory) return errno == ENOENT ? OBI_OK : obi_fail(OBI_ERROR_RUNTIME, "cannot read %s: %s", output_dir, strerror(errno));
    obi_status status = OBI_OK;
    for (struct dirent *entry; status == OBI_OK && (entry = readdir(directory));) {
        uint64_t step;
        int end = 0;
        if (sscanf(entry->d_name, "checkpoint-%" SCNu64 "%n", &step, &end) != 1 || entry->d_name[end]) continue;
        uint64_t *grown = obi_realloc(*steps, *count + 1, sizeof *grown);
        if (!grown) {
            status = OBI_ERROR_MEMORY;
            break;
        }
        *steps = grown;
        size_t place = (*count)++;
        for (; place > 0 && grown[place - 1] > step; place--) grown[place] = grown[place - 1];
        grown[place] = step;
    }
    closedir(directory);
    return status;
}

/* What lies in the directory `path`, and itself. */
static void remove_files(const char *path)
{
    static const char *const files[] = { "state.gguf", "sum.txt" };
    char name[PATH_ROOM];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        join(name, path, files[i]);
        unlink(name);
    }
    rmdir(path);
}

/* Under another name first: killed in the middle, it leaves no checkpoint without its data. */
static void remove_checkpoint(const char *output_dir, uint64_t step)
{
    char path[PATH_ROOM], partial[PATH_ROOM];
    checkpoint_path(path, output_dir, step, "");
    checkpoint_path(partial, output_dir, step, ".partial");
    remove_files(rename(path, partial) == 0 ? partial : path);
}

/* The whole one gets its name, over one of the same step (of a run that was started over, or damaged) if there is one. */
static obi_status name_checkpoint(const char *partial, const char *final)
{
    if (renameat2(AT_FDCWD, partial, AT_FDCWD, final, RENAME_EXCHANGE) == 0) {
        remove_files(partial);
        return OBI_OK;
    }
    remove_files(final);
    return rename(partial, final) == 0 ? OBI_OK : obi_fail(OBI_ERROR_RUNTIME, "cannot rename %s: %s", partial, strerror(errno));
}

static obi_status sync_directory(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = descriptor >= 0 && (fsync(descriptor) == 0 || errno == EINVAL);
    obi_status status = good ? OBI_OK : obi_fail(OBI_ERROR_RUNTIME, "cannot sync %s: %s", path, strerror(errno));
    if (descriptor >= 0) close(descriptor);
    return status;
}

/* `latest` for people and scripts; going on looks at the checkpoints themselves. A link, or where the file system has none
 * a file with the name; either takes the other's place in one go. */
static void point_latest(const char *output_dir, uint64_t step)
{
    char name[64], path[PATH_ROOM], partial[PATH_ROOM];
    obi_writer writer;
    snprintf(name, sizeof name, "checkpoint-%" PRIu64, step);
    join(path, output_dir, "latest");
    join(partial, output_dir, "latest.partial");
    unlink(partial);
    if (symlink(name, partial) == 0 && rename(partial, path) == 0) return;
    unlink(partial);
    obi_status status = obi_writer_open(&writer, path);
    if (status == OBI_OK) {
        status = obi_write(&writer, name, strlen(name));
        if (status == OBI_OK) status = obi_writer_commit(&writer);
        else obi_writer_abandon(&writer);
    }
    if (status != OBI_OK) obi_log(OBI_LOG_WARNING, "%s", obi_last_error());
}

obi_status obi_checkpoint_save(const obi_trainer *trainer, const char *output_dir, uint32_t keep)
{
    char final[PATH_ROOM], partial[PATH_ROOM], data[PATH_ROOM], sum[PATH_ROOM];
    if (strlen(output_dir) > DIRECTORY_BYTES_MAX) return obi_fail(OBI_ERROR_ARGUMENT, "output_dir: the path is too long");
    checkpoint_path(final, output_dir, trainer->step, "");
    checkpoint_path(partial, output_dir, trainer->step, ".partial");
    join(data, partial, "state.gguf");
    join(sum, partial, "sum.txt");
    remove_files(partial);
    OBI_TRY(obi_make_directories(partial));
    obi_status status = write_data(trainer, data);
    if (status == OBI_OK) status = write_sum(data, sum);
    if (status == OBI_OK) status = sync_directory(partial);
    if (status == OBI_OK) status = name_checkpoint(partial, final);
    if (status == OBI_OK) status = sync_directory(output_dir);
    if (status != OBI_OK) {
        remove_files(partial);
        return status;
    }
    point_latest(output_dir, trainer->step);
    uint64_t *steps;
    size_t count;
    OBI_TRY(list_checkpoints(output_dir, &steps, &count));
    for (size_t i = 0; i + keep < count; i++) remove_checkpoint(output_dir, steps[i]);
    obi_free(steps);
    return OBI_OK;
}

obi_status obi_checkpoint_count(const char *output_dir, size_t *count)
{
    uint64_t *steps;
    obi_status status = list_checkpoints(output_dir, &steps, count);
    obi_free(steps);
    return status;
}

obi_status obi_checkpoint_remove_all(const char *output_dir)
{
    uint64_t *steps;
    size_t count;
    char path[PATH_ROOM];
    OBI_TRY(list_checkpoints(output_dir, &steps, &count));
    for (size_t i = 0; i < count; i++) remove_checkpoint(output_dir, steps[i]);
    obi_free(steps);
    join(path, output_dir, "latest");
    unlink(path);
    return OBI_OK;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

static bool good_checkpoint(const char *path)
{
    char data[PATH_ROOM], name[PATH_ROOM], text[32] = "";
    uint64_t sum, expected;
    join(data, path, "state.gguf");
    join(name, path, "sum.txt");
    obi_mapping file;
    if (obi_mapping_open(&file, name) != OBI_OK) return false;
    memcpy(text, file.data, file.size < sizeof text - 1 ? (size_t)file.size : sizeof text - 1);
    obi_mapping_close(&file);
    return sscanf(text, "%" SCNx64, &expected) == 1 && sum_file(data, &sum) == OBI_OK && sum == expected;
}

static obi_status get_u64(const obi_gguf *gguf, const char *key, uint64_t *out)
{
    const obi_gguf_value *value = obi_gguf_find(gguf, key);
    if (!value || value->type != OBI_GGUF_U64) return obi_fail(OBI_ERROR_DATA, "%s: the key %s is missing", gguf->mapping.path, key);
    obi_reader reader = obi_reader_over(value->data, 8);
    *out = obi_read_u64(&reader);
    return OBI_OK;
}

/* Checkpoints of earlier versions do not say: then it is as if there had been no evaluation. */
static void load_best(obi_trainer *trainer, const obi_gguf *gguf)
{
    uint64_t best = 0, without_better = 0;
    if (!obi_gguf_find(gguf, "checkpoint.best_bits") || get_u64(gguf, "checkpoint.best_bits", &best) != OBI_OK ||
        get_u64(gguf, "checkpoint.without_better", &without_better) != OBI_OK)
        return;
    memcpy(&trainer->best, &best, sizeof best);
    trainer->without_better = (uint32_t)without_better;
}

static obi_status check_run(const obi_trainer *trainer, const obi_gguf *gguf)
{
    uint64_t seed = 0;
    uint32_t sequences = 0, length = 0, method = 0, scales_init = 0, bits = 0; /* earlier versions knew one form only and do not say */
    OBI_TRY(get_u64(gguf, "checkpoint.seed", &seed));
    OBI_TRY(obi_gguf_get_u32(gguf, "checkpoint.sequences_per_step", true, &sequences));
    OBI_TRY(obi_gguf_get_u32(gguf, "checkpoint.cutoff_len", true, &length));
    if (seed != trainer->options->seed || length != trainer->pass->T || sequences != obi_trainer_step_sequences(trainer))
        return obi_fail(OBI_ERROR_DATA,
                        "%s belongs to a run with another seed, cutoff_len or batch; use another output_dir, or overwrite_output_dir: true",
                        gguf->mapping.path);
    OBI_TRY(obi_gguf_get_u32(gguf, "checkpoint.method", false, &method));
    OBI_TRY(obi_gguf_get_u32(gguf, "checkpoint.scales_init", false, &scales_init));
    OBI_TRY(obi_gguf_get_u32(gguf, "checkpoint.bits", false, &bits));
    if (method != (uint32_t)trainer->options->method || scales_init != (uint32_t)trainer->options->scales_init ||
        bits != trainer->model->quantiser.bits)
        return obi_fail(OBI_ERROR_DATA,
                        "%s belongs to a run with another method or scales_init, or other bits; use another output_dir, or "
                        "overwrite_output_dir: true",
                        gguf->mapping.path);
    return OBI_OK;
}

/* A run that had to take fewer sequences at once goes on so, for the same bits; unless the user chose another batch since. */
static obi_status set_batch(obi_trainer *trainer, const obi_gguf *gguf)
{
    uint32_t asked = 0, fits = 0;
    OBI_TRY(obi_gguf_get_u32(gguf, "checkpoint.batch", false, &asked));
    OBI_TRY(obi_gguf_get_u32(gguf, "checkpoint.batch_that_fits", false, &fits));
    if (asked != trainer->options->per_device_train_batch_size || fits >= trainer->sequences || fits == 0) return OBI_OK;
    return obi_trainer_set_batch(trainer, fits);
}

static obi_status load_state(obi_trainer *trainer, obi_upload *upload, const obi_gguf *gguf)
{
    char name[80];
    for (uint32_t i = 0; i < trainer->model->param_count; i++)
        for (int state = 0; state < (trainer->model->params[i].trained ? STATES : 1); state++) {
            const obi_weight *weight = state_of(&trainer->model->params[i], state);
            snprintf(name, sizeof name, "%s%s", prefixes[state], trainer->model->params[i].name);
            const obi_gguf_tensor *tensor = obi_gguf_find_tensor(gguf, name);
            if (!tensor || tensor->type != OBI_DTYPE_F32 || tensor->shape[0] != weight->columns || tensor->shape[1] != weight->rows)
                return obi_fail(OBI_ERROR_DATA, "%s belongs to another model: %s is missing or has another shape", gguf->mapping.path,
                                name);
            OBI_TRY(obi_weight_upload(upload, weight, 0, weight->rows, (const uint32_t *)(const void *)tensor->data));
        }
    return obi_upload_finish(upload);
}

obi_status obi_checkpoint_load_newest(obi_trainer *trainer, const char *output_dir, bool *found)
{
    uint64_t *steps;
    size_t count;
    char path[PATH_ROOM], data[PATH_ROOM];
    obi_gguf gguf = { 0 };
    obi_upload *upload = NULL;
    obi_status status = OBI_OK;
    *found = false;
    if (strlen(output_dir) > DIRECTORY_BYTES_MAX) return obi_fail(OBI_ERROR_ARGUMENT, "output_dir: the path is too long");
    OBI_TRY(list_checkpoints(output_dir, &steps, &count));
    while (count > 0 && !*found) {
        checkpoint_path(path, output_dir, steps[--count], "");
        *found = good_checkpoint(path);
        if (!*found) obi_log(OBI_LOG_WARNING, "%s is damaged and is passed over", path);
    }
    if (!*found) goto done;
    join(data, path, "state.gguf");
    OBI_TRY_GOTO(obi_gguf_open(&gguf, data));
    OBI_TRY_GOTO(check_run(trainer, &gguf));
    OBI_TRY_GOTO(set_batch(trainer, &gguf));
    OBI_TRY_GOTO(obi_upload_create(trainer->device, &upload));
    OBI_TRY_GOTO(load_state(trainer, upload, &gguf));
    OBI_TRY_GOTO(get_u64(&gguf, "checkpoint.step", &trainer->step));
    load_best(trainer, &gguf);
    obi_cmd_begin(trainer->cmd);
    obi_train_model_pack(trainer->cmd, trainer->model);
    status = obi_train_model_packed(trainer->model) ? obi_cmd_run(trainer->cmd) : OBI_OK;
done:
    obi_upload_destroy(upload);
    obi_gguf_close(&gguf);
    obi_free(steps);
    return status;
}
