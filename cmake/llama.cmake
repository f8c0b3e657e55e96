# Gives the target proctor_llama (policies/llama_*.cpp over libllama), or none and says why.
#
# An installed libllama is taken when it has the interface we use; else the source that
# scripts/fetch_llama.sh put into .deps is built once, outside the build folders, for all presets.
# The library is never instrumented: sanitizers look at our side of it only.
set(llama_source ${PROCTOR_DEPS}/llama.cpp)
set(llama_library "")

find_package(llama CONFIG QUIET)
if(llama_FOUND AND NOT PROCTOR_CUDA)
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
  try_compile(PROCTOR_LLAMA_FITS ${CMAKE_BINARY_DIR}/llama_fits
    SOURCES ${CMAKE_SOURCE_DIR}/cmake/llama_fits.cpp
    CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${LLAMA_INCLUDE_DIR}")
  unset(CMAKE_TRY_COMPILE_TARGET_TYPE)
  if(PROCTOR_LLAMA_FITS)
    set(llama_library llama)
    message(STATUS "embedded model: installed libllama in ${LLAMA_LIB_DIR}")
  else()
    message(STATUS "embedded model: the installed libllama has another interface, building our own")
  endif()
endif()

if(NOT llama_library AND EXISTS ${llama_source}/FETCHED)
  if(PROCTOR_CUDA)
    set(llama_prefix ${PROCTOR_DEPS}/llama-cuda)
    set(llama_options -DGGML_CUDA=ON -DGGML_NATIVE=OFF)
    if(CMAKE_CUDA_ARCHITECTURES)
      list(APPEND llama_options "-DCMAKE_CUDA_ARCHITECTURES=${CMAKE_CUDA_ARCHITECTURES}")
    endif()
  else()
    # -march=native showed no clear gain here (single runs, within their noise), and its binaries
    # stay on one machine.
    set(llama_prefix ${PROCTOR_DEPS}/llama-cpu)
    set(llama_options -DGGML_NATIVE=OFF)
  endif()
  set(llama_archives llama ggml ggml-cpu)
  if(PROCTOR_CUDA)
    # CMake 3.25 asks for nvToolsExt, which CUDA 13 no longer has, in projects written for 3.25.
    set(CMAKE_MINIMUM_REQUIRED_VERSION 3.24)
    find_package(CUDAToolkit REQUIRED)
    set(CMAKE_MINIMUM_REQUIRED_VERSION 3.25)
    list(APPEND llama_archives ggml-cuda)
  endif()
  list(APPEND llama_archives ggml-base)
  list(TRANSFORM llama_archives PREPEND ${llama_prefix}/lib/lib)
  list(TRANSFORM llama_archives APPEND .a)

  add_custom_command(OUTPUT ${llama_archives}
    COMMAND ${CMAKE_SOURCE_DIR}/scripts/build_llama.sh ${llama_prefix} ${llama_options}
    DEPENDS ${llama_source}/FETCHED ${CMAKE_SOURCE_DIR}/scripts/build_llama.sh
    COMMENT "Building llama.cpp (once, for all presets)" USES_TERMINAL VERBATIM)
  add_custom_target(proctor_llama_build DEPENDS ${llama_archives})
  add_library(proctor_llama_library INTERFACE)
  target_include_directories(proctor_llama_library SYSTEM INTERFACE
    ${llama_source}/include ${llama_source}/ggml/include)
  target_link_libraries(proctor_llama_library INTERFACE ${llama_archives} Threads::Threads
    ${CMAKE_DL_LIBS} $<$<BOOL:${PROCTOR_CUDA}>:CUDA::cudart>
    $<$<BOOL:${PROCTOR_CUDA}>:CUDA::cublas> $<$<BOOL:${PROCTOR_CUDA}>:CUDA::cuda_driver>)
  target_compile_definitions(proctor_llama_library INTERFACE PROCTOR_LLAMA_VENDORED)
  set(llama_library proctor_llama_library)
  message(STATUS "embedded model: llama.cpp from ${llama_source}")
endif()

if(NOT llama_library)
  message(STATUS "embedded model: left out, since there is no libllama and no source in "
                 "${llama_source}; scripts/setup (or scripts/fetch_llama.sh) fetches it")
  return()
endif()

file(GLOB llama_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/policies/llama_*.cpp)
add_library(proctor_llama OBJECT ${llama_sources})
target_link_libraries(proctor_llama PUBLIC proctor_options ${llama_library})
# A pass over the whole vocabulary for every token: unoptimised it costs as much as the model.
set_source_files_properties(${CMAKE_SOURCE_DIR}/policies/llama_sampler.cpp PROPERTIES
  COMPILE_OPTIONS "-O3;-fno-math-errno;-fno-trapping-math")
if(TARGET proctor_llama_build)
  add_dependencies(proctor_llama proctor_llama_build)
endif()
