/**
 * A short name of some content, to tell a repeat from something else under the same id without keeping the
 * content. Guards against mistakes, not against forgery: 64 bits, not cryptographic.
 */
export function fingerprint(...parts: readonly (string | number | bigint)[]): string {
  // Lengths keep ["ab", "c"] apart from ["a", "bc"].
  let low = 0xdeadbeef;
  let high = 0x41c6ce57;
  const mix = (code: number): void => {
    low = Math.imul(low ^ code, 2_654_435_761);
    high = Math.imul(high ^ code, 1_597_334_677);
  };
  for (const part of parts) {
    const text = String(part);
    mix(text.length);
    for (let i = 0; i < text.length; i++) mix(text.charCodeAt(i));
  }
  low = Math.imul(low ^ (low >>> 16), 2_246_822_507) ^ Math.imul(high ^ (high >>> 13), 3_266_489_909);
  high = Math.imul(high ^ (high >>> 16), 2_246_822_507) ^ Math.imul(low ^ (low >>> 13), 3_266_489_909);
  return (high >>> 0).toString(16).padStart(8, '0') + (low >>> 0).toString(16).padStart(8, '0');
}
