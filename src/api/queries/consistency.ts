/**
 * Makes answers as fresh as asked for: waits, within bounds, until a read model has seen a token — and, if asked,
 * until policies have seen it and the read model has seen what they did.
 */
import { status } from '@grpc/grpc-js';
import { comparePositions, type Position } from '../../eventstore/port.ts';
import type { ReadConsistency } from '../../gen/tallyback/common/v1/consistency.ts';
import type { ReadModel } from '../../projections/engine/read-model.ts';
import { checkpointName } from '../../projections/engine/storage.ts';
import type { ApiContext } from '../context.ts';
import { ApiError, invalidArgument, quotaFailure, retryAfter } from '../errors.ts';

const defaultWaitMs = 5_000;
const longestWaitMs = 60_000;
/** Left of the call's deadline, so that the client gets an answer that says more than DEADLINE_EXCEEDED. */
const answerMs = 50;

/** The part of a call that waiting needs. */
export interface Waiting {
  readonly deadline: number;
  readonly signal: AbortSignal;
}

export interface Freshness {
  /** Resolves when the read model is as fresh as asked for. Without a token it is so at once. */
  fresh(readModel: ReadModel, consistency: ReadConsistency | undefined, call: Waiting): Promise<void>;
  /** Resolves when all of these read models have seen the token, or without one, the end of the log now. */
  allFresh(
    readModels: readonly ReadModel[],
    consistency: ReadConsistency | undefined,
    call: Waiting,
  ): Promise<Position>;
}

const atLeast = (a: Position, b: Position): boolean => comparePositions(a, b) >= 0;

export function freshness(
  context: Pick<ApiContext, 'progress' | 'head' | 'tokens' | 'policies' | 'clock' | 'limits'>,
): Freshness {
  const { progress, head, tokens, policies, clock, limits } = context;
  let waiters = 0;

  function decode(token: string): Position {
    const position = tokens.decode(token);
    if (position) return position;
    throw invalidArgument(
      'POSITION_TOKEN_INVALID',
      'this installation did not give out that token',
      'consistency.at_least',
    );
  }

  async function refuseUnknown(position: Position): Promise<void> {
    if (atLeast(await head(), position)) return;
    // Waiting for it could last for ever: a log that was restored from a backup may never get there.
    throw new ApiError(status.OUT_OF_RANGE, 'POSITION_UNKNOWN', 'the log does not reach that token');
  }

  /** Calls `work` with a signal that aborts when the time to wait is over. */
  async function bounded(
    consistency: ReadConsistency | undefined,
    call: Waiting,
    work: (reach: (name: string, position: Position) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    if (waiters >= limits.maxWaiters) throw tooManyWaiters(limits.maxWaiters);
    const asked = consistency?.maxWait;
    const wish = asked ? Number(asked.seconds) * 1_000 + asked.nanos / 1_000_000 : defaultWaitMs;
    const left = call.deadline - clock().getTime() - answerMs;
    const waitMs = Math.max(0, Math.min(wish, longestWaitMs, left));

    const given = new AbortController();
    const end = (): void => given.abort(call.signal.reason);
    const timer = setTimeout(() => given.abort(undefined), waitMs);
    call.signal.addEventListener('abort', end, { once: true });
    waiters++;
    try {
      await work(async (name, position) => {
        call.signal.throwIfAborted();
        if (atLeast(await progress.through(name), position)) return;
        await progress.reached(name, position, given.signal).catch(async (error: unknown) => {
          call.signal.throwIfAborted();
          if (!given.signal.aborted) throw error;
          const current = await progress.through(name);
          if (!atLeast(current, position))
            throw lagging(name, tokens.encode(position), tokens.encode(current), waitMs);
        });
      });
    } finally {
      waiters--;
      clearTimeout(timer);
      call.signal.removeEventListener('abort', end);
    }
  }

  return {
    async fresh(readModel, consistency, call) {
      if (!consistency?.atLeast) return;
      const name = checkpointName(readModel);
      const position = decode(consistency.atLeast);
      if (atLeast(await progress.through(name), position)) {
        if (!consistency.includingEffects) return;
      } else {
        await refuseUnknown(position);
      }
      await bounded(consistency, call, async (reach) => {
        if (!consistency.includingEffects) return reach(name, position);
        await Promise.all(policies.map((policy) => reach(policy, position)));
        // What the policies did about it is in the log by now.
        await reach(name, await head());
      });
    },

    async allFresh(readModels, consistency, call) {
      let position = await head();
      if (consistency?.atLeast) {
        const asked = decode(consistency.atLeast);
        await refuseUnknown(asked);
        position = asked;
      }
      const all = (reach: (name: string, position: Position) => Promise<void>, to: Position) =>
        Promise.all(readModels.map((readModel) => reach(checkpointName(readModel), to)));
      await bounded(consistency, call, async (reach) => {
        await all(reach, position);
        if (!consistency?.includingEffects) return;
        await Promise.all(policies.map((policy) => reach(policy, position)));
        position = await head();
        await all(reach, position);
      });
      return position;
    },
  };
}

const lagging = (name: string, required: string, current: string, waitedMs: number): ApiError =>
  new ApiError(status.UNAVAILABLE, 'READ_MODEL_LAGGING', `${name} has not got there yet; ask again`, {
    metadata: { name, required, current, waited_ms: String(Math.round(waitedMs)) },
    details: [retryAfter(500)],
  });

const tooManyWaiters = (most: number): ApiError =>
  new ApiError(status.RESOURCE_EXHAUSTED, 'TOO_MANY_WAITERS', 'too many queries wait for read models', {
    details: [quotaFailure('waiters', `at most ${most} at once`), retryAfter(1_000)],
  });
