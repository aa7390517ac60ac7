/** Seeded chance: the same seed plays the same shop. */

export interface Chance {
  /** In [0, 1). */
  unit(): number;
  /** A whole number in [0, below). */
  below(n: number): number;
  between(least: number, most: number): number;
  pick<T>(from: readonly [T, ...T[]]): T;
  /** One of a list that may be empty. */
  maybe<T>(from: readonly T[]): T | undefined;
}

/** splitmix32. */
export function chance(seed: number): Chance {
  let state = seed | 0;
  const unit = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let z = state ^ (state >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 0x1_0000_0000;
  };
  const below = (n: number): number => Math.floor(unit() * n);
  return {
    unit,
    below,
    between: (least, most) => least + below(most - least + 1),
    pick: (from) => from[below(from.length)] ?? from[0],
    maybe: (from) => from[below(from.length)],
  };
}

/** Ranks 0 … count−1, the first ones far more often: a few members buy most, a few items sell most. */
export function zipf(random: Chance, count: number, exponent = 1): () => number {
  const cumulative: number[] = [];
  let sum = 0;
  for (let rank = 1; rank <= count; rank += 1) cumulative.push((sum += 1 / rank ** exponent));
  return () => {
    const wanted = random.unit() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((cumulative[middle] ?? sum) > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

/** An action for each draw, by weight. */
export function weighted<T>(
  random: Chance,
  choices: readonly (readonly [weight: number, value: T])[],
): () => T | undefined {
  const total = choices.reduce((sum, [weight]) => sum + weight, 0);
  return () => {
    let left = random.unit() * total;
    for (const [weight, value] of choices) {
      left -= weight;
      if (left < 0) return value;
    }
    return choices.at(-1)?.[1];
  };
}
