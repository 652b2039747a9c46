/* The environment, the machine, the process; signals; two functions on text. */
#include <ctype.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <psapi.h>

long obi_windows_sysconf(int name)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return name == _SC_PAGESIZE ? (long)info.dwPageSize : -1;
}

int sched_getaffinity(int process, size_t size, cpu_set_t *set)
{
    (void)process;
    (void)size;
    DWORD_PTR own = 0, all = 0;
    if (!GetProcessAffinityMask(GetCurrentProcess(), &own, &all)) return -1;
    set->mask = own;
    return own ? 0 : -1; /* 0: processors of several groups */
}

/* ---- environment ------------------------------------------------------------------------------------------------- */

typedef struct variable {
    struct variable *next;
    char value[];
} variable;

static variable *kept; /* the values handed out; each text once */
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

char *obi_windows_getenv(const char *name)
{
    wchar_t wide_name[256], wide[4096];
    char text[3 * 4096];
    if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, wide_name, 256)) return NULL;
    SetLastError(ERROR_SUCCESS);
    DWORD units = GetEnvironmentVariableW(wide_name, wide, 4096);
    if (units >= 4096 || (units == 0 && GetLastError() != ERROR_SUCCESS)) return NULL;
    wide[units] = 0;
    int size = WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, sizeof text, NULL, NULL);
    if (size <= 0) return NULL;
    pthread_mutex_lock(&kept_lock);
    variable *at = kept;
    while (at && strcmp(at->value, text) != 0) at = at->next;
    if (!at && (at = malloc(sizeof *at + (size_t)size)) != NULL) {
        memcpy(at->value, text, (size_t)size);
        at->next = kept;
        kept = at;
    }
    pthread_mutex_unlock(&kept_lock);
    return at ? at->value : NULL;
}

int obi_windows_setenv(const char *name, const char *value, int overwrite)
{
    wchar_t wide_name[256], wide[4096];
    if (!overwrite && obi_windows_getenv(name)) return 0;
    if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, wide_name, 256) ||
        (value && !MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, value, -1, wide, 4096)) ||
        !SetEnvironmentVariableW(wide_name, value ? wide : NULL)) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

int obi_windows_unsetenv(const char *name) { return obi_windows_setenv(name, NULL, 1); }

/* ---- the machine and the process --------------------------------------------------------------------------------------- */

int obi_windows_gethostname(char *name, size_t room)
{
    DWORD size = (DWORD)room;
    return GetComputerNameA(name, &size) ? 0 : -1;
}

int obi_windows_getloadavg(double *loads, int count)
{
    (void)loads;
    (void)count;
    return -1;
}

int uname(struct utsname *out)
{
    OSVERSIONINFOW version = { .dwOSVersionInfoSize = sizeof version };
    LONG(WINAPI *real)(OSVERSIONINFOW *) = NULL; /* GetVersionEx tells old programs of old systems */
    FARPROC found = GetProcAddress(GetModuleHandleA("ntdll.dll"), "RtlGetVersion");
    memcpy(&real, &found, sizeof real);
    if (real) real(&version);
    strcpy(out->sysname, "Windows");
    snprintf(out->release, sizeof out->release, "%lu.%lu.%lu", version.dwMajorVersion, version.dwMinorVersion, version.dwBuildNumber);
    strcpy(out->machine, sizeof(void *) == 8 ? "x86_64" : "x86");
    return 0;
}

int getrusage(int who, struct rusage *out)
{
    (void)who;
    PROCESS_MEMORY_COUNTERS memory = { .cb = sizeof memory };
    if (!GetProcessMemoryInfo(GetCurrentProcess(), &memory, sizeof memory)) return -1;
    out->ru_maxrss = (uint64_t)memory.PeakWorkingSetSize / 1024;
    return 0;
}

ssize_t getrandom(void *data, size_t size, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < size; i++) {
        unsigned random = 0;
        if (rand_s(&random) != 0) return -1;
        ((uint8_t *)data)[i] = (uint8_t)random;
    }
    return (ssize_t)size;
}

int ioctl(int descriptor, int request, struct winsize *out)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (request != TIOCGWINSZ || !GetConsoleScreenBufferInfo((HANDLE)_get_osfhandle(descriptor), &info)) return -1;
    out->ws_col = (unsigned short)(info.srWindow.Right - info.srWindow.Left + 1);
    out->ws_row = (unsigned short)(info.srWindow.Bottom - info.srWindow.Top + 1);
    return 0;
}

/* ---- signals ------------------------------------------------------------------------------------------------------------ */

static void (*handlers[NSIG])(int);

static void on_signal(int number)
{
    signal(number, on_signal); /* it was set back to the default before the call */
    handlers[number](number);
}

int obi_windows_sigaction(int number, const struct obi_windows_sigaction *action, struct obi_windows_sigaction *before)
{
    if (number < 0 || number >= NSIG) return -1;
    if (before) *before = (struct obi_windows_sigaction){ .sa_handler = handlers[number] };
    if (!action) return 0;
    bool own = action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
    handlers[number] = action->sa_handler;
    bool known = number == SIGINT || number == SIGTERM || number == SIGABRT || number == SIGFPE || number == SIGSEGV || number == SIGILL;
    return !known || signal(number, own ? on_signal : action->sa_handler) != SIG_ERR ? 0 : -1;
}

/* ---- text ------------------------------------------------------------------------------------------------------------------ */

void *obi_windows_memmem(const void *text, size_t length, const void *part, size_t part_length)
{
    const char *at = text, *wanted = part;
    if (part_length == 0) return (void *)(uintptr_t)text;
    while (length >= part_length) {
        const char *first = memchr(at, wanted[0], length - part_length + 1);
        if (!first) return NULL;
        if (memcmp(first, wanted, part_length) == 0) return (void *)(uintptr_t)first;
        length -= (size_t)(first + 1 - at);
        at = first + 1;
    }
    return NULL;
}

char *obi_windows_strcasestr(const char *text, const char *part)
{
    size_t length = strlen(part);
    for (; *text; text++)
        if (_strnicmp(text, part, length) == 0) return (char *)(uintptr_t)text;
    return length == 0 ? (char *)(uintptr_t)text : NULL;
}
