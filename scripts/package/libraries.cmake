# The two libraries as others get them: one archive or one shared object each, made of the layers. docs/architecture.md says why
# libonebit_train.so is linked to libonebit.so by names that no one else may use.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(ONEBIT_RUNTIME_LAYERS core gpu ops model engine api)
set(ONEBIT_TRAIN_LAYERS import quant trainer ptq)
set(ONEBIT_LIBRARY_DIR ${PROJECT_BINARY_DIR}/lib)
set(ONEBIT_LIBRARIES "")

# onebit_objects_of(VARIABLE layers...): what $<TARGET_OBJECTS> has for each of them.
function(onebit_objects_of variable)
  list(TRANSFORM ARGN REPLACE "(.+)" "$<TARGET_OBJECTS:onebit_\\1>")
  set(${variable} ${ARGN} PARENT_SCOPE)
endfunction()

function(onebit_library target output export_name)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${output} EXPORT_NAME ${export_name} LINKER_LANGUAGE C
    ARCHIVE_OUTPUT_DIRECTORY ${ONEBIT_LIBRARY_DIR} LIBRARY_OUTPUT_DIRECTORY ${ONEBIT_LIBRARY_DIR})
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

# ---- archives: the layers' own objects -------------------------------------------------------------------------------
if(ONEBIT_STATIC)
  onebit_objects_of(runtime_objects ${ONEBIT_RUNTIME_LAYERS} shaders)
  onebit_objects_of(train_objects ${ONEBIT_TRAIN_LAYERS})
  add_library(onebit_static STATIC ${runtime_objects})
  onebit_library(onebit_static onebit onebit_static)
  target_link_libraries(onebit_static PRIVATE PkgConfig::PCRE2 PkgConfig::UTF8PROC Threads::Threads m ${CMAKE_DL_LIBS})
  add_library(onebit_train_static STATIC ${train_objects})
  onebit_library(onebit_train_static onebit_train train_static)
  target_link_libraries(onebit_train_static PUBLIC onebit_static PRIVATE PkgConfig::JANSSON PkgConfig::YAML)
  list(APPEND ONEBIT_LIBRARIES onebit_static onebit_train_static)
endif()

