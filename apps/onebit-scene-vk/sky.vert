#version 450
/* One triangle that covers the screen at the far end: it is drawn last, where nothing else is. */
layout(location = 0) out vec2 position;

void main()
{
    position = vec2(gl_VertexIndex == 1 ? 3.0 : -1.0, gl_VertexIndex == 2 ? 3.0 : -1.0);
    gl_Position = vec4(position, 1.0, 1.0);
}
