/* null_base.c: what GCC 12.2 makes wrong on aarch64 unless -fno-delete-null-pointer-checks is given
 * (Makefile). Its loop optimiser writes the address of c->code[i] as 0 + (-1152 - c) + 2 (c + 576 +
 * i); the pass that looks for functions without an effect takes the base 0 for a null pointer, to
 * which no valid program writes, and the call is left out: compressed files were zeros. Prints
 * "right" or "wrong". */
#include <stdint.h>
#include <stdio.h>

typedef struct Code {
  uint16_t code[288];
  uint8_t len[288];
} Code;

static __attribute__((noinline)) void assign(Code *c, int n) {
  uint16_t count[16] = {0}, next[16] = {0};
  for (int i = 0; i < n; i++) count[c->len[i]]++;
  count[0] = 0;
  for (int l = 1; l < 16; l++) next[l] = (uint16_t)((next[l - 1] + count[l - 1]) << 1);
  for (int i = 0; i < n; i++) {
    unsigned code = c->len[i] ? next[c->len[i]]++ : 0, r = 0;
    for (int k = 0; k < c->len[i]; k++) r |= (code >> k & 1) << (c->len[i] - 1 - k);
    c->code[i] = (uint16_t)r;
  }
}

int main(void) {
  static Code c;
  for (int i = 0; i < 288; i++) c.len[i] = (uint8_t)(i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8);
  assign(&c, 288);
  const int right = c.code[0] == 0xc && c.code[100] == 0x29 && c.code[287] == 0xe3;
  puts(right ? "right" : "wrong");
  return !right;
}
