#include "landscape.h"

#include <math.h>
#include <string.h>

#include "pillar_frag.h"
#include "pillar_vert.h"
#include "pipeline.h"
#include "sky_frag.h"
#include "sky_vert.h"

#define PILLARS (44 * 44) /* pillar.vert has the 44, too */
#define CORNERS 18
#define DROP_PAUSE 0.45

typedef struct push { /* scene.glsl */
    float clip_from_world[16]; /* by columns */
    float eye_time[4], drops[4], horizon[4];
} push;
_Static_assert(sizeof(push) <= 128, "every device takes 128 bytes");

void landscape_create(gpu *device, landscape *own, const canvas *target)
{
    *own = (landscape){ .drops = { -100, -100, -100, -100 } };
    VkPushConstantRange range = { VK_SHADER_STAGE_VERTEX_BIT | VK_SHADER_STAGE_FRAGMENT_BIT, 0, sizeof(push) };
    VkPipelineLayoutCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .pushConstantRangeCount = 1,
                                        .pPushConstantRanges = &range };
    VK(vkCreatePipelineLayout(device->device, &info, NULL, &own->layout));
    own->sky = pipeline_create(device, target, &(pipeline_desc){
        .vertex = spirv_sky_vert, .vertex_bytes = sizeof spirv_sky_vert, .fragment = spirv_sky_frag,
        .fragment_bytes = sizeof spirv_sky_frag, .layout = own->layout, .depth = true });
    own->pillars = pipeline_create(device, target, &(pipeline_desc){
        .vertex = spirv_pillar_vert, .vertex_bytes = sizeof spirv_pillar_vert, .fragment = spirv_pillar_frag,
        .fragment_bytes = sizeof spirv_pillar_frag, .layout = own->layout, .depth = true });
}

void landscape_destroy(gpu *device, landscape *own)
{
    vkDestroyPipeline(device->device, own->sky, NULL);
    vkDestroyPipeline(device->device, own->pillars, NULL);
    vkDestroyPipelineLayout(device->device, own->layout, NULL);
}

void landscape_drop(landscape *own, double time)
{
    if (time - own->drops[(own->dropped + 3) % 4] < DROP_PAUSE) return;
    own->drops[own->dropped++ % 4] = time;
}

typedef struct vector { float x, y, z; } vector;

static vector minus(vector a, vector b) { return (vector){ a.x - b.x, a.y - b.y, a.z - b.z }; }
static vector cross(vector a, vector b) { return (vector){ a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x }; }
static float dot(vector a, vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static vector normal(vector a)
{
    float scale = 1 / sqrtf(dot(a, a));
    return (vector){ a.x * scale, a.y * scale, a.z * scale };
}

/* The camera sways before the field. y points down in clip space. */
static push look(VkExtent2D size, double time)
{
    float angle = 0.35f * sinf((float)time * 0.11f), aspect = (float)size.width / (float)size.height;
    vector eye = { 15.5f * sinf(angle), 4.7f + 0.4f * sinf((float)time * 0.17f), 15.5f * cosf(angle) };
    vector target = { 0.6f * sinf((float)time * 0.07f), 1.9f, 0 };
    vector z = normal(minus(target, eye)), x = normal(cross(z, (vector){ 0, 1, 0 })), y = cross(x, z);
    const float zoom = 1.75f, near = 1, far = 60;
    float sx = zoom / aspect, sy = -zoom, a = far / (far - near), b = -near * a;
    push made = { .clip_from_world = { sx * x.x, sy * y.x, a * z.x, z.x, sx * x.y, sy * y.y, a * z.y, z.y, sx * x.z, sy * y.z, a * z.z,
                                       z.z, -sx * dot(x, eye), -sy * dot(y, eye), b - a * dot(z, eye), -dot(z, eye) },
                  .eye_time = { eye.x, eye.y, eye.z, (float)fmod(time, 3600) } };
    const float *m = made.clip_from_world;
    /* Where directions end up: straight ahead at the height of the eye, and the sun behind the field. */
    vector ahead = { z.x, 0, z.z }, sun = { -0.16f, 0.085f, -0.98f };
    float w = m[3] * ahead.x + m[11] * ahead.z;
    made.horizon[0] = (m[1] * ahead.x + m[9] * ahead.z) / w;
    w = m[3] * sun.x + m[7] * sun.y + m[11] * sun.z;
    made.horizon[1] = (m[0] * sun.x + m[4] * sun.y + m[8] * sun.z) / w;
    made.horizon[2] = (m[1] * sun.x + m[5] * sun.y + m[9] * sun.z) / w;
    made.horizon[3] = aspect;
    return made;
}

void landscape_draw(const landscape *own, VkCommandBuffer commands, VkExtent2D size, double time)
{
    push constants = look(size, time);
    for (int i = 0; i < 4; i++) constants.drops[i] = (float)fmin(time - own->drops[i], 100);
    vkCmdPushConstants(commands, own->layout, VK_SHADER_STAGE_VERTEX_BIT | VK_SHADER_STAGE_FRAGMENT_BIT, 0, sizeof constants, &constants);
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, own->pillars);
    vkCmdDraw(commands, PILLARS * CORNERS, 1, 0, 0);
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, own->sky);
    vkCmdDraw(commands, 3, 1, 0, 0);
}
