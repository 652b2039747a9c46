// estimator: e(w), the stand-in for the derivative of sign(w) in training: dW = dS * e(W). Kinds as obi_estimator_kind.
#ifndef OB_ESTIMATOR_GLSL
#define OB_ESTIMATOR_GLSL

// 1 - tanh(x)^2 = 4 p / (1 + p)^2 with p = exp(-2|x|): no digits lost near 0, no tanh, which software drivers do badly.
float ob_tanh_slope(float x)
{
    float p = exp(-2.0 * min(abs(x), 40.0));
    return 4.0 * p / ((1.0 + p) * (1.0 + p));
}

float ob_estimator(float w, uint kind, float alpha)
{
    if (kind == 0u) return 0.001 + ob_tanh_slope(w);
    if (kind == 1u) return 1.0;
    if (kind == 2u) return abs(w) < alpha ? 1.0 : 0.0;
    return alpha * ob_tanh_slope(alpha * w);
}

#endif
