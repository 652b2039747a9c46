#include "quant/train/leftovers.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"

#define PATH_ROOM 2304

static bool join(char out[PATH_ROOM], const char *directory, const char *name)
{
    int length = snprintf(out, PATH_ROOM, "%s/%s", directory, name);
    return length > 0 && length < PATH_ROOM;
}

/* NAME.tmp-PID-SERIAL, or the link that is on its way to be `latest`. */
static bool is_temporary(const char *name)
{
    if (strcmp(name, "latest.partial") == 0) return true; /* checkpoint.c */
    unsigned long process, serial;
    int end = 0;
    for (const char *at = strstr(name, ".tmp-"); at; at = strstr(at + 1, ".tmp-"))
        if (sscanf(at, ".tmp-%lu-%lu%n", &process, &serial, &end) == 2 && at[end] == 0) return true;
    return false;
}

static bool is_unfinished(const char *name)
{
    unsigned long long step;
    int end = 0;
    return sscanf(name, "checkpoint-%llu.partial%n", &step, &end) == 1 && end > 0 && name[end] == 0;
}

static void remove_directory(const char *path)
{
    char name[PATH_ROOM];
    DIR *directory = opendir(path);
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (join(name, path, entry->d_name)) unlink(name); /* . and .. refuse */
    closedir(directory);
    rmdir(path);
}

void obi_leftovers_remove(const char *output_dir)
{
    char path[PATH_ROOM];
    unsigned count = 0;
    DIR *directory = opendir(output_dir);
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        bool temporary = is_temporary(entry->d_name), unfinished = is_unfinished(entry->d_name);
        if ((!temporary && !unfinished) || !join(path, output_dir, entry->d_name)) continue;
        if (temporary) unlink(path);
        else remove_directory(path);
        count++;
    }
    closedir(directory);
    if (count > 0) obi_log(OBI_LOG_INFO, "%s: removed %u unfinished files of a run that was killed", output_dir, count);
}
