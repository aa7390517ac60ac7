/** How many watches are open: in all, and of each client. */
import { status } from '@grpc/grpc-js';
import { ApiError, quotaFailure, retryAfter } from '../errors.ts';

export interface PlaceLimits {
  readonly maxWatches: number;
  readonly maxWatchesPerClient: number;
}

export class Places {
  readonly #limits: PlaceLimits;
  readonly #byClient = new Map<string, number>();
  #taken = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  /** Takes a place, until `leave`; throws RESOURCE_EXHAUSTED, TOO_MANY_WATCHES if there is none. */
  enter(client: string): void {
    const { maxWatches, maxWatchesPerClient } = this.#limits;
    const own = this.#byClient.get(client) ?? 0;
    if (this.#taken >= maxWatches) throw tooMany('watches', maxWatches);
    if (own >= maxWatchesPerClient) throw tooMany(`watches of ${client}`, maxWatchesPerClient);
    this.#taken++;
    this.#byClient.set(client, own + 1);
  }

  leave(client: string): void {
    this.#taken--;
    const left = (this.#byClient.get(client) ?? 1) - 1;
    if (left > 0) this.#byClient.set(client, left);
    else this.#byClient.delete(client);
  }
}

const tooMany = (subject: string, most: number): ApiError =>
  new ApiError(status.RESOURCE_EXHAUSTED, 'TOO_MANY_WATCHES', 'too many watches are open', {
    details: [quotaFailure(subject, `at most ${most} at once`), retryAfter(5_000)],
  });
