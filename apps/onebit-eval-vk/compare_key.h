/* compare_key: what a result depends on, as a number: settings, the contents of all files that they name, and the device. */
#ifndef ONEBIT_EVAL_COMPARE_KEY_H
#define ONEBIT_EVAL_COMPARE_KEY_H

#include "compare_settings.h"

/* Of the model that a row makes with a seed: its settings, whatever their order, and the files. */
uint64_t compare_key_of_model(const compare_config *config, const compare_row *row, uint64_t seed, const ob_device_info *device);
/* Of what is measured of it: that key, the texts and the tasks. */
uint64_t compare_key_of_result(const compare_config *config, const compare_row *row, uint64_t model);

/* Of a file's content, or of all files of a directory with their names, not those of directories in it; 0 where there is nothing. It is
 * read once for a process. */
uint64_t compare_key_of_path(const char *path);
/* Likewise of the folder of the zero-shot tasks: with the files of directories in it, such as ARC-Easy/ARC-Easy-Test.jsonl. */
uint64_t compare_key_of_tasks(const char *folder);

#endif
