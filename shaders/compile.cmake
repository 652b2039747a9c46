# onebit_kernel(FAMILY VERB [TIERS a b c] [DEFINES ...] [SOURCE file] [NAME name])
#   One kernel, built once per tier: A needs OB-min only, B has subgroup arithmetic, C has fp16 (shaders/README.md).
#   The C enumerator is OBI_KERNEL_<NAME>, NAME being <family>_<verb> unless given; a device takes the highest
#   tier that it has and the kernel offers.
set(ONEBIT_KERNEL_NAMES "")
set(ONEBIT_KERNEL_HEADERS "")
set(ONEBIT_KERNEL_DIR ${CMAKE_CURRENT_BINARY_DIR}/spirv)
if(ONEBIT_PREBUILT_SPIRV)
  set(ONEBIT_KERNEL_DIR ${CMAKE_CURRENT_SOURCE_DIR}/spirv)
endif()
file(MAKE_DIRECTORY ${ONEBIT_KERNEL_DIR})

function(onebit_kernel family verb)
  cmake_parse_arguments(K "" "SOURCE;NAME" "TIERS;DEFINES" ${ARGN})
  if(NOT K_SOURCE)
    set(K_SOURCE ${family}/${verb}.comp)
  endif()
  if(NOT K_NAME)
    set(K_NAME ${family}_${verb})
  endif()
  if(NOT K_TIERS)
    set(K_TIERS a)
  endif()
  set(tier_index 0)
  set(table_row "")
  foreach(tier a b c)
    if(tier IN_LIST K_TIERS)
      set(blob ${K_NAME}_${tier})
      set(spv ${ONEBIT_KERNEL_DIR}/${blob}.spv)
      set(header ${ONEBIT_KERNEL_DIR}/${blob}.h)
      set(defines -DOB_TIER=${tier_index})
      foreach(define IN LISTS K_DEFINES)
        list(APPEND defines -D${define})
      endforeach()
      if(NOT ONEBIT_PREBUILT_SPIRV)
        # The depfile names the .spv; without it among the outputs ninja would compile every kernel anew each time.
        add_custom_command(OUTPUT ${spv} ${header}
          COMMAND ${GLSLANG} --quiet -V --target-env vulkan1.1 -I${CMAKE_CURRENT_SOURCE_DIR} ${defines}
                  --depfile ${spv}.d -o ${spv} ${CMAKE_CURRENT_SOURCE_DIR}/${K_SOURCE}
          COMMAND ${SPIRV_VAL} --target-env vulkan1.1 ${spv}
          COMMAND ${CMAKE_COMMAND} -DINPUT=${spv} -DOUTPUT=${header} -DNAME=${blob} -P ${CMAKE_CURRENT_SOURCE_DIR}/embed.cmake
          DEPENDS ${K_SOURCE} embed.cmake
          DEPFILE ${spv}.d
          COMMENT "Kernel ${blob}" VERBATIM)
      endif()
      set_property(GLOBAL APPEND PROPERTY ONEBIT_KERNEL_HEADERS ${header})
      set_property(GLOBAL APPEND_STRING PROPERTY ONEBIT_KERNEL_INCLUDES "#include \"${blob}.h\"\n")
      string(APPEND table_row "{ spirv_${blob}, sizeof spirv_${blob} }, ")
    else()
      string(APPEND table_row "{ 0, 0 }, ")
    endif()
    math(EXPR tier_index "${tier_index} + 1")
  endforeach()
  string(TOUPPER ${K_NAME} upper)
  set_property(GLOBAL APPEND_STRING PROPERTY ONEBIT_KERNEL_ENUM "    OBI_KERNEL_${upper},\n")
  set_property(GLOBAL APPEND_STRING PROPERTY ONEBIT_KERNEL_TABLE "    { \"${K_NAME}\", { ${table_row}} },\n")
endfunction()

# Writes kernel_list.h (the enum) and kernel_table.c (the words), and makes the object library of them.
function(onebit_finish_kernels)
  foreach(property HEADERS INCLUDES ENUM TABLE)
    get_property(${property} GLOBAL PROPERTY ONEBIT_KERNEL_${property})
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/generated/kernel_list.h @ONLY CONTENT
"/* Made from shaders/kernels.cmake. */
enum {
@ENUM@    OBI_KERNEL_COUNT
};
")
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/generated/kernel_table.c @ONLY CONTENT
"/* Made from shaders/kernels.cmake. */
#include <stdint.h>
#include \"gpu/kernel.h\"
@INCLUDES@
const obi_kernel obi_kernels[OBI_KERNEL_COUNT] = {
@TABLE@};
")
  add_library(onebit_shaders STATIC ${CMAKE_CURRENT_BINARY_DIR}/generated/kernel_table.c ${HEADERS})
  target_include_directories(onebit_shaders PUBLIC ${CMAKE_CURRENT_BINARY_DIR}/generated ${PROJECT_SOURCE_DIR}/runtime
    ${PROJECT_SOURCE_DIR} PRIVATE ${ONEBIT_KERNEL_DIR})
  target_link_libraries(onebit_shaders PRIVATE onebit_flags)
endfunction()
