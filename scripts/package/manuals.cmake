# Manual pages: of the public headers (section 3) and of the programs (section 1, made of what --help prints).
find_program(ONEBIT_AWK awk)
if(NOT ONEBIT_AWK)
  message(STATUS "no manual pages: awk was not found")
  return()
endif()
set(ONEBIT_MANUAL_DATE "November 23, 2026")
set(manual_dir ${PROJECT_BINARY_DIR}/man)
file(MAKE_DIRECTORY ${manual_dir})

file(GLOB public_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/onebit/*.h)
set(pages "")
foreach(header IN LISTS public_headers)
  get_filename_component(name ${header} NAME_WE)
  list(APPEND pages ${name})
endforeach()
list(JOIN pages " " page_names)
set(manuals "")
foreach(name IN LISTS pages)
  set(script ${CMAKE_CURRENT_LIST_DIR}/manual.awk)
  add_custom_command(OUTPUT ${manual_dir}/${name}.3
    COMMAND ${ONEBIT_AWK} -v pages_of_all=${page_names} -v date=${ONEBIT_MANUAL_DATE} -f ${script}
            ${PROJECT_SOURCE_DIR}/include/onebit/${name}.h > ${manual_dir}/${name}.3
    DEPENDS ${PROJECT_SOURCE_DIR}/include/onebit/${name}.h ${script} VERBATIM COMMENT "Manual page ${name}(3)")
  list(APPEND manuals ${manual_dir}/${name}.3)
  install(FILES ${manual_dir}/${name}.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT development)
endforeach()

if(ONEBIT_BUILD_APPS AND NOT CMAKE_CROSSCOMPILING AND NOT ONEBIT_SANITIZE)
  foreach(program IN LISTS ONEBIT_PROGRAMS)
    set(script ${CMAKE_CURRENT_LIST_DIR}/manual_program.awk)
    add_custom_command(OUTPUT ${manual_dir}/${program}.1
      COMMAND ${program} --help > ${manual_dir}/${program}.txt
      COMMAND ${ONEBIT_AWK} -v date=${ONEBIT_MANUAL_DATE} -f ${script} ${manual_dir}/${program}.txt > ${manual_dir}/${program}.1
      DEPENDS ${program} ${script} VERBATIM COMMENT "Manual page ${program}(1)")
    list(APPEND manuals ${manual_dir}/${program}.1)
    set(component tools)
    if(program STREQUAL "onebit-train-vk")
      set(component training)
    endif()
    install(FILES ${manual_dir}/${program}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT ${component})
  endforeach()
endif()
add_custom_target(onebit_manuals ALL DEPENDS ${manuals})
