// exp_log: the exponential and the logarithm as softmax needs them. NaN stays NaN (one software driver's exp and log of
// it are numbers), so that a broken activation is seen in the loss.
#ifndef OB_EXP_LOG_GLSL
#define OB_EXP_LOG_GLSL

#define OB_LOWEST -1.0e38 // where a running maximum begins
#define OB_EXP_FAR -87.0  // exp below this is no normal float

// For x <= 0; 0 where the result would be no normal float.
float ob_exp_below(float x)
{
    bool is_far = x < OB_EXP_FAR;
    float power = mix(exp(is_far ? OB_EXP_FAR : x), 0.0, is_far);
    return isnan(x) ? x : power;
}

vec4 ob_exp_below(vec4 x)
{
    bvec4 is_far = lessThan(x, vec4(OB_EXP_FAR));
    vec4 power = mix(exp(mix(x, vec4(OB_EXP_FAR), is_far)), vec4(0.0), is_far);
    return mix(power, x, isnan(x));
}

float ob_log(float x) { return isnan(x) ? x : log(x); }

#endif
