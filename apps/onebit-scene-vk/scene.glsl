/* What the shaders of the landscape share: at most 128 bytes of push constants, and the evening's colours. */
layout(push_constant) uniform Push {
    mat4 clip_from_world;
    vec4 eye_time; /* where the camera is; seconds */
    vec4 drops;    /* seconds since the last four words fell into the field */
    vec4 horizon;  /* the horizon's height in clip space, the sun's place there, the picture's aspect */
} push;

const vec3 dusk = vec3(0.020, 0.016, 0.060), haze = vec3(0.55, 0.17, 0.16), glow = vec3(1.0, 0.52, 0.20);
