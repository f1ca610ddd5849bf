/* What receive.c and pack.c know of a batch file; records.py has the byte table. */
#include <stdint.h>

#define MAGIC 0x434552ffu
#define ARMED 0xffffffffu
#define COMMITTED 0x80000000u

struct record {
    uint32_t magic, mark, length, crc;
};

static inline uint64_t record_size(uint64_t event_size) { return (sizeof(struct record) + event_size + 7) & ~7ULL; }

uint32_t eventpub_crc32(const uint8_t *p, uint64_t n);
