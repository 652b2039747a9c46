/* directory: the directory of a run, which one run at a time may hold. */
#ifndef OBI_QUANT_TRAIN_DIRECTORY_H
#define OBI_QUANT_TRAIN_DIRECTORY_H

#include "quant/train/options.h"

#define OBI_DIRECTORY_PATH_MAX 2048

/* DIRECTORY/NAME. OBI_ERROR_ARGUMENT when that is too long. */
obi_status obi_directory_path(const char *directory, const char *name, char path[OBI_DIRECTORY_PATH_MAX]);

/* Makes it if need be, takes its lock and clears away what killed runs have left half-written. *lock is a file descriptor to
 * close, -1 on failure. OBI_ERROR_ARGUMENT when another run holds it. */
obi_status obi_directory_open(const char *directory, int *lock);

/* Writes resolved.yaml into options->output_dir. */
obi_status obi_directory_write_options(const obi_train_options *options);

#endif
