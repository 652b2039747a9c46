/* What the system is called. */
#ifndef OBI_WINDOWS_UTSNAME_H
#define OBI_WINDOWS_UTSNAME_H

struct utsname {
    char sysname[32], release[64], machine[32];
};
int obi_windows_uname(struct utsname *out);
#define uname obi_windows_uname

#endif