# ---- shared objects: the same sources with visibility protected, since a name that was compiled hidden cannot be given to
# libonebit_train.so; which names leave the library is decided by version scripts (exports.cmake) ---------------------------
if(ONEBIT_SHARED)
  foreach(library onebit onebit_train)
    set(layers shaders ${ONEBIT_RUNTIME_LAYERS})
    if(library STREQUAL "onebit_train")
      set(layers ${ONEBIT_TRAIN_LAYERS})
    endif()
    set(sources "")
    foreach(layer IN LISTS layers)
      get_target_property(of_layer onebit_${layer} SOURCES)
      list(APPEND sources ${of_layer})
    endforeach()
    list(GET layers -1 last)
    add_library(${library}_objects OBJECT ${sources})
    target_link_libraries(${library}_objects PRIVATE onebit_${last})
    target_include_directories(${library}_objects PRIVATE $<TARGET_PROPERTY:onebit_shaders,INCLUDE_DIRECTORIES>)
    set_target_properties(${library}_objects PROPERTIES C_VISIBILITY_PRESET protected)
    file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/generated/${library}.objects CONTENT "$<JOIN:$<TARGET_OBJECTS:${library}_objects>,\n>\n")
  endforeach()
  file(GLOB public_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/onebit/*.h)
  set(maps ${PROJECT_BINARY_DIR}/generated/onebit.map ${PROJECT_BINARY_DIR}/generated/onebit_train.map)
  add_custom_command(OUTPUT ${maps}
    COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} -DVERSION=${PROJECT_VERSION} -DINCLUDE=${PROJECT_SOURCE_DIR}/include
            -DDIRECTORY=${PROJECT_BINARY_DIR}/generated -P ${CMAKE_CURRENT_LIST_DIR}/exports.cmake
    DEPENDS $<TARGET_OBJECTS:onebit_objects> $<TARGET_OBJECTS:onebit_train_objects> ${public_headers} ${CMAKE_CURRENT_LIST_DIR}/exports.cmake
            ${PROJECT_BINARY_DIR}/generated/onebit.objects ${PROJECT_BINARY_DIR}/generated/onebit_train.objects
    COMMENT "Names that leave the shared libraries" VERBATIM)
  add_custom_target(onebit_maps DEPENDS ${maps})

  add_library(onebit_shared SHARED $<TARGET_OBJECTS:onebit_objects>)
  onebit_library(onebit_shared onebit onebit_shared)
  target_link_libraries(onebit_shared PRIVATE PkgConfig::PCRE2 PkgConfig::UTF8PROC Threads::Threads m ${CMAKE_DL_LIBS})
  add_library(onebit_train_shared SHARED $<TARGET_OBJECTS:onebit_train_objects>)
  onebit_library(onebit_train_shared onebit_train train_shared)
  target_link_libraries(onebit_train_shared PUBLIC onebit_shared PRIVATE PkgConfig::JANSSON PkgConfig::YAML Threads::Threads m)
  foreach(library onebit onebit_train)
    add_dependencies(${library}_shared onebit_maps)
    set_target_properties(${library}_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0 INSTALL_RPATH "$ORIGIN"
      LINK_DEPENDS ${PROJECT_BINARY_DIR}/generated/${library}.map)
    target_link_options(${library}_shared PRIVATE LINKER:--version-script=${PROJECT_BINARY_DIR}/generated/${library}.map LINKER:--as-needed)
    if(ONEBIT_SANITIZE)
      target_link_options(${library}_shared PRIVATE -fsanitize=${ONEBIT_SANITIZE})
    else()
      target_link_options(${library}_shared PRIVATE LINKER:--no-undefined)
    endif()
    list(APPEND ONEBIT_LIBRARIES ${library}_shared)
  endforeach()
endif()

# ---- the names that others use, in this tree as behind find_package --------------------------------------------------
set(kind static)
if(BUILD_SHARED_LIBS OR NOT ONEBIT_STATIC)
  set(kind shared)
endif()
add_library(onebit INTERFACE)
target_link_libraries(onebit INTERFACE onebit_${kind})
add_library(onebit_train INTERFACE)
target_link_libraries(onebit_train INTERFACE onebit_train_${kind})
add_library(onebit::onebit ALIAS onebit)
add_library(onebit::train ALIAS onebit_train)

# ---- installation; a component is a package of scripts/package/cpack.cmake ----------------------------------------------
install(TARGETS ${ONEBIT_LIBRARIES} EXPORT onebit
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libraries NAMELINK_COMPONENT development
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/onebit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development FILES_MATCHING PATTERN "*.h")

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/onebit)
install(EXPORT onebit FILE onebit-targets.cmake NAMESPACE onebit:: DESTINATION ${config_dir} COMPONENT development)
write_basic_package_version_file(${ONEBIT_LIBRARY_DIR}/cmake/onebit/onebit-config-version.cmake COMPATIBILITY SameMinorVersion)
configure_file(${CMAKE_CURRENT_LIST_DIR}/onebit-config.cmake ${ONEBIT_LIBRARY_DIR}/cmake/onebit/onebit-config.cmake COPYONLY)
install(FILES ${ONEBIT_LIBRARY_DIR}/cmake/onebit/onebit-config.cmake ${ONEBIT_LIBRARY_DIR}/cmake/onebit/onebit-config-version.cmake
  DESTINATION ${config_dir} COMPONENT development)

# pkg-config finds the prefix from where the file lies, so that an installed tree may be moved.
file(RELATIVE_PATH ONEBIT_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" ONEBIT_PC_PREFIX "${ONEBIT_PC_PREFIX}")
foreach(name onebit onebit-train)
  set(ONEBIT_PC_ROOT "\${pcfiledir}/${ONEBIT_PC_PREFIX}")
  set(ONEBIT_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(ONEBIT_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${name}.pc.in ${PROJECT_BINARY_DIR}/generated/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/generated/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
  set(ONEBIT_PC_ROOT ${PROJECT_BINARY_DIR})
  set(ONEBIT_PC_LIBDIR ${ONEBIT_LIBRARY_DIR})
  set(ONEBIT_PC_INCLUDEDIR ${PROJECT_SOURCE_DIR}/include)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${name}.pc.in ${ONEBIT_LIBRARY_DIR}/pkgconfig/${name}.pc @ONLY)
endforeach()

# The build tree is a package, too: -DCMAKE_PREFIX_PATH=build/release, PKG_CONFIG_PATH=build/release/lib/pkgconfig.
export(EXPORT onebit FILE ${ONEBIT_LIBRARY_DIR}/cmake/onebit/onebit-targets.cmake NAMESPACE onebit::)
