/* push: lets one header declare a push-constant struct for C and for GLSL. All fields are OB_U32 or OB_F32, so both
 * languages lay it out alike. A shader uses it as
 *     layout(push_constant) uniform Push { obi_push_norm_rmsnorm push; };
 * and C as `struct obi_push_norm_rmsnorm`. */
#ifndef OB_PUSH_H
#define OB_PUSH_H

#ifdef __STDC__
#include <stdint.h>
#define OB_U32 uint32_t
#define OB_F32 float
#else
#define OB_U32 uint
#define OB_F32 float
#endif

#endif
