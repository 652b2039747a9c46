# The Vulkan drivers that the tests run on, and how a test is told which one to use.

# onebit_find_icd(VARIABLE NAME): the first manifest NAME.*json among the places where drivers are installed; by the name that
# the program sees, for which an emulator's root is the sysroot.
function(onebit_find_icd variable name)
  set(found "")
  foreach(directory /usr/share /usr/local/share /etc)
    file(GLOB manifests RELATIVE "${CMAKE_SYSROOT}/" ${CMAKE_SYSROOT}${directory}/vulkan/icd.d/${name}.*json)
    list(TRANSFORM manifests PREPEND /)
    list(APPEND found ${manifests})
  endforeach()
  list(FILTER found EXCLUDE REGEX "i[36]86")
  if(found)
    list(GET found 0 first)
    set(${variable} ${first} PARENT_SCOPE)
  else()
    set(${variable} "" PARENT_SCOPE)
  endif()
endfunction()

onebit_find_icd(ONEBIT_LAVAPIPE_ICD lvp_icd)
onebit_find_icd(ONEBIT_RADV_ICD radeon_icd)

# lavapipe's vector width sets its subgroup size: 4, 8 or 16.
set(ONEBIT_DRIVERS lavapipe128 lavapipe256 lavapipe512)
foreach(width 128 256 512)
  set(ONEBIT_ICD_lavapipe${width} "${ONEBIT_LAVAPIPE_ICD}")
  set(ONEBIT_ENV_lavapipe${width} LP_NATIVE_VECTOR_WIDTH=${width})
endforeach()
if(NOT ONEBIT_WITHOUT_SWIFTSHADER)
  list(APPEND ONEBIT_DRIVERS swiftshader)
  set(ONEBIT_ICD_swiftshader "${ONEBIT_SWIFTSHADER_ICD}")
endif()

# Under ASan a driver that was unloaded at exit leaves leaks without a name, so dlclose is made to do nothing, and then
# the leaks of drivers and layers, which are not ours, are suppressed by their names.
set(ONEBIT_SANITIZER_ENV "")
if(ONEBIT_SANITIZE MATCHES "address")
  add_library(onebit_keep_loaded SHARED keep_loaded.c)
  # The preloader splits its list at spaces, so the library goes by its name and the directory by another variable.
  set(ONEBIT_SANITIZER_ENV LD_PRELOAD=libonebit_keep_loaded.so LD_LIBRARY_PATH=${CMAKE_CURRENT_BINARY_DIR}
    ASAN_OPTIONS=verify_asan_link_order=0 "LSAN_OPTIONS=print_suppressions=0:suppressions='${CMAKE_CURRENT_SOURCE_DIR}/lsan.supp'")
endif()

if(ONEBIT_SANITIZE MATCHES "thread")
  set(ONEBIT_SANITIZER_ENV "TSAN_OPTIONS=suppressions='${CMAKE_CURRENT_SOURCE_DIR}/tsan.supp'")
endif()

# onebit_add_icd_test(NAME PROGRAM ICD [VARIABLE=value ...] [ARGUMENTS ...] [EXPECT_FAILURE words] [SHADER_CACHE directory]):
# a test that sees one driver only. Without the driver's manifest the test is there all the same, and fails.
# SHADER_CACHE: where Mesa keeps compiled shaders; without it it keeps none.
function(onebit_add_icd_test name program icd)
  cmake_parse_arguments(T "" "EXPECT_FAILURE;SHADER_CACHE" "ARGUMENTS" ${ARGN})
  if(icd STREQUAL "")
    add_test(NAME ${name} COMMAND sh -c "echo 'the Vulkan driver of this test is not installed; run scripts/setup.sh and configure again'; exit 1")
    return()
  endif()
  if(T_EXPECT_FAILURE)
    add_test(NAME ${name} COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:${program}> "-DARGUMENTS=${T_ARGUMENTS}"
      "-DWORDS=${T_EXPECT_FAILURE}" -P ${PROJECT_SOURCE_DIR}/tests/expect_failure.cmake)
  else()
    add_test(NAME ${name} COMMAND ${program} ${T_ARGUMENTS})
  endif()
  string(MAKE_C_IDENTIFIER ${name} directory)
  # The newer loaders read VK_DRIVER_FILES, the older VK_ICD_FILENAMES. Newer validation layers check the hazards of
  # storage buffers only when asked. Mesa's own disk cache is off: it would hide compile errors in a second run.
  set(environment VK_ICD_FILENAMES=${icd} VK_DRIVER_FILES=${icd} VK_LAYER_SYNCVAL_SHADER_ACCESSES_HEURISTIC=1
    ONEBIT_CACHE_DIR=${ONEBIT_TEST_CACHE}/${directory})
  if(T_SHADER_CACHE)
    file(MAKE_DIRECTORY ${T_SHADER_CACHE}) # Mesa makes the last directory only, and complains on stderr
    list(APPEND environment MESA_SHADER_CACHE_DIR=${T_SHADER_CACHE})
  else()
    list(APPEND environment MESA_SHADER_CACHE_DISABLE=true)
  endif()
  if(WIN32)
    list(APPEND environment ONEBIT_TEST_WITHOUT_VALIDATION=1)
  endif()
  list(APPEND environment ${ONEBIT_SANITIZER_ENV} ${T_UNPARSED_ARGUMENTS})
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${environment}")
endfunction()

# onebit_add_driver_tests(PROGRAM LABEL label TIMEOUT seconds COST n [DRIVERS ...] [NOT_SANITIZED]):
# <program>.<driver> for each driver. ctest starts the most costly tests first, so that none is left over at the end. The tests
# of a driver share its compiled shaders: compiling them is most of what a kernel test takes on lavapipe.
function(onebit_add_driver_tests program)
  cmake_parse_arguments(T "NOT_SANITIZED" "LABEL;TIMEOUT;COST" "DRIVERS" ${ARGN})
  if(NOT T_DRIVERS)
    set(T_DRIVERS ${ONEBIT_DRIVERS})
  endif()
  foreach(driver IN LISTS T_DRIVERS)
    if(NOT driver IN_LIST ONEBIT_DRIVERS)
      continue()
    endif()
    set(labels ${T_LABEL} ${driver})
    set(cost ${T_COST})
    if(driver STREQUAL "lavapipe256" AND NOT T_NOT_SANITIZED)
      list(APPEND labels sanitized)
    endif()
    if(driver STREQUAL "swiftshader")
      math(EXPR cost "${cost} * 3")
    endif()
    onebit_add_icd_test(${program}.${driver} ${program} "${ONEBIT_ICD_${driver}}" ${ONEBIT_ENV_${driver}}
      SHADER_CACHE ${ONEBIT_TEST_SHADER_CACHE}/${driver})
    set_tests_properties(${program}.${driver} PROPERTIES LABELS "${labels}" TIMEOUT ${T_TIMEOUT} COST ${cost})
  endforeach()
endfunction()

foreach(driver IN LISTS ONEBIT_DRIVERS)
  if(ONEBIT_ICD_${driver} STREQUAL "" OR NOT EXISTS "${CMAKE_SYSROOT}${ONEBIT_ICD_${driver}}")
    message(WARNING "The Vulkan driver ${driver} was not found, so its tests will FAIL. Run scripts/setup.sh"
      " (scripts/test.sh does); to test without SwiftShader configure with -DONEBIT_WITHOUT_SWIFTSHADER=ON.")
  endif()
endforeach()
