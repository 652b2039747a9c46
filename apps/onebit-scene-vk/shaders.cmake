# The shaders beside the sample's C become arrays, as the library's kernels do (shaders/compile.cmake): spirv_<name>_<stage>.
function(onebit_scene_shaders target)
  set(directory ${CMAKE_CURRENT_BINARY_DIR}/onebit-scene-vk-spirv)
  file(MAKE_DIRECTORY ${directory})
  foreach(source IN LISTS ARGN)
    string(REPLACE "." "_" name ${source})
    set(spv ${directory}/${name}.spv)
    set(header ${directory}/${name}.h)
    add_custom_command(OUTPUT ${header}
      COMMAND ${GLSLANG} --quiet -V --target-env vulkan1.1 -I${CMAKE_CURRENT_SOURCE_DIR}/onebit-scene-vk --depfile ${spv}.d -o ${spv}
              ${CMAKE_CURRENT_SOURCE_DIR}/onebit-scene-vk/${source}
      COMMAND ${SPIRV_VAL} --target-env vulkan1.1 ${spv}
      COMMAND ${CMAKE_COMMAND} -DINPUT=${spv} -DOUTPUT=${header} -DNAME=${name} -P ${PROJECT_SOURCE_DIR}/shaders/embed.cmake
      DEPENDS onebit-scene-vk/${source} ${PROJECT_SOURCE_DIR}/shaders/embed.cmake
      DEPFILE ${spv}.d
      COMMENT "Shader ${name}" VERBATIM)
    target_sources(${target} PRIVATE ${header})
  endforeach()
  target_include_directories(${target} PRIVATE ${directory})
endfunction()
