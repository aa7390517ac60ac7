/** How many rounds, how long, and from which seed. What a round does follows from its seed alone, but for timing. */
import { randomInt } from 'node:crypto';
import { chance } from '../support/chance.ts';

function setting(name: string, fallback: number): number {
  const text = process.env[name];
  if (text === undefined || text === '') return fallback;
  if (!/^\d{1,10}$/.test(text)) throw new Error(`${name} takes a whole number, not "${text}"`);
  return Number(text);
}

export interface RoundOptions {
  readonly seed: number;
  /** How long there are faults. */
  readonly seconds: number;
  readonly servers: number;
  /** Clients at work at once. */
  readonly clients: number;
}

export function roundOptions(seed: number, seconds = setting('CRASH_SECONDS', 15)): RoundOptions {
  const random = chance(seed);
  return {
    seed,
    seconds,
    servers: 2 + Math.floor(random() * 2),
    clients: 8 + Math.floor(random() * 9),
  };
}

/** The first is always the same unless CRASH_SEED says otherwise; the others are new every time. */
export function seeds(): readonly number[] {
  const first = setting('CRASH_SEED', 20_261_121);
  const rounds = setting('CRASH_ROUNDS', 2);
  return Array.from({ length: rounds }, (_, n) => (n === 0 ? first : randomInt(2 ** 31)));
}
