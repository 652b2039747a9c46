#version 450
/* Rectangles in pixels: letters and panels. */
layout(push_constant) uniform Push { vec2 pixel; } push; /* 2 / the picture's size */
layout(location = 0) in vec2 place;
layout(location = 1) in vec2 texel;
layout(location = 2) in vec4 paint;
layout(location = 0) out vec2 at;
layout(location = 1) out vec4 tint;

void main()
{
    at = texel;
    tint = vec4(pow(paint.rgb, vec3(2.2)), paint.a);
    gl_Position = vec4(place * push.pixel - 1.0, 0.0, 1.0);
}
