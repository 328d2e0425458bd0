/* fuzz_gen.c - programs of generators, as a fuzzer finds them, agree with the model
 *
 * With libFuzzer, which clang brings, it looks for bytes that reach something new:
 *
 *     build/debug-clang/tests/fuzz_gen -max_total_time=3600
 *
 * Without it, it tries as many random ones as its argument says.
 */
#include "support_gen.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!gen_program_agrees(bytes, size, false)) abort();
    return 0;
}

#ifndef WEFT_LIBFUZZER
int main(int argc, char **argv)
{
    long     count = argc > 1 ? strtol(argv[1], NULL, 10) : 20000;
    uint64_t chance = 0x9e3779b97f4a7c15;
    uint8_t  bytes[512];

    for (long i = 0; i < count; i++) {
        for (size_t n = 0; n < sizeof bytes; n++) {
            chance = chance * 6364136223846793005u + 1442695040888963407u;
            bytes[n] = (uint8_t)(chance >> 56);
        }
        LLVMFuzzerTestOneInput(bytes, (size_t)(chance >> 33) % sizeof bytes);
    }
    printf("%ld programs agreed with the model\n", count);
    return 0;
}
#endif
