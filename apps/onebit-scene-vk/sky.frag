#version 450
#extension GL_GOOGLE_include_directive : require
#include "scene.glsl"
layout(location = 0) in vec2 position;
layout(location = 0) out vec4 color;

void main()
{
    float up = clamp((push.horizon.x - position.y) * 1.5, 0.0, 1.0);
    vec3 sky = mix(haze, dusk, sqrt(up));
    vec2 sun = (position - push.horizon.yz) * vec2(push.horizon.w, 1.0);
    float far = length(sun);
    sky += glow * (0.55 * exp(-3.0 * far) + 0.9 * (1.0 - smoothstep(0.160, 0.166, far)));
    if (position.y > push.horizon.x) sky = mix(haze, vec3(0.012, 0.012, 0.045), smoothstep(0.0, 0.30, position.y - push.horizon.x));
    color = vec4(sky, 1.0);
}
