# cmake -DNM=nm -DVERSION=0.1.0 -DINCLUDE=include -DDIRECTORY=generated -P exports.cmake: makes the version scripts of both shared
# libraries, onebit.map and onebit_train.map, in DIRECTORY, where onebit.objects and onebit_train.objects list their objects.
#
# ONEBIT_0 has what the public headers declare with OB_API and the objects define. ONEBIT_PRIVATE_<version> of libonebit.so has what the
# objects of libonebit_train.so take from it besides. Nothing else leaves.

cmake_minimum_required(VERSION 3.25)

# symbols(VARIABLE library option...): the names that nm lists.
function(symbols variable library)
  file(STRINGS ${DIRECTORY}/${library}.objects objects)
  execute_process(COMMAND ${NM} -P ${ARGN} ${objects} OUTPUT_VARIABLE lines RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${NM} cannot read the objects of ${library}")
  endif()
  string(REGEX MATCHALL "(^|\n)(ob|obi|ref)_[a-zA-Z0-9_]+ " names "${lines}")
  list(TRANSFORM names STRIP)
  list(REMOVE_DUPLICATES names)
  list(SORT names)
  set(${variable} ${names} PARENT_SCOPE)
endfunction()

set(declared "")
file(GLOB headers ${INCLUDE}/onebit/*.h)
foreach(header IN LISTS headers)
  file(READ ${header} text)
  string(REGEX MATCHALL "\nOB_API [^(]*[ *]ob_[a-z0-9_]+\\(" found "${text}")
  list(TRANSFORM found REPLACE ".*[ *\n](ob_[a-z0-9_]+)\\($" "\\1")
  list(APPEND declared ${found})
endforeach()

function(write_map library private_node)
  symbols(defined ${library} --defined-only --extern-only)
  set(public "")
  foreach(name IN LISTS defined)
    if(name IN_LIST declared)
      string(APPEND public "    ${name};\n")
    endif()
  endforeach()
  set(text "ONEBIT_0 {\n  global:\n${public}  local: *;\n};\n")
  if(private_node)
    symbols(wanted onebit_train --undefined-only)
    string(APPEND text "${private_node} {\n  global:\n")
    foreach(name IN LISTS wanted)
      if(name IN_LIST defined AND NOT name IN_LIST declared)
        string(APPEND text "    ${name};\n")
      endif()
    endforeach()
    string(APPEND text "};\n")
  endif()
  file(WRITE ${DIRECTORY}/${library}.map "${text}")
endfunction()
write_map(onebit ONEBIT_PRIVATE_${VERSION})
write_map(onebit_train "")
