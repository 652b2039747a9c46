/* run_files: the files of training runs in the scratch directory, each run in a directory of its own. */
#ifndef OB_TESTS_RUN_FILES_H
#define OB_TESTS_RUN_FILES_H

#include <unistd.h>

#include "core/file.h"
#include "data.h"
#include "device.h"
#include "scratch.h"

/* The path of file `name` of a run; overwritten by the eighth call after this one. */
static inline const char *path_in(const char *directory, const char *name)
{
    static char paths[8][1024];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s/%s", scratch_directory, directory, name);
    return path;
}

/* The first `bytes` of the training text as a scratch file. */
static inline const char *text_file(const char *name, uint64_t bytes)
{
    const char *text = path_in("", name);
    if (access(text, R_OK) == 0) return text;
    obi_mapping file;
    obi_writer writer;
    TEST_OK(obi_mapping_open(&file, test_data_path("text/tinystories_train_v1.txt")));
    TEST_OK(obi_writer_open(&writer, text));
    TEST_OK(obi_write(&writer, file.data, bytes));
    TEST_OK(obi_writer_commit(&writer));
    obi_mapping_close(&file);
    return text;
}

static inline void remove_run(const char *directory)
{
    assert_int_equal(scratch_remove_tree(path_in(directory, "")), 0);
}

static inline void assert_same_file(const char *a, const char *b)
{
    obi_mapping left, right;
    TEST_OK(obi_mapping_open(&left, a));
    TEST_OK(obi_mapping_open(&right, b));
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
    obi_mapping_close(&left);
    obi_mapping_close(&right);
}

#endif
