# A room is a folder of src/, one static library skep_<room>, one test program test_<room>.
# It may include only the rooms it names in DEPS (and, through them, theirs): check_layers.cmake
# refuses any other include at build time.

add_library(skep_options INTERFACE)
target_compile_options(skep_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wcast-qual
  -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -Wextra-semi
  -Wno-gnu-statement-expression-from-macro-expansion
  -Werror=switch -Werror=return-type -Werror=unused-result
  $<$<CXX_COMPILER_ID:Clang>:-Wno-c99-designator -Wno-missing-designated-field-initializers
    -Wno-gnu-label-as-value -Wno-gnu-statement-expression -Wno-unknown-warning-option>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers>)
if(SKEP_WERROR)
  target_compile_options(skep_options INTERFACE -Werror)
endif()
if(SKEP_SANITIZE)
  target_compile_options(skep_options INTERFACE -fsanitize=address,undefined
    -fno-sanitize=vptr -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(skep_options INTERFACE -fsanitize=address,undefined)
endif()
if(SKEP_TSAN)
  target_compile_options(skep_options INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(skep_options INTERFACE -fsanitize=thread)
  # clang says it by a feature, g++ by a macro; base/rcu.cpp must know.
  target_compile_definitions(skep_options INTERFACE SKEP_THREAD_SANITIZER)
endif()
if(SKEP_FUZZ)
  target_compile_options(skep_options INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(skep_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
target_include_directories(skep_options INTERFACE ${PROJECT_SOURCE_DIR}/src
                           ${PROJECT_SOURCE_DIR}/include)

# Tests may narrow numbers, and are not optimised, which compiles in half the time, with a sanitizer in a third
# of it; what they test is optimised as it is shipped. -fPIE and the definition: as for a program with gtest, so that
# all test code can share one precompiled header.
set(skep_test_flags -Wno-sign-conversion -Wno-conversion -O0 -fPIE -DGTEST_HAS_PTHREAD=1)

# The headers nearly every file needs, compiled once for the rooms below the seam, once for those above
# it, once for the tests: it halves a build.
function(skep_pch kind header)
  file(WRITE ${CMAKE_BINARY_DIR}/pch_${kind}.cpp.in "")
  configure_file(${CMAKE_BINARY_DIR}/pch_${kind}.cpp.in ${CMAKE_BINARY_DIR}/pch_${kind}.cpp COPYONLY)
  add_library(skep_pch_${kind} OBJECT ${CMAKE_BINARY_DIR}/pch_${kind}.cpp)
  target_link_libraries(skep_pch_${kind} PRIVATE skep_options fmt::fmt)
  target_compile_options(skep_pch_${kind} PRIVATE ${ARGN} -Winvalid-pch)
  target_precompile_headers(skep_pch_${kind} PRIVATE ${header})
endfunction()
if(SKEP_PCH)
  # With precompiled headers g++ 12 sees std::string's inline code without its system-header mark and warns
  # falsely about its bounds; clang and the sanitizers look there instead.
  target_compile_options(skep_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds -Wno-stringop-overflow
    -Wno-stringop-overread> $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>)
  # What ccache needs to see through a precompiled header, with each compiler.
  target_compile_options(skep_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>
    $<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>)
  find_package(fmt REQUIRED)
  target_link_libraries(skep_options INTERFACE fmt::fmt)
  skep_pch(below ${PROJECT_SOURCE_DIR}/src/base/pch.hpp -fno-exceptions -fno-rtti)
  skep_pch(above ${PROJECT_SOURCE_DIR}/src/base/pch.hpp)
  if(SKEP_TESTS)
    skep_pch(tests ${PROJECT_SOURCE_DIR}/tests/pch.hpp ${skep_test_flags})
  endif()
endif()

# skep_room(<name> [BELOW] [DEPS room...] [LIBS target...])
#   BELOW  the room lies below the seam: compiled without exceptions and RTTI.
function(skep_room name)
  cmake_parse_arguments(R "BELOW" "" "DEPS;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/(main|exports)\\.cpp$")
  if(NOT sources)  # a room of headers only
    set(sources ${CMAKE_CURRENT_BINARY_DIR}/empty.cpp)
    file(GENERATE OUTPUT ${sources} CONTENT "")
  endif()
  add_library(skep_${name} STATIC ${sources})
  target_link_libraries(skep_${name} PUBLIC skep_options ${R_LIBS})
  foreach(dep ${R_DEPS})
    target_link_libraries(skep_${name} PUBLIC skep_${dep})
  endforeach()
  if(R_BELOW)
    target_compile_options(skep_${name} PRIVATE -fno-exceptions -fno-rtti)
  endif()
  if(SKEP_PCH)
    if(R_BELOW)
      target_precompile_headers(skep_${name} REUSE_FROM skep_pch_below)
    else()
      target_precompile_headers(skep_${name} REUSE_FROM skep_pch_above)
    endif()
  endif()
  set_property(GLOBAL APPEND PROPERTY SKEP_ROOMS ${name})
  set_property(GLOBAL PROPERTY SKEP_ROOM_DEPS_${name} "${R_DEPS}")
  add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/layers.stamp
    COMMAND ${CMAKE_COMMAND} -DROOM=${name} "-DDEPS=${R_DEPS}" -DDIR=${CMAKE_CURRENT_SOURCE_DIR}
            -DSTAMP=${CMAKE_CURRENT_BINARY_DIR}/layers.stamp -DSRC=${PROJECT_SOURCE_DIR}/src
            -P ${PROJECT_SOURCE_DIR}/cmake/check_layers.cmake
    DEPENDS ${sources} ${PROJECT_SOURCE_DIR}/cmake/check_layers.cmake VERBATIM)
  add_custom_target(layers_${name} DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/layers.stamp)
  add_dependencies(skep_${name} layers_${name})
endfunction()

# skep_test_code(<target>): the target's files are tests, and include each other by their folders' names. After
# target_link_libraries(): its options must have the last word.
add_library(skep_test_options INTERFACE)
target_compile_options(skep_test_options INTERFACE ${skep_test_flags})
function(skep_test_code target)
  target_link_libraries(${target} PRIVATE skep_test_options)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  if(SKEP_PCH)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)  # it would say -fPIC of libraries
    target_precompile_headers(${target} REUSE_FROM skep_pch_tests)
  endif()
endfunction()

# skep_room_tests(<name> [LIBS target...]): test_<name> from this folder's *_test.cpp
function(skep_room_tests name)
  cmake_parse_arguments(T "" "" "LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_link_libraries(test_${name} PRIVATE skep_${name} ${T_LIBS} GTest::gtest GTest::gmock GTest::gtest_main)
  skep_test_code(test_${name})
  target_compile_definitions(test_${name} PRIVATE
    SKEP_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden" SKEP_TEST_DIR="${PROJECT_SOURCE_DIR}/tests"
    SKEP_BUILD_DIR="${CMAKE_BINARY_DIR}")
  gtest_discover_tests(test_${name} TEST_PREFIX ${name}/ DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 300)
endfunction()
