# cmake --install: the program and what it reads. `cpack` in the build folder makes a .deb and a .tar.gz.
include(GNUInstallDirs)
set(share ${CMAKE_INSTALL_DATADIR}/proctor)
install(TARGETS proctor RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY env/suites DESTINATION ${share}/env PATTERN "__pycache__" EXCLUDE)
install(DIRECTORY examples docs DESTINATION ${share})
install(FILES README.md LICENSE CHANGELOG.md DESTINATION ${share})
# What generates the data that suites name (the corpus, tasks, the sandbox's Python packages).
file(GLOB data_scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/scripts/make_*
     ${CMAKE_SOURCE_DIR}/scripts/fetch_* ${CMAKE_SOURCE_DIR}/scripts/requirements*.txt
     ${CMAKE_SOURCE_DIR}/scripts/lib.sh)
install(PROGRAMS ${data_scripts} DESTINATION ${share}/scripts)

set(CPACK_PACKAGE_NAME proctor)
set(CPACK_PACKAGE_VENDOR "The proctor authors")
set(CPACK_PACKAGE_CONTACT "${CPACK_PACKAGE_VENDOR}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "runs LLM agents and supervises how they work")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR "DEB;TGZ")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3, python3-venv, g++, dict-foldoc")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
include(CPack)
