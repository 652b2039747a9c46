#include "ranks.h"

#include "common/term.h"

bool app_ranks_open(app_ranks *ranks)
{
    *ranks = (app_ranks){ .ranks = { .size = 1 } };
    if (!app_ranks_started()) return true;
    app_refuse(2, "this program was built without MPI, so that each of these processes would train alone; build it with -DONEBIT_MPI=ON");
    return false;
}

void app_ranks_close(const app_ranks *ranks) { (void)ranks; }

int app_ranks_largest(const app_ranks *ranks, int number)
{
    (void)ranks;
    return number;
}

void app_ranks_abort(const app_ranks *ranks, int code)
{
    (void)ranks;
    (void)code;
}
