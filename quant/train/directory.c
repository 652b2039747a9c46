#include "quant/train/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "quant/train/leftovers.h"

obi_status obi_directory_path(const char *directory, const char *name, char path[OBI_DIRECTORY_PATH_MAX])
{
    int length = snprintf(path, OBI_DIRECTORY_PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < OBI_DIRECTORY_PATH_MAX ? OBI_OK : obi_fail(OBI_ERROR_ARGUMENT, "output_dir: the path is too long");
}

obi_status obi_directory_open(const char *directory, int *lock)
{
    char path[OBI_DIRECTORY_PATH_MAX];
    *lock = -1;
    OBI_TRY(obi_make_directories(directory));
    OBI_TRY(obi_directory_path(directory, "lock", path));
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*lock < 0) return obi_fail(OBI_ERROR_RUNTIME, "cannot create %s: %s", path, strerror(errno));
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0) {
        obi_leftovers_remove(directory);
        return OBI_OK;
    }
    close(*lock);
    *lock = -1;
    return obi_fail(OBI_ERROR_ARGUMENT, "another training run works in %s; wait for it or name another output_dir", directory);
}

obi_status obi_directory_write_options(const obi_train_options *options)
{
    char path[OBI_DIRECTORY_PATH_MAX];
    obi_writer writer;
    OBI_TRY(obi_directory_path(options->output_dir, "resolved.yaml", path));
    OBI_TRY(obi_writer_open(&writer, path));
    obi_status status = obi_train_options_write(options, &writer);
    if (status == OBI_OK) return obi_writer_commit(&writer);
    obi_writer_abandon(&writer);
    return status;
}
