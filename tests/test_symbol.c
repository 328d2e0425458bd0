/* test_symbol.c - an address is named by its function and module, and never wrongly */
#include "support.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "symbol.h"

/* No export has this name, so only the full symbol table knows it. */
static noinline int some_static_function(int n)
{
    __asm__ volatile("nop\n nop\n nop\n nop\n nop\n nop" : "+r"(n)); /* not too short for an offset of 5 */
    return n;
}

static const char *static_code(unsigned offset)
{
    return (const char *)(uintptr_t)some_static_function + offset;
}

static char text[512], wanted[8192];

/* What is added to the offsets in the address's module. */
static uintptr_t base_of(const void *address)
{
    Dl_info info;

    return dladdr(address, &info) ? (uintptr_t)info.dli_fbase : 0;
}

/* Of an executable that is not position-independent the offsets are addresses. */
static uintptr_t offset_in_program(const void *address)
{
    extern const char __executable_start[];
    uintptr_t         base = (uintptr_t)__executable_start;

#if defined(__PIE__)
    return (uintptr_t)address - base;
#else
    (void)base;
    return (uintptr_t)address;
#endif
}

static const char *program_name(void)
{
    static char name[4096];
    ssize_t     n = readlink("/proc/self/exe", name, sizeof name - 1);

    name[n < 0 ? 0 : n] = 0;
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

/* ---- in this program --------------------------------------------------------------- */

static void static_function_is_named(void **state)
{
    (void)state;
    const char *program = program_name();

    symbol_describe(static_code(0), text, sizeof text);
    snprintf(wanted, sizeof wanted, "some_static_function (%s+0x%zx)", program, offset_in_program(static_code(0)));
    assert_string_equal(text, wanted);
    symbol_describe(static_code(5), text, sizeof text);
    snprintf(wanted, sizeof wanted, "some_static_function+0x5 (%s+0x%zx)", program, offset_in_program(static_code(5)));
    assert_string_equal(text, wanted);
}

/* Labels of assembly are functions that are exactly so long. */
__asm__(".text\n"
        ".type three_bytes,@function\n"
        "three_bytes:\n"
        "    .byte 0, 0, 0\n"
        ".size three_bytes,.-three_bytes\n"
        "    .byte 0, 0\n"
        ".globl five_bytes_globally\n"
        ".type five_bytes,@function\n"
        ".type five_bytes_globally,@function\n"
        "five_bytes:\n"
        "five_bytes_globally:\n"
        "    .byte 0, 0, 0, 0, 0\n"
        ".size five_bytes,.-five_bytes\n"
        ".size five_bytes_globally,.-five_bytes_globally\n");
extern const char five_bytes_globally[];

static void code_outside_of_functions_has_no_name(void **state)
{
    (void)state;
    const char *at = (const char *)((uintptr_t)five_bytes_globally - 5);

    symbol_describe(at + 2, text, sizeof text);
    snprintf(wanted, sizeof wanted, "three_bytes+0x2 (%s+0x%zx)", program_name(), offset_in_program(at + 2));
    assert_string_equal(text, wanted);
    for (unsigned offset = 3; offset < 5; offset++) {
        symbol_describe(at + offset, text, sizeof text);
        snprintf(wanted, sizeof wanted, "%s+0x%zx", program_name(), offset_in_program(at + offset));
        assert_string_equal(text, wanted);
    }
}

static void global_name_is_preferred(void **state)
{
    (void)state;
    symbol_describe(five_bytes_globally + 4, text, sizeof text);
    assert_ptr_equal(strstr(text, "five_bytes_globally+0x4 ("), text);
}

/* ---- elsewhere --------------------------------------------------------------------- */

static void function_of_a_library_is_named(void **state)
{
    (void)state;
    void       *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    const char *code = libc ? dlsym(libc, "qsort") : NULL;

    assert_non_null(code);
    symbol_describe(code + 1, text, sizeof text);
    snprintf(wanted, sizeof wanted, "qsort+0x1 (libc.so.6+0x%zx)", (size_t)((uintptr_t)code + 1 - base_of(code)));
    assert_string_equal(text, wanted);
    dlclose(libc);
}

static void address_of_no_module_is_a_number(void **state)
{
    (void)state;
    char       *heap = malloc(1);
    const void *addresses[] = {NULL, (void *)9, (void *)16, heap, (void *)((uintptr_t)1 << 46), (void *)-1};

    for (size_t i = 0; i < TEST_LENGTH(addresses); i++) {
        symbol_describe(addresses[i], text, sizeof text);
        snprintf(wanted, sizeof wanted, "0x%zx", (size_t)addresses[i]);
        assert_string_equal(text, wanted);
    }
    free(heap);
}

static void text_is_cut_short_to_fit(void **state)
{
    (void)state;
    symbol_describe(static_code(5), wanted, sizeof wanted);
    for (size_t size = 1; size <= strlen(wanted) + 2; size++) {
        char *exact = malloc(size); /* of exactly that size, for AddressSanitizer */
        assert_non_null(exact);
        symbol_describe(static_code(5), exact, size);
        assert_int_equal(strlen(exact), size - 1 < strlen(wanted) ? size - 1 : strlen(wanted));
        assert_memory_equal(exact, wanted, strlen(exact));
        free(exact);
    }
    text[0] = 'x';
    symbol_describe(static_code(5), text, 0);
    assert_int_equal(text[0], 'x');
}

static void nothing_is_held(void **state)
{
    (void)state;
    struct test_census before, after;

    test_census(&before);
    for (unsigned i = 0; i < 10; i++) {
        symbol_describe(static_code(i), text, sizeof text);
        symbol_describe((void *)(uintptr_t)i, text, sizeof text);
    }
    test_census(&after);
    assert_int_equal(before.descriptors, after.descriptors);
    assert_int_equal(before.mappings, after.mappings);
}

/* ---- files that come and go -------------------------------------------------------- */

static char place[] = "/tmp/weft-symbol-XXXXXX";

static int make_place(void **state)
{
    (void)state;
    return mkdtemp(place) ? 0 : -1;
}

static int remove_place(void **state)
{
    (void)state;
    char command[64];

    snprintf(command, sizeof command, "rm -r %s", place);
    return system(command);
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[65536];
    ssize_t     n;
    int         in = open(from, O_RDONLY | O_CLOEXEC);
    int         out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, bytes, sizeof bytes)) > 0) assert_int_equal(write(out, bytes, (size_t)n), n);
    assert_int_equal(n, 0);
    close(in);
    close(out);
}

