/* The most memory that the process has had. */
#ifndef OBI_WINDOWS_RESOURCE_H
#define OBI_WINDOWS_RESOURCE_H

#define RUSAGE_SELF 0
struct rusage {
    uint64_t ru_maxrss; /* KiB */
};
int obi_windows_getrusage(int who, struct rusage *out);
#define getrusage obi_windows_getrusage

#endif
