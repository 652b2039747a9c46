/* The size of the console. */
#ifndef OBI_WINDOWS_IOCTL_H
#define OBI_WINDOWS_IOCTL_H

#define TIOCGWINSZ 1
struct winsize {
    unsigned short ws_row, ws_col;
};
int obi_windows_ioctl(int descriptor, int request, struct winsize *out);
#define ioctl obi_windows_ioctl

#endif
