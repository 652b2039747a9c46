# Debian packages, one for each component: cmake --preset package, build, cpack -G DEB (scripts/release-check.sh does all of it).
# Both shared libraries lie in one package: libonebit_train.so takes names from libonebit.so that only the very same version has.
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development)
install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development)
file(GLOB documents CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/*.md)
install(FILES ${documents} DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs COMPONENT development)
install(FILES ${PROJECT_SOURCE_DIR}/models/stories-onebit.gguf DESTINATION ${CMAKE_INSTALL_DATADIR}/onebit/models COMPONENT tools)

set(CPACK_PACKAGE_NAME onebit)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR "OneBit for Vulkan")
set(CPACK_PACKAGE_CONTACT "OneBit for Vulkan <onebit@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL libraries development tools training)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/cpack_staging.cmake)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${CPACK_PACKAGE_CONTACT})
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# One package needs another of this build, of exactly this version.
set(this_version "(= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY "=")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/lib)

set(CPACK_DEBIAN_LIBRARIES_PACKAGE_NAME libonebit0)
set(CPACK_DEBIAN_LIBRARIES_PACKAGE_SECTION libs)
file(WRITE ${PROJECT_BINARY_DIR}/generated/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_LIBRARIES_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/generated/triggers)
set(CPACK_DEBIAN_LIBRARIES_PACKAGE_DEPENDS libvulkan1) # opened at run time, which dpkg-shlibdeps cannot see
set(CPACK_DEBIAN_LIBRARIES_PACKAGE_RECOMMENDS mesa-vulkan-drivers)
set(CPACK_COMPONENT_LIBRARIES_DESCRIPTION "libonebit runs LLaMA models whose linear layers are signs and two value
vectors, and ordinary ones; libonebit_train makes them.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libonebit-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libonebit0 ${this_version}, libpcre2-dev, libutf8proc-dev, libjansson-dev, libyaml-dev")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS libvulkan-dev) # the types of onebit/onebit_vulkan.h
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "What programs are built with: headers, static libraries, files for CMake
and pkg-config, manual pages.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME onebit-tools)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION science)
set(CPACK_DEBIAN_TOOLS_PACKAGE_DEPENDS "libonebit0 ${this_version}")
set(CPACK_COMPONENT_TOOLS_DESCRIPTION "Programs that convert models to 1 bit, generate text, measure perplexity and
speed, and list devices; with a small model that tells stories.")

set(CPACK_DEBIAN_TRAINING_PACKAGE_NAME onebit-train)
set(CPACK_DEBIAN_TRAINING_PACKAGE_SECTION science)
set(CPACK_DEBIAN_TRAINING_PACKAGE_DEPENDS "libonebit0 ${this_version}")
set(CPACK_COMPONENT_TRAINING_DESCRIPTION "onebit-train-vk trains teachers from text and distils 1-bit students, on one
device or with several processes over MPI.")
include(CPack)
