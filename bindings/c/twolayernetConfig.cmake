# find_package(twolayernet) gives the targets twolayernet::twolayernet (shared) and
# twolayernet::static. Paths are relative to this file, so that the installed tree can be moved.

get_filename_component(_tln_lib "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
get_filename_component(_tln_include "${_tln_lib}/../include" ABSOLUTE)

if(NOT TARGET twolayernet::twolayernet)
  add_library(twolayernet::twolayernet SHARED IMPORTED)
  set_target_properties(twolayernet::twolayernet PROPERTIES
    IMPORTED_LOCATION "${_tln_lib}/libtwolayernet.so"
    INTERFACE_INCLUDE_DIRECTORIES "${_tln_include}")
endif()

if(NOT TARGET twolayernet::static)
  add_library(twolayernet::static STATIC IMPORTED)
  set_target_properties(twolayernet::static PROPERTIES
    IMPORTED_LOCATION "${_tln_lib}/libtwolayernet.a"
    IMPORTED_LINK_INTERFACE_LANGUAGES "C"
    INTERFACE_LINK_LIBRARIES "z;m;pthread"
    INTERFACE_INCLUDE_DIRECTORIES "${_tln_include}")
endif()

unset(_tln_lib)
unset(_tln_include)
