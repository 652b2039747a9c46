#include "engine/linear.h"

#include "ops/op_bitlinear.h"
#include "ops/op_dense.h"

double obi_linear_work(const obi_linear *linear, uint32_t count, uint32_t T)
{
    double work = 0;
    for (uint32_t i = 0; i < count; i++) work += (double)linear[i].weight.rows * linear[i].weight.columns * T;
    return work;
}

void obi_linear_forward(obi_session *session, obi_view y, obi_view x, const obi_linear *linear, uint32_t T, obi_pace *pace)
{
    obi_pace_before(pace, obi_linear_work(linear, 1, T));
    if (linear->planes > 0) obi_op_bitlinear_fwd(session->cmd, y, x, &linear->weight, linear->scales, T);
    else obi_op_dense_fwd(session->cmd, y, x, &linear->weight, T);
}

bool obi_linear_in_one_step(const obi_linear *linear, uint32_t count, uint32_t T, obi_pace *pace)
{
    double work = obi_linear_work(linear, count, T);
    if (linear->planes != 1 || linear->offset.buffer || (count > 1 && work > pace->budget)) return false;
    obi_pace_before(pace, work);
    return true;
}
