/** How long to wait before trying again. */
import { chance } from './edges.ts';

const firstMs = 100;

/**
 * Doubles from attempt to attempt (0, 1, 2 …) up to `mostMs`, with jitter, so that clients do not come back in step.
 * Never less than the server asked for.
 */
export function backoffMs(attempt: number, mostMs: number, retryAfterMs = 0): number {
  const ceiling = Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 20));
  const own = ceiling * (0.25 + 0.75 * chance());
  return Math.round(Math.max(own, retryAfterMs * (1 + 0.25 * chance())));
}
