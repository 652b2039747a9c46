#include "stop.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t stop_signal, save_wanted;

static void on_signal(int number)
{
    if (stop_signal) _exit(128 + number);
    stop_signal = number;
}

void app_catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

int app_stop_signal(void) { return stop_signal; }

static void on_save(int number)
{
    (void)number;
    save_wanted = 1;
}

void app_catch_save_signal(void)
{
    struct sigaction action = { .sa_handler = on_save, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
}

bool app_take_save_request(void)
{
    bool wanted = save_wanted;
    save_wanted = 0;
    return wanted;
}
