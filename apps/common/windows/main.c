/* Where a program of ours begins on Windows: its arguments become UTF-8, and its streams bytes, as elsewhere. */
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

int main(int argc, char **argv);
int wmain(int argc, wchar_t **wide);

int wmain(int argc, wchar_t **wide)
{
    _setmode(0, _O_BINARY);
    _setmode(1, _O_BINARY);
    _setmode(2, _O_BINARY);
    SetConsoleOutputCP(CP_UTF8);
    for (DWORD stream = STD_OUTPUT_HANDLE; stream >= STD_ERROR_HANDLE; stream--) { /* progress lines move the cursor */
        DWORD mode;
        if (GetConsoleMode(GetStdHandle(stream), &mode)) SetConsoleMode(GetStdHandle(stream), mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
    }
    char **argv = calloc((size_t)argc + 1, sizeof *argv);
    for (int i = 0; argv && i < argc; i++) {
        int size = WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, NULL, 0, NULL, NULL);
        argv[i] = size > 0 ? malloc((size_t)size) : NULL;
        if (!argv[i]) return 4;
        WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, argv[i], size, NULL, NULL);
    }
    return argv ? main(argc, argv) : 4;
}
