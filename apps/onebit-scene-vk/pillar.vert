#version 450
/* A field of pillars that waves go through. No vertex buffers: the place of a corner follows from its number. They are no instances, as
 * instances of so few corners leave most of a GPU's lanes idle. Two sides and the top are enough, the camera sees no more of a box. */
#extension GL_GOOGLE_include_directive : require
#include "scene.glsl"
layout(location = 0) out vec2 corner;     /* on its face, from 0 to 1; y upward on the sides */
layout(location = 1) out float lit;
layout(location = 2) flat out vec4 paint; /* a: how much haze */
layout(location = 3) flat out float rim;  /* of the top, which is brighter there */

const int across = 44;
const float pitch = 0.62, width = 0.27;
const vec2 corners[6] = vec2[](vec2(0, 0), vec2(1, 0), vec2(1, 1), vec2(0, 0), vec2(1, 1), vec2(0, 1));
const vec3 sun = normalize(vec3(-0.35, 0.42, -0.84));
const vec2 places[4] = vec2[](vec2(-3.5, 2.0), vec2(4.5, 4.5), vec2(2.0, -4.0), vec2(-5.0, -3.0));

float height(vec2 place)
{
    float time = push.eye_time.w;
    float sum = 1.5 + 0.50 * sin(0.45 * place.x + 0.8 * time) + 0.45 * sin(0.38 * place.y - 0.6 * time + 1.3)
        + 0.35 * sin(0.52 * (place.x + place.y) + 1.1 * time);
    for (int i = 0; i < 4; i++) { /* a ring runs outward from where a word fell */
        float age = push.drops[i], off = distance(place, places[i]) - 4.2 * age;
        sum += 1.1 * exp(-1.1 * age - 1.6 * off * off);
    }
    return max(sum, 0.1);
}

/* From deep blue in the valleys over violet and rose to gold on the crests. */
vec3 color_at(float tall)
{
    float t = clamp((tall - 0.4) * 0.34, 0.0, 1.0);
    vec3 low = mix(vec3(0.015, 0.035, 0.16), vec3(0.24, 0.035, 0.28), clamp(t * 2.4, 0.0, 1.0));
    vec3 high = mix(vec3(0.75, 0.12, 0.16), vec3(1.0, 0.55, 0.14), clamp(t * 2.2 - 1.2, 0.0, 1.0));
    return mix(low, high, smoothstep(0.30, 0.62, t));
}

void main()
{
    int pillar = gl_VertexIndex / 18, face = gl_VertexIndex / 6 % 3;
    vec2 place = (vec2(pillar % across, pillar / across) - 0.5 * float(across - 1)) * pitch;
    vec2 toward = vec2(push.eye_time.x > place.x ? 1.0 : -1.0, push.eye_time.z > place.y ? 1.0 : -1.0);
    corner = corners[gl_VertexIndex % 6];
    float tall = height(place);
    vec2 along = (corner * 2.0 - 1.0) * width;
    vec3 at, normal;
    if (face == 0) {
        at = vec3(place.x + along.x, tall, place.y + along.y);
        normal = vec3(0, 1, 0);
    } else if (face == 1) {
        at = vec3(place.x + toward.x * width, tall * corner.y, place.y + along.x);
        normal = vec3(toward.x, 0, 0);
    } else {
        at = vec3(place.x + along.x, tall * corner.y, place.y + toward.y * width);
        normal = vec3(0, 0, toward.y);
    }
    gl_Position = push.clip_from_world * vec4(at, 1.0);
    lit = 0.35 + 0.95 * max(dot(normal, sun), 0.0);
    if (face > 0) lit *= 0.12 + 0.88 * smoothstep(0.0, 2.0, at.y); /* little light falls between the pillars */
    rim = face == 0 ? 0.55 : 0.0;
    vec3 off = vec3(place.x, tall, place.y) - push.eye_time.xyz;
    paint = vec4(color_at(tall), 1.0 - exp(-0.0013 * dot(off, off)));
}
