/* Joins the events of a batch file by commas, if each is whole and one JSON object; delivery/pack.py has the same. */
#include <string.h>

#include "batch_file.h"

static int is_one_object_by_byte(const uint8_t *p, uint32_t n) {
    uint32_t depth = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (p[i] == '"')
            for (i++; i < n && p[i] != '"'; i++) i += p[i] == '\\';
        else if (p[i] == '{' || p[i] == '[')
            depth++;
        else if ((p[i] == '}' || p[i] == ']') && !--depth)
            return i == n - 1;
    }
    return 0;
}

#ifdef __SSE2__
#include <emmintrin.h>

static uint64_t where(const uint8_t *block, char fold, char wanted) {
    uint64_t mask = 0;
    for (int k = 0; k < 4; k++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(block + 16 * k));
        __m128i equal = _mm_cmpeq_epi8(_mm_or_si128(bytes, _mm_set1_epi8(fold)), _mm_set1_epi8(wanted));
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(equal) << 16 * k;
    }
    return mask;
}

/* 64 bytes a step: a bit for each quote, from which the bits inside strings follow, and one for each bracket.
 * A backslash is rare and left to the loop above. With bit 5 set, '[' is '{' and ']' is '}'. */
static int is_one_object(const uint8_t *p, uint32_t n) {
    int32_t depth = 0;
    uint64_t in_string = 0;
    if (!n || p[0] != '{') return 0;
    for (uint32_t i = 0; i < n; i += 64) {
        uint8_t tail[64] = {0};
        const uint8_t *block = p + i;
        if (n - i < 64) block = memcpy(tail, block, n - i);
        if (where(block, 0, '\\')) return is_one_object_by_byte(p, n);
        uint64_t inside = where(block, 0, '"');
        for (int shift = 1; shift < 64; shift *= 2) inside ^= inside << shift;
        inside ^= in_string;
        in_string = (int64_t)inside >> 63;
        uint64_t opening = where(block, 0x20, '{') & ~inside, closing = where(block, 0x20, '}') & ~inside;
        for (uint64_t left = opening | closing; left; left &= left - 1) {
            depth += opening & left & -left ? 1 : -1;
            if (!depth) return i + __builtin_ctzll(left) == n - 1;
        }
    }
    return 0;
}
#else
static int is_one_object(const uint8_t *p, uint32_t n) { return n && p[0] == '{' && is_one_object_by_byte(p, n); }
#endif

/* Returns the bytes written to `out`, or -1 if a record is not whole or its event not one JSON object. */
int64_t eventpub_pack(const uint8_t *file, uint64_t size, uint64_t offset, uint8_t *out, uint32_t *events) {
    uint8_t *end = out;
    for (*events = 0; offset < size; ++*events) {
        const struct record *r = (const struct record *)(file + offset);
        const uint8_t *event = (const uint8_t *)(r + 1);
        if (size - offset < sizeof *r || r->magic != MAGIC || !(r->length & COMMITTED)) return -1;
        uint32_t n = r->length & ~COMMITTED;
        if (n > size - offset - sizeof *r || eventpub_crc32(event, n) != r->crc || !is_one_object(event, n)) return -1;
        if (end != out) *end++ = ',';
        memcpy(end, event, n);
        end += n;
        offset += record_size(n);
    }
    return end - out;
}
