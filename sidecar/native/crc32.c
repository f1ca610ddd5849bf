/* CRC-32 as zlib computes it: eight bytes a step from tables, sixteen where the CPU multiplies without carry. */
#include "batch_file.h"

static uint32_t table[8][256];

__attribute__((constructor)) static void fill_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        table[0][i] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int i = 0; i < 256; i++) table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
}

static uint32_t by_table(uint32_t crc, const uint8_t *p, uint64_t n) {
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t low = crc ^ (p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24);
        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
              table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    while (n--) crc = crc >> 8 ^ table[0][(crc ^ *p++) & 255];
    return crc;
}

#ifdef __x86_64__
#include <immintrin.h>

/* Folds to 16 bytes that have the same CRC; the constants are x^(128+32) and x^(128-32) mod the polynomial. */
__attribute__((target("pclmul"))) static uint32_t by_folding(const uint8_t *p, uint64_t n) {
    const __m128i constants = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i x = _mm_xor_si128(_mm_loadu_si128((const __m128i *)p), _mm_cvtsi32_si128(-1));
    for (p += 16, n -= 16; n >= 16; p += 16, n -= 16) {
        __m128i low = _mm_clmulepi64_si128(x, constants, 0x00), high = _mm_clmulepi64_si128(x, constants, 0x11);
        x = _mm_xor_si128(_mm_xor_si128(low, high), _mm_loadu_si128((const __m128i *)p));
    }
    uint8_t folded[16];
    _mm_storeu_si128((__m128i *)folded, x);
    return by_table(by_table(0, folded, 16), p, n);
}

static int can_fold;
__attribute__((constructor)) static void look_at_the_cpu(void) { can_fold = __builtin_cpu_supports("pclmul"); }
#else
enum { can_fold = 0 };
static uint32_t by_folding(const uint8_t *p, uint64_t n) { return by_table(~0u, p, n); }
#endif

uint32_t eventpub_crc32(const uint8_t *p, uint64_t n) {
    return ~(can_fold && n >= 16 ? by_folding(p, n) : by_table(~0u, p, n));
}
