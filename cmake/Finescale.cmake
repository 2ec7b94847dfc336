# SPDX-License-Identifier: Apache-2.0
# -Wno-restrict: GCC 12 reports std::string + const char* wrongly (GCC bug 105651).
# finescale_library(NAME SOURCES... LIBS...): one static library per folder with the project's warnings. The link lists
# state the layer table of docs/architecture.md; scripts/check_layers checks the includes.
add_library(finescale_flags INTERFACE)
target_compile_options(finescale_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow>
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>
  $<$<COMPILE_LANGUAGE:CXX>:-Werror=switch -Werror=return-type>)
target_include_directories(finescale_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_include_directories(finescale_flags SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/generated)  # protoc's code shadows names
target_compile_definitions(finescale_flags INTERFACE
  FINESCALE_VERSION="${PROJECT_VERSION}" OMPI_SKIP_MPICXX=1)
if(FINESCALE_HAVE_CUDA)
  target_compile_definitions(finescale_flags INTERFACE FINESCALE_HAVE_CUDA=1)
endif()
if(FINESCALE_SANITIZE)
  target_compile_options(finescale_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${FINESCALE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all>)
  target_link_options(finescale_flags INTERFACE -fsanitize=${FINESCALE_SANITIZE})
endif()

# Only these sources know where the tree lies: the others compile to the same object in every clone, which ccache uses.
function(finescale_knows_source_dir)
  set_source_files_properties(${ARGV} PROPERTIES COMPILE_DEFINITIONS FINESCALE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
endfunction()

# Most of what compiling a source costs are its headers, which sources that are compiled together read once. Not for
# kernels, which are compiled for each instruction set, nor where the headers are light.
function(finescale_unity name)
  if(FINESCALE_UNITY AND NOT name MATCHES "_(core|comm|kernels|sharding|planner)$")
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    # A function that another file's of the same name has hidden.
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Werror=unused-function>)
  endif()
endfunction()

function(finescale_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS;PRIVATE_LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC finescale_flags ${ARG_LIBS} PRIVATE ${ARG_PRIVATE_LIBS})
  finescale_unity(${name})
endfunction()

# finescale_proto(NAME PROTOS... [GRPC] [LIBS...]): generates into build/generated, includes by full path from the root.
function(finescale_proto name)
  cmake_parse_arguments(ARG "GRPC" "" "PROTOS;LIBS" ${ARGN})
  set(outputs)
  set(grpc_flags)
  if(ARG_GRPC)
    set(grpc_flags --grpc_out=${CMAKE_BINARY_DIR}/generated --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>)
  endif()
  foreach(proto ${ARG_PROTOS})
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(files ${CMAKE_BINARY_DIR}/generated/${stem}.pb.cc ${CMAKE_BINARY_DIR}/generated/${stem}.pb.h)
    if(ARG_GRPC)
      list(APPEND files ${CMAKE_BINARY_DIR}/generated/${stem}.grpc.pb.cc ${CMAKE_BINARY_DIR}/generated/${stem}.grpc.pb.h)
    endif()
    add_custom_command(OUTPUT ${files}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/generated
      COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR} --cpp_out=${CMAKE_BINARY_DIR}/generated ${grpc_flags} ${proto}
      DEPENDS ${CMAKE_SOURCE_DIR}/${proto} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
    list(APPEND outputs ${files})
  endforeach()
  add_library(${name} STATIC ${outputs})
  target_include_directories(${name} SYSTEM PUBLIC ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf ${ARG_LIBS})
  if(ARG_GRPC)
    target_link_libraries(${name} PUBLIC gRPC::grpc++)
  endif()
  if(FINESCALE_SANITIZE)
    target_compile_options(${name} PRIVATE -fsanitize=${FINESCALE_SANITIZE})
  endif()
endfunction()

# finescale_test(FOLDER LABEL unit LIBS ...): every *_test.cpp of tests/<folder> in one binary, one ctest entry per TEST.
function(finescale_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;LIBS;ENVIRONMENT" ${ARGN})
  if(NOT ARG_SOURCES)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE finescale_flags ${ARG_LIBS} GTest::gtest_main GTest::gmock)
  if(ARG_LABEL MATCHES "^unit")
    finescale_unity(${name})
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "GOMP_SPINCOUNT=1000;${ARG_ENVIRONMENT}")
endfunction()

# finescale_mpi_test(NAME RANKS 1 2 4 SOURCES ... LIBS ...): one ctest entry per rank count, run by mpirun.
function(finescale_mpi_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBS;RANKS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 180)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE finescale_flags ${ARG_LIBS} MPI::MPI_C GTest::gtest GTest::gmock)
  foreach(ranks ${ARG_RANKS})
    add_test(NAME ${name}.${ranks}_ranks COMMAND ${MPIEXEC_EXECUTABLE} -n ${ranks} $<TARGET_FILE:${name}>)
    set_tests_properties(${name}.${ranks}_ranks PROPERTIES LABELS mpi TIMEOUT ${ARG_TIMEOUT} PROCESSORS ${ranks}
      ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_rmaps_base_oversubscribe=1;OMPI_MCA_mpi_yield_when_idle=1;OMPI_MCA_hwloc_base_binding_policy=none;OMPI_MCA_io=romio321;OMP_NUM_THREADS=1;GOMP_SPINCOUNT=1000")
  endforeach()
endfunction()
