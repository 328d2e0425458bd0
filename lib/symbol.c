#define _GNU_SOURCE
#include "symbol.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

/* On the stack, which may be a signal's. */
#define BUFFER_BYTES 1024

/* ---- text ------------------------------------------------------------------ */

struct text {
    char *at, *end; /* *end is the room for the final 0 */
};

static void put(struct text *t, const char *string)
{
    while (*string && t->at < t->end) *t->at++ = *string++;
}

static void put_hex(struct text *t, uintptr_t value)
{
    int shift = 0;
    while (shift + 4 < (int)sizeof value * 8 && value >> (shift + 4)) shift += 4;
    put(t, "0x");
    for (; shift >= 0; shift -= 4) put(t, (char[]){"0123456789abcdef"[value >> shift & 15], 0});
}

/* ---- the module ------------------------------------------------------------ */

/* NULL: the address is in none. */
static const struct link_map *module_of(const void *address)
{
#if __GLIBC_PREREQ(2, 35)
    struct dl_find_object found;
    return _dl_find_object((void *)address, &found) == 0 ? found.dlfo_link_map : NULL;
#else
    /* Takes the loader's lock, but for a moment only, and as often as its holder likes. */
    Dl_info          info;
    struct link_map *map;
    return dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP) ? map : NULL;
#endif
}

/* The loader has no name for the program itself. */
static const char *file_of(const struct link_map *module)
{
    return module->l_name[0] ? module->l_name : "/proc/self/exe";
}

static void put_module(struct text *t, const struct link_map *module)
{
    char        link[BUFFER_BYTES];
    const char *name = module->l_name;
    if (!name[0]) {
        ssize_t n = readlink(file_of(module), link, sizeof link - 1);
        link[max_of(n, 0)] = 0;
        name = link;
    }
    const char *slash = strrchr(name, '/');
    put(t, slash ? slash + 1 : name);
}

/* ---- its symbols ----------------------------------------------------------- */

static bool read_at(int fd, void *into, size_t size, Elf64_Off offset)
{
    return pread(fd, into, size, (off_t)offset) == (ssize_t)size;
}

/* Whether the file is the one that was loaded, and not another that has its name by now: its dynamic section
 * lies where the module has it.  Only a static program has none, and that is not found by its name. */
static bool is_loaded_from(const struct link_map *module, int fd, const Elf64_Ehdr *file)
{
    for (unsigned i = 0; i < file->e_phnum; i++) {
        Elf64_Phdr segment;
        if (!read_at(fd, &segment, sizeof segment, file->e_phoff + i * sizeof segment)) return false;
        if (segment.p_type == PT_DYNAMIC) return module->l_addr + segment.p_vaddr == (uintptr_t)module->l_ld;
    }
    return !module->l_name[0];
}

struct symbol {
    Elf64_Sym entry; /* st_name 0: none was found */
    Elf64_Off names; /* the table that its name is in */
};

static bool is_better(const Elf64_Sym *s, const Elf64_Sym *than)
{
    if (!than->st_name || s->st_value != than->st_value) return !than->st_name || s->st_value > than->st_value;
    return ELF64_ST_BIND(s->st_info) == STB_GLOBAL && ELF64_ST_BIND(than->st_info) != STB_GLOBAL;
}

/* The function around `at`, if the table has one that is better than what was found. */
static void search_table(int fd, const Elf64_Shdr *table, Elf64_Off names, Elf64_Addr at, struct symbol *found)
{
    Elf64_Sym some[BUFFER_BYTES / sizeof(Elf64_Sym)];
    for (Elf64_Xword done = 0; done < table->sh_size;) {
        size_t  most = min_of(sizeof some, table->sh_size - done);
        ssize_t got = pread(fd, some, most, (off_t)(table->sh_offset + done));
        if (got < (ssize_t)sizeof *some) return;
        size_t count = (size_t)got / sizeof *some;
        for (size_t i = 0; i < count; i++) {
            const Elf64_Sym *s = &some[i];
            if (ELF64_ST_TYPE(s->st_info) != STT_FUNC && ELF64_ST_TYPE(s->st_info) != STT_GNU_IFUNC) continue;
            if (at - s->st_value >= s->st_size) continue; /* what is elsewhere has no size */
            if (is_better(s, &found->entry)) *found = (struct symbol){*s, names};
        }
        done += count * sizeof *some;
    }
}

/* Looks through all tables of the file: a stripped one still has what it exports. */
static void search_file(int fd, const Elf64_Ehdr *file, Elf64_Addr at, struct symbol *found)
{
    for (unsigned i = 0; i < file->e_shnum; i++) {
        Elf64_Shdr table, names;
        if (!read_at(fd, &table, sizeof table, file->e_shoff + i * sizeof table)) return;
        if (table.sh_type != SHT_SYMTAB && table.sh_type != SHT_DYNSYM) continue;
        if (!read_at(fd, &names, sizeof names, file->e_shoff + table.sh_link * sizeof names)) return;
        search_table(fd, &table, names.sh_offset, at, found);
    }
}

/* The name of the function around `at`, and how far into it that is; or nothing. */
static void put_function(struct text *t, int fd, const struct link_map *module, Elf64_Addr at)
{
    Elf64_Ehdr file;
    if (!read_at(fd, &file, sizeof file, 0) || memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 ||
        file.e_ident[EI_CLASS] != ELFCLASS64 || !is_loaded_from(module, fd, &file))
        return;
    struct symbol found = {.entry.st_name = 0};
    search_file(fd, &file, at, &found);
    if (!found.entry.st_name) return;
    char    name[BUFFER_BYTES];
    ssize_t n = pread(fd, name, sizeof name - 1, (off_t)(found.names + found.entry.st_name));
    if (n <= 0) return;
    name[n] = 0;
    put(t, name);
    if (at > found.entry.st_value) {
        put(t, "+");
        put_hex(t, at - found.entry.st_value);
    }
}

void symbol_describe(const void *address, char *text, size_t size)
{
    if (size == 0) return;
    struct text            t = {text, text + size - 1};
    const struct link_map *module = module_of(address);
    if (module) {
        uintptr_t at = (uintptr_t)address - module->l_addr;
        int       fd = open(file_of(module), O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            put_function(&t, fd, module, at);
            close(fd);
        }
        bool named = t.at > text;
        if (named) put(&t, " (");
        put_module(&t, module);
        put(&t, "+");
        put_hex(&t, at);
        if (named) put(&t, ")");
    } else {
        put_hex(&t, (uintptr_t)address);
    }
    *t.at = 0;
}
