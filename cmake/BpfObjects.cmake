# skep_bpf_objects(<target> <out var> source.bpf.c...): compiles BPF C with clang as users do
# (-target bpf -g -O2), into ${CMAKE_CURRENT_BINARY_DIR}; <target> builds them all, <out var> lists them.
find_program(SKEP_BPF_CLANG NAMES clang-19 clang)
function(skep_bpf_objects target out)
  set(objects "")
  if(NOT SKEP_BPF_CLANG)
    message(FATAL_ERROR "the tests need clang with the bpf target (Debian: clang-19)")
  endif()
  foreach(source ${ARGN})
    get_filename_component(path ${source} ABSOLUTE)
    get_filename_component(name ${source} NAME)
    string(REGEX REPLACE "\\.c$" ".o" name ${name})
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name})
    get_filename_component(dir ${path} DIRECTORY)
    add_custom_command(OUTPUT ${object}
      COMMAND ${SKEP_BPF_CLANG} -target bpf -g -O2 -Wall -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
              -c ${path} -o ${object}
      DEPENDS ${path} WORKING_DIRECTORY ${dir} VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  add_custom_target(${target} DEPENDS ${objects})
  set(${out} ${objects} PARENT_SCOPE)
endfunction()
