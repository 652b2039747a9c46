// grid: the index of a workgroup, or of an element, when a long grid is folded over x and y (obi_fold_groups in C).
#ifndef OB_GRID_GLSL
#define OB_GRID_GLSL

layout(local_size_x_id = 0) in; // before the first use of gl_WorkGroupSize: glslang takes it for 1 otherwise

uint ob_group() { return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x; }
uint ob_element() { return ob_group() * gl_WorkGroupSize.x + gl_LocalInvocationIndex; }

#endif
