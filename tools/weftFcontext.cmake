# weft::fcontext: the library that has Boost.Context's jump_fcontext and
# make_fcontext.  Weft's build includes this, and so does its installed package,
# since whoever links the static library links these two as well.  The archive is
# preferred: a switch is then no call through a PLT.
if(NOT TARGET weft::fcontext)
    find_library(WEFT_FCONTEXT_LIBRARY
                 NAMES libboost_context.a libboost_context-mt.a boost_context boost_context-mt)
    mark_as_advanced(WEFT_FCONTEXT_LIBRARY)
    if(WEFT_FCONTEXT_LIBRARY)
        add_library(weft::fcontext UNKNOWN IMPORTED)
        set_target_properties(weft::fcontext PROPERTIES IMPORTED_LOCATION ${WEFT_FCONTEXT_LIBRARY})
    endif()
endif()