/* Runs the command in that place and returns its first line of output. */
static const char *output_of(const char *command)
{
    static char line[512], whole[512];

    snprintf(whole, sizeof whole, "cd %s && %s", place, command);
    FILE *file = popen(whole, "r");
    assert_non_null(file);
    if (!fgets(line, sizeof line, file)) line[0] = 0;
    int status = pclose(file);
    if (status != 0) print_error("%s: status %d, said: %s\n", command, status, line);
    assert_int_equal(status, 0);
    return line;
}

static int describe_here(void)
{
    symbol_describe(static_code(5), text, sizeof text);
    return puts(text) < 0;
}

static int describe_after_removal(void)
{
    char name[4096];

    name[readlink("/proc/self/exe", name, sizeof name - 1)] = 0;
    return unlink(name) ? 1 : describe_here();
}

static void stripped_program_has_offsets_only(void **state)
{
    (void)state;
    char copy[64];

    if (system("command -v strip >/dev/null") != 0) skip();
    snprintf(copy, sizeof copy, "%s/copy", place);
    copy_file("/proc/self/exe", copy);
    snprintf(wanted, sizeof wanted, "copy+0x%zx\n", offset_in_program(static_code(5)));
    assert_string_equal(output_of("strip copy && ./copy describe_here"), wanted);
    unlink(copy);
}

/* By a name that the shell found, or by none that is a file's. */
static void program_is_found_whatever_it_was_called(void **state)
{
    (void)state;
    char copy[64];

    snprintf(copy, sizeof copy, "%s/copy", place);
    copy_file("/proc/self/exe", copy);
    snprintf(wanted, sizeof wanted, "some_static_function+0x5 (copy+0x%zx)\n", offset_in_program(static_code(5)));
    assert_string_equal(output_of("./copy describe_here"), wanted);
    assert_string_equal(output_of("PATH=$PWD copy describe_here"), wanted);
    const char *said = output_of("./copy describe_after_removal");
    assert_ptr_equal(strstr(said, "some_static_function+0x5 (copy"), said);
    assert_int_equal(access(copy, F_OK), -1);
}

/* Another file has the name of the library by now, as after an upgrade: its names would be wrong. */
static void replaced_library_is_not_asked(void **state)
{
    (void)state;
    char    library[64], other[64];
    Dl_info info;

    snprintf(library, sizeof library, "%s/library.so", place);
    snprintf(other, sizeof other, "%s/other", place);
    if (!dladdr(dlsym(RTLD_NEXT, "_cmocka_run_group_tests"), &info)) skip(); /* linked in */
    copy_file(info.dli_fname, library);
    void       *loaded = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
    const char *code = loaded ? dlsym(loaded, "_cmocka_run_group_tests") : NULL;
    assert_non_null(code);

    size_t offset = (uintptr_t)code + 1 - base_of(code);
    symbol_describe(code + 1, text, sizeof text);
    snprintf(wanted, sizeof wanted, "_cmocka_run_group_tests+0x1 (library.so+0x%zx)", offset);
    assert_string_equal(text, wanted);

    snprintf(wanted, sizeof wanted, "library.so+0x%zx", offset);
    copy_file("/proc/self/exe", other);
    assert_int_equal(rename(other, library), 0);
    symbol_describe(code + 1, text, sizeof text);
    assert_string_equal(text, wanted);

    assert_int_equal(truncate(library, 70), 0);
    symbol_describe(code + 1, text, sizeof text);
    assert_string_equal(text, wanted);
    unlink(library);
    symbol_describe(code + 1, text, sizeof text);
    assert_string_equal(text, wanted);
    dlclose(loaded);
}

int main(int argc, char **argv)
{
    const struct test_part  parts[] = {{"describe_here", describe_here},
                                       {"describe_after_removal", describe_after_removal}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static_function_is_named),
        cmocka_unit_test(code_outside_of_functions_has_no_name),
        cmocka_unit_test(global_name_is_preferred),
        cmocka_unit_test(function_of_a_library_is_named),
        cmocka_unit_test(address_of_no_module_is_a_number),
        cmocka_unit_test(text_is_cut_short_to_fit),
        cmocka_unit_test(nothing_is_held),
        cmocka_unit_test(stripped_program_has_offsets_only),
        cmocka_unit_test(program_is_found_whatever_it_was_called),
        cmocka_unit_test(replaced_library_is_not_asked),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    some_static_function(argc);
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
