/**
 * Says of most keys that were never added that they were not: a Bloom filter (Bloom, "Space/time trade-offs in hash
 * coding with allowable errors", 1970; two hashes make all of them: Kirsch and Mitzenmacher, 2006).
 *
 * With a million keys added it takes one of 100,000 others for added, with ten million eight of a thousand.
 */

const bits = 2 ** 27;
const probes = 3;

export class KeyFilter {
  /** 16 MiB, of which the system gives what is touched. */
  readonly #words = new Uint32Array(bits / 32);

  add(text: string): void {
    this.#probe(text, true);
  }

  /** False: it was not added. */
  mayHave(text: string): boolean {
    return this.#probe(text, false);
  }

  #probe(text: string, sets: boolean): boolean {
    // FNV-1a, and the same with another prime.
    let first = 0x811c9dc5;
    let second = 0x1b873593;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      first = Math.imul(first ^ code, 0x01000193);
      second = Math.imul(second ^ code, 0x85ebca6b);
    }
    let all = true;
    for (let n = 0; n < probes; n++) {
      // The upper bits of a product are the well mixed ones.
      const bit = (first + Math.imul(n, second | 1)) >>> 5;
      const word = bit >>> 5;
      const mask = 1 << (bit & 31);
      const was = this.#words[word] ?? 0;
      if ((was & mask) !== 0) continue;
      if (!sets) return false;
      all = false;
      this.#words[word] = was | mask;
    }
    return all;
  }
}
