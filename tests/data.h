/* data: where the tests' models, vocabularies and texts lie. ONEBIT_TEST_DATA names the directory; without it the
 * build's OB_TEST_DATA_DEFAULT is used. A missing file fails the test with a sentence: a test without its data has
 * shown nothing. Include in cmocka tests only. */
#ifndef OB_TESTS_DATA_H
#define OB_TESTS_DATA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef OB_TEST_DATA_DEFAULT
#define OB_TEST_DATA_DEFAULT "../shared/data"
#endif

/* The path of a file or directory named relative to the data directory ("models/stories260K/tok512.bin"); it is
 * readable. Owned by the function and overwritten by the eighth call after this one; one thread. */
static inline const char *test_data_path(const char *relative)
{
    static char paths[8][1024];
    static unsigned next;
    const char *root = getenv("ONEBIT_TEST_DATA");
    if (!root || !*root) root = OB_TEST_DATA_DEFAULT;
    char *path = paths[next++ % 8];
    int length = snprintf(path, sizeof paths[0], "%s/%s", root, relative);
    if (length < 0 || (size_t)length >= sizeof paths[0]) fail_msg("the path of test data %s is too long", relative);
    if (access(path, R_OK) != 0)
        fail_msg("test data are missing: %s cannot be read; set ONEBIT_TEST_DATA to the directory that holds them", path);
    return path;
}

#endif
