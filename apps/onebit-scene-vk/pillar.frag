#version 450
#extension GL_GOOGLE_include_directive : require
#include "scene.glsl"
layout(location = 0) in vec2 corner;
layout(location = 1) in float lit;
layout(location = 2) flat in vec4 paint;
layout(location = 3) flat in float rim;
layout(location = 0) out vec4 color;

void main()
{
    vec2 off = abs(corner - 0.5);
    float edge = clamp(8.0 * max(off.x, off.y) - 3.0, 0.0, 1.0);
    color = vec4(mix(paint.rgb * (lit + lit * rim * edge), haze, paint.a), 1.0);
}
